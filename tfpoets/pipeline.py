"""Retrain a classifier: from a folder of photos to verified files and a report."""
from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.advice import advise, measure
from tfpoets.data import (TEST, TRAINING, AugmentationOptions, Dataset, assign_folds, group_numbers,
                          hash_photos)
from tfpoets.doctor import Examination, examine, required_measures, write_findings
from tfpoets.errors import OptionError
from tfpoets.decisions import choose_threshold, read_cost_matrix, with_decisions
from tfpoets.evaluation import evaluate
from tfpoets.events import (BottlenecksExtracted, ChecksSkipped, ConversionEnded, ConversionStarted,
                            CrossValidated, Evaluated, FilesWritten, IntermediateExportStarted, PhotosExamined,
                            ReportWritten, notes_and_progress, stage_events)
from tfpoets.exporting import (ClassifierExport, CrossValidation, ExportedFile, ExportResult, HeadInfo,
                               ReferenceOutputs, UnsureOption, build_keras_classifier, check_destinations,
                               check_formats, check_keras_network, convert, describe_classifier, export_graph,
                               open_graph)
from tfpoets.extractors import Bottlenecks, ExecutionOptions, Extractor, extract_bottlenecks, open_extractor
from tfpoets.files import check_output_folder
from tfpoets.final_test import evaluate_test_photos
from tfpoets.graphs import output_columns
from tfpoets.inference import load_classifier
from tfpoets.locks import lock_destination
from tfpoets.memory_errors import is_memory_error
from tfpoets.networks import build_network
from tfpoets.options import with_options
from tfpoets.parallel import core_count
from tfpoets.photo_selection import list_photos, split_dataset
from tfpoets.retrain_options import RetrainOptions, check_percentages
from tfpoets.retrain_result import RetrainResult
from tfpoets.run_metadata import build_metadata
from tfpoets.run_report import describe_run, write_curves, write_page
from tfpoets.scene_check import with_repeated_scenes
from tfpoets.tf_process import TensorFlowProcess
from tfpoets.training import (EventCallback, FineTuningOptions, HeadOptions, IntermediateFit, NetworkOptions,
                              SGDOptions, TrainingContext, TrainingResult, head_outputs, out_of_fold_probabilities,
                              train, trainer_for)

log = logging.getLogger(__name__)

# From this many photos on, the data doctor takes minutes and gigabytes, so the report, still without its findings, and
# the further formats are written before it starts.
LARGE_DATASET = 20_000
# Groups of options that are not in use by default, by the field of TrainingOptions that can hold them.
OPTIONAL_GROUPS = {"head": SGDOptions, "fine_tuning": FineTuningOptions, "network": NetworkOptions,
                   "augmentation": AugmentationOptions}


def python_label_command(classifier: Path) -> str:
    """Return the Python expression that labels a photo with the classifier in a file."""
    return f"tfpoets.load_classifier({str(classifier)!r}).label(PHOTO)"


def python_retrain_command(**values: Any) -> str:
    """Return the Python expression that repeats a run with other values of options."""
    epochs = values.pop("fine_tune_epochs", None)
    arguments = [f"{name}={value!r}" for name, value in values.items()]
    if epochs:
        arguments.append(f"fine_tuning=tfpoets.training.FineTuningOptions(epochs={epochs})")
    return f"tfpoets.retrain({', '.join(['...', *arguments])})"


def retrain(options_or_image_dir: RetrainOptions | str | os.PathLike[str] | None = None, /, *,
            on_event: EventCallback = lambda event: None,
            label_command: Callable[[Path], str] = python_label_command,
            retrain_command: Callable[..., str] = python_retrain_command, **values: Any) -> RetrainResult:
    """Retrain a classifier and write its files.

    For example, `retrain("photos", output_graph="flowers.pb", image_size=224, seed=3)`. The names are the field
    names of RetrainOptions and of the groups of options in it.

    Args:
        options_or_image_dir: The options; or only the photo folder, with default values for all other options. The
            folder can also be passed by name (`image_dir="photos"`).
        on_event: Called with each event of the run; see `tfpoets.events`.
        label_command: A function that takes the path of the classifier and returns the command that labels a photo
            with it, for the report; by default, a line of Python.
        retrain_command: A function of options by name (`image_size`, `views`, `group_pattern`, `fine_tune_epochs`)
            that returns the command that repeats the run with them, for recommendations; by default, a line of Python.
        **values: Options by name, which override those in the first argument; see `tfpoets.options.with_options`.

    Returns:
        The classifier, with the photos, metrics and files of the run.

    Raises:
        OptionError: There is no option with one of the names, or an option has an invalid value.
        TfpoetsError: The photos or options cannot be used, or a file cannot be written or does not reproduce the
            predictions of the final evaluation. The classifier's files are replaced together or not at all. Findings,
            report, curves and further formats are written after them.
    """
    options = _make_options(options_or_image_dir, values)
    with notes_and_progress(on_event):
        return _retrain(options, on_event, label_command, retrain_command)


def _retrain(options: RetrainOptions, on_event: EventCallback,  # noqa: PLR0915 - the whole run, readable as one
             label_command: Callable[[Path], str], retrain_command: Callable[..., str]) -> RetrainResult:
    """Run all steps in order."""
    _check_destinations(options)
    listed_dataset = list_photos(options, on_event)
    costs = read_cost_matrix(listed_dataset, options)
    extractor, bottlenecks = _extract_bottlenecks(listed_dataset, options, on_event)
    with _start_tensorflow(options) as process:
        dataset = split_dataset(bottlenecks.dataset, options, on_event)
        # The folds are assigned before training, so that too few photos are reported before any long computation.
        folds = assign_folds(dataset, options.cross_validate) if options.cross_validate else None
        training = _train(extractor, dataset, options, on_event)
        unsure = choose_threshold(training, costs, options, on_event)
        test, reference = _evaluate(training, dataset, options, on_event, costs, unsure)
        cross_validation = None if folds is None else _cross_validate(training, folds, costs, options, on_event)
        metadata = build_metadata(training, dataset, test, cross_validation, options)
        metadata = with_decisions(metadata, costs, unsure, test)
        with stage_events("files", on_event, logs_substages=True):
            export = ClassifierExport(training.extractor, training.head, metadata, options.files, reference, process)
        with export, ExitStack() as locks:  # meanwhile, the other process imports TensorFlow and verifies the graph
            with _publishing_on_error(export, options, on_event):
                measurements = measure(training, extractor, costs, options, on_event)
            classifier = load_classifier(export.verified_tflite(not options.extractor.trust_model),
                                         trust_model=options.extractor.trust_model)
            with (_publishing_on_error(export, options, on_event, lambda: _examine(bottlenecks, dataset, training,
                                                                                   options, on_event)),
                  stage_events("report", on_event)):
                report = describe_run(training, test, classifier, label_command(options.files.tflite),
                                      measurements.curve)
            # Until everything that belongs to the graph has been written, no other run replaces the graph.
            locks.enter_context(lock_destination(options.files.output_graph))
            exported = _publish(export, options, on_event)
            conversion = _Conversion(lambda: _convert(training, options, on_event))
            if options.runs_doctor and len(dataset) >= LARGE_DATASET:
                write_page(report, None, options, on_event)
                conversion.start()
            examination = _examine(bottlenecks, dataset, training, options, on_event)
            findings = None if examination is None else examination.findings
            advice = advise(training, test, findings, measurements, options, retrain_command)
            write_page(replace(report, advice=advice), examination, options, on_event)
            write_curves(training, test, options, on_event)
            on_event(ReportWritten(options.files.report))
            converted = conversion.result()
    return RetrainResult(
        classifier=classifier, listed_dataset=listed_dataset, unreadable=bottlenecks.unreadable,
        n_computed_bottlenecks=bottlenecks.computed, extractor=extractor, training=training, metadata=metadata,
        test=test, examination=examination, exported=exported, converted=converted,
        report=options.files.report, learning_curve=measurements.curve, advice=advice)


def _publish(export: ClassifierExport, options: RetrainOptions, on_event: EventCallback) -> ExportResult:
    """Publish the files of the classifier."""
    with lock_destination(options.files.output_graph), stage_events("publication", on_event, logs_substages=True):
        exported = export.publish(remember=not options.extractor.trust_model)
    on_event(FilesWritten(exported))
    return exported


@contextmanager
def _publishing_on_error(export: ClassifierExport, options: RetrainOptions, on_event: EventCallback,
                         then: Callable[[], object] = lambda: None) -> Iterator[None]:
    """If the block fails, publish the classifier files, because they do not depend on it, and call `then`."""
    try:
        yield
    except Exception as error:
        _publish(export, options, on_event)
        if not is_memory_error(error):  # what follows would need even more
            then()
        raise


def _start_tensorflow(options: RetrainOptions) -> TensorFlowProcess:
    """Start importing TensorFlow in a second process, unless this process needs it to train all layers."""
    if options.training.network or options.training.fine_tuning:
        return TensorFlowProcess(None)
    return TensorFlowProcess.start()


def _make_options(options_or_image_dir: RetrainOptions | str | os.PathLike[str] | None, values: dict[str, Any]
                  ) -> RetrainOptions:
    """Combine the arguments of `retrain` into its options."""
    check_percentages(values)
    if isinstance(options_or_image_dir, RetrainOptions):
        return with_options(options_or_image_dir, values, OPTIONAL_GROUPS)
    image_dir = options_or_image_dir
    if image_dir is not None and "image_dir" in values:
        raise OptionError("`image_dir` was set twice.", "Set it only once.")
    return with_options(RetrainOptions, values if image_dir is None else {"image_dir": image_dir, **values},
                        OPTIONAL_GROUPS)


def _check_destinations(options: RetrainOptions) -> None:
    """Raise an error if any file of the run could not be written, before any work is done."""
    files = options.files
    check_destinations(files)
    check_formats(files.formats, files.output_graph.parent, files.output_graph.stem)
    check_output_folder(options.summaries_dir)
    if "keras" in files.formats and not options.training.network:
        check_keras_network(options.extractor)


def _extract_bottlenecks(dataset: Dataset, options: RetrainOptions, on_event: EventCallback
                         ) -> tuple[Extractor | None, Bottlenecks]:
    """Return the extractor and all bottlenecks; neither is needed to train from scratch without the doctor."""
    network, extractor_options, extractor = options.training.network, options.extractor, None
    if network and not options.runs_doctor:
        bottlenecks = Bottlenecks(*hash_photos(dataset, core_count()))
        if options.doctor is None:
            on_event(ChecksSkipped())
    else:
        if network:  # `image_size` and `views` describe the network, not the extractor that the doctor uses
            extractor_options = replace(extractor_options, image_size=None, views=1)
        with stage_events("extractor", on_event):
            extractor = open_extractor(extractor_options)
        with stage_events("extract", on_event):
            bottlenecks = extract_bottlenecks(dataset, extractor, options.bottleneck_dir,
                                              required_measures() if options.runs_doctor else (),
                                              _execution(options))
    on_event(BottlenecksExtracted(bottlenecks, extractor))
    return extractor, bottlenecks


def _execution(options: RetrainOptions) -> ExecutionOptions:
    """Return the options that control where bottlenecks are computed and kept."""
    return ExecutionOptions(max_memory_gb=options.max_memory_gb, ray_address=options.ray_address)


def _train(extractor: Extractor | None, dataset: Dataset, options: RetrainOptions, on_event: EventCallback
           ) -> TrainingResult:
    listener = _intermediate_graph_writer(extractor, dataset, options, on_event)
    with stage_events("training", on_event, logs_substages=True):
        return train(extractor, dataset, TrainingContext(options.training, options.extractor, options.bottleneck_dir,
                                                         listener, build_network,
                                                         _execution(options)))


def _intermediate_graph_writer(extractor: Extractor | None, dataset: Dataset, options: RetrainOptions,
                               on_event: EventCallback) -> EventCallback:
    """Return a listener that passes events on, and writes a graph for each IntermediateFit.

    These are the graphs that TensorFlow for Poets writes during training.
    """
    def listen(event: Any) -> None:
        if not isinstance(event, IntermediateFit):
            return on_event(event)
        assert extractor
        path = options.intermediate_output_graphs_dir / f"intermediate_{event.fit.n_steps}.pb"
        on_event(IntermediateExportStarted(path))
        export_graph(path, extractor, event.fit.head, describe_classifier(
            extractor, dataset, HeadInfo.from_dict(event.fit.description()), options.files.final_tensor_name,
            options=options.to_dict()))
    return listen


def _evaluate(training: TrainingResult, dataset: Dataset, options: RetrainOptions,  # noqa: PLR0913 - all differ
              on_event: EventCallback, costs: np.ndarray | None, unsure: UnsureOption | None
              ) -> tuple[Evaluated, ReferenceOutputs]:
    """Return the evaluation on the test photos, and the outputs that the exported files must reproduce.

    `dataset` contains the photos before training, with the bottlenecks of the frozen network.
    """
    with stage_events("evaluation", on_event):
        test = training.dataset.part(TEST)
        outputs = head_outputs(training.head, test.X)
        reference = ReferenceOutputs(test.photos, output_columns(outputs))
        evaluated = evaluate_test_photos(training, test, outputs, options, costs, unsure)
    evaluated = with_repeated_scenes(evaluated, dataset, on_event)
    on_event(evaluated)
    return evaluated, reference


def _cross_validate(training: TrainingResult, folds: np.ndarray, costs: np.ndarray | None, options: RetrainOptions,
                    on_event: EventCallback) -> CrossValidation:
    """Classify every photo with a head trained on other folds, which contain no near duplicates of it.

    Args:
        training: The trained classifier, with all photos and their bottlenecks.
        folds: The fold of each photo, int64 [n_photos].
        costs: The costs of the answers, float64 [n_classes, n_classes], or None.
        options: The options of the run.
        on_event: Receives the event CrossValidated.
    """
    head_options, examples = options.training.head, training.dataset.examples()
    if options.training.sgd:  # L-BFGS fits all folds in the time of a single fit by gradient descent
        head_options = HeadOptions()
    if isinstance(head_options, HeadOptions):
        head_options = replace(head_options, refit=True)
    trainer = trainer_for(head_options)
    probabilities = out_of_fold_probabilities(
        examples, folds,
        lambda train, validation: trainer.fit(train, validation, head_options, lambda event: None))
    accuracies = [evaluate(probabilities[folds == fold], examples.y[folds == fold], costs=costs).accuracy
                  for fold in np.unique(folds)]
    metrics = evaluate(probabilities, examples.y, group_numbers(examples.photos), costs)
    on_event(CrossValidated(metrics, accuracies))
    return CrossValidation(len(accuracies), metrics.accuracy, metrics.interval, metrics.count,
                           float(np.std(accuracies, ddof=1)), metrics.n_groups)


def _examine(bottlenecks: Bottlenecks, dataset: Dataset, training: TrainingResult, options: RetrainOptions,
             on_event: EventCallback) -> Examination | None:
    """Run the data doctor, unless the options disable it, and write its findings.

    This comes after the files of the classifier have been published, because for many photos it takes much time and
    memory, and the system may end it.
    """
    if not options.runs_doctor:
        return None
    with stage_events("doctor", on_event):
        examination = examine(dataset, bottlenecks.unreadable, training.extractor.height)
        write_findings(options.files.findings, examination.findings)
    on_event(PhotosExamined(examination.findings, options.files.findings, examination.failed_checks))
    return examination


class _Conversion:
    """The conversion to the requested formats, whose error is raised only when its result is needed.

    So a format that fails does not keep the findings and the report from being written.
    """

    def __init__(self, convert_all: Callable[[], tuple[ExportedFile, ...]]):
        self._convert_all = convert_all
        self._files: tuple[ExportedFile, ...] | None = None
        self._error: Exception | None = None

    def start(self) -> None:
        """Convert now."""
        try:
            self._files = self._convert_all()
        except Exception as error:  # noqa: BLE001 - it is raised by `result`
            self._error = error

    def result(self) -> tuple[ExportedFile, ...]:
        """Return the files; raise the error of the conversion. Convert first, unless `start` was called."""
        if self._error:
            raise self._error
        return self._convert_all() if self._files is None else self._files


def _convert(training: TrainingResult, options: RetrainOptions, on_event: EventCallback) -> tuple[ExportedFile, ...]:
    """Convert the graph to the requested formats; the files are written next to it."""
    files = options.files
    if not files.formats:
        return ()
    on_event(ConversionStarted())
    with stage_events("export of further formats", on_event):
        graph = replace(open_graph(files.output_graph, training.dataset.part(TRAINING).photos,
                                   options.extractor.trust_model),
                        keras_model=lambda: build_keras_classifier(training.network, options.extractor, training.head,
                                                                   files.output_graph.stem))
        converted = convert(graph, files.formats, files.output_graph.parent, training.dataset.part(TEST).photos,
                            on_event)
    on_event(ConversionEnded(converted))
    return tuple(converted)
