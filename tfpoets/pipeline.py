"""A whole retraining, from a folder of photos to proven files and a report, as one function."""
from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import (TEST, TRAINING, AugmentationOptions, Dataset, Examples, Photo, SplitOptions,
                          check_class_sizes, digest_photos, fold_photos, read_dataset, reserved_for_test, split_photos,
                          with_test_photos)
from tfpoets.doctor import Finding, examine, required_measures, write_findings
from tfpoets.errors import DataError, OptionError
from tfpoets.evaluation import Metrics, evaluate, evaluate_unknown
from tfpoets.events import (BottlenecksExtracted, ConversionEnded, ConversionStarted, CrossValidated, Evaluated,
                            FilesWritten, IntermediateGraphWritten, PhotosExamined, PhotosRead, PhotosSplit,
                            ReportWritten, notes_and_progress, stage_events)
from tfpoets.exporting import (UNKNOWN_LABEL, CrossValidation, ExportOptions, ExportedFile, HeadInfo, Metadata,
                               NetworkInfo, Proof, RejectOption, check_destinations, check_formats, convert,
                               describe_classifier, export_classifier, export_graph, final_figures, open_graph,
                               split_info)
from tfpoets.extractors import Bottlenecks, Extractor, core_count, extract_bottlenecks, open_extractor
from tfpoets.files import check_output_folder
from tfpoets.graphs import PROBABILITIES, UNKNOWN_SCORE, output_columns
from tfpoets.inference import load_classifier
from tfpoets.options import with_options
from tfpoets.report import confusion_picture, curves_picture, describe_retraining, write_report
from tfpoets.retrain_options import RetrainOptions
from tfpoets.retrain_result import RetrainResult
from tfpoets.tf_runtime import import_tensorflow
from tfpoets.training import (EventCallback, FineTuningOptions, HeadFit, HeadOptions, IntermediateFit, NetworkFit,
                              NetworkOptions, RejectingHead, SGDOptions, TrainingContext, TrainingResult, UnknownScore,
                              draw_balanced, make_rng, out_of_fold_probabilities, train, trainer_for, write_summaries)

log = logging.getLogger(__name__)


def label_in_python(classifier: Path) -> str:
    """Return how Python labels a photo with the classifier in a file."""
    return f"tfpoets.load_classifier({str(classifier)!r}).label(PHOTO)"


def retrain(options_or_image_dir: RetrainOptions | str | os.PathLike[str] | None = None, /, *,
            on_event: EventCallback = lambda event: None,
            label_command: Callable[[Path], str] = label_in_python, **values: Any) -> RetrainResult:
    """Retrain a classifier and write its files.

    `retrain("photos", output_graph="flowers.pb", image_size=224, seed=3)` is all it takes; the names are those of the
    fields of RetrainOptions and of the options that it holds.

    Args:
        options_or_image_dir: how; or the folder of the photos alone, where all other options are the usual ones. The
            folder may also be given by name (`image_dir="photos"`).
        on_event: is told how it goes, see `tfpoets.events`.
        label_command: returns the command that labels a photo with the classifier in a file, for the report; by
            default how Python does it.
        values: options by name that take the place of these; see `tfpoets.options.with_options`.

    Returns:
        The classifier and what is known of it.

    Raises:
        OptionError: there is no option of a name, or an option has a value that it cannot have.
        TfpoetsError: the photos or options cannot be used, or a file cannot be written or does not give the answers of
            the final test. The classifier's files are replaced together or not at all; findings, report, curves and
            further formats come after them.
    """
    options = _options(options_or_image_dir, values)
    with notes_and_progress(on_event):
        return _retrain(options, on_event, label_command)


def _retrain(options: RetrainOptions, on_event: EventCallback, label_command: Callable[[Path], str]) -> RetrainResult:
    """The run, step by step."""
    files = options.files
    _check_destinations(options)
    listed = _read_photos(options, on_event)
    extractor, bottlenecks = _extract(listed, options, on_event)
    dataset = _split(bottlenecks.dataset, options, on_event)
    folds = fold_photos(dataset, options.cross_validate) if options.cross_validate else None
    with stage_events("training", on_event, logs_parts=True):
        trained = train(extractor, dataset, TrainingContext(
            options.training, options.extractor, options.bottleneck_dir,
            _storing(extractor, dataset, options, on_event)))
    test, proof = _evaluate(trained, options, on_event)
    crossed = None if folds is None else _cross_validate(trained, folds, options, on_event)
    with stage_events("TensorFlow", on_event):
        import_tensorflow()
    metadata = _described(trained, test, crossed, dataset, options)
    with stage_events("files", on_event, logs_parts=True):
        exported = export_classifier(trained.extractor, trained.head, metadata, files, proof)
    on_event(FilesWritten(exported))
    findings = None
    if extractor and options.doctor:
        findings = _examine(dataset, bottlenecks.unreadable, trained.extractor, files.findings, on_event)
    classifier = load_classifier(files.tflite)
    with stage_events("report", on_event):
        write_report(files.report, describe_retraining(
            trained.dataset, proof.outputs, test.metrics, test.rejection, metadata, findings, trained.fit.curves(),
            classifier, label_command(files.tflite)))
    with stage_events("summaries", on_event):
        _write_pictures(options.summaries_dir / time.strftime("%Y%m%d-%H%M%S"), trained.fit, test.metrics,
                        trained.dataset.labels)
    on_event(ReportWritten(files.report))
    converted = _convert(trained, files, on_event)
    return RetrainResult(
        classifier=classifier, listed=listed, unreadable=bottlenecks.unreadable, computed=bottlenecks.computed,
        extractor=extractor, training=trained, metadata=metadata, test=test, findings=findings, exported=exported,
        converted=tuple(converted), report=files.report)


# Options of trainings that are not asked for by default, by the fields that ask for them.
OTHER_OPTIONS = {"head": SGDOptions, "fine_tuning": FineTuningOptions, "network": NetworkOptions,
                 "augmentation": AugmentationOptions}


def _options(given: RetrainOptions | str | os.PathLike[str] | None, values: dict[str, Any]) -> RetrainOptions:
    if isinstance(given, RetrainOptions):
        return with_options(given, values, OTHER_OPTIONS)
    if (given is None) == ("image_dir" not in values):
        raise OptionError("`image_dir` is missing." if given is None else "`image_dir` was given twice.",
                          "Give the folder of the photos once.")
    return with_options(RetrainOptions, values if given is None else {"image_dir": given, **values}, OTHER_OPTIONS)


def _check_destinations(options: RetrainOptions) -> None:
    """Raise an error where files could not be written, before any work is done."""
    files = options.files
    check_destinations(files)
    check_formats(files.formats, files.output_graph.parent, files.output_graph.stem)
    check_output_folder(options.summaries_dir)


def _read_photos(options: RetrainOptions, on_event: EventCallback) -> Dataset:
    with stage_events("list", on_event):
        dataset = read_dataset(options.image_dir)
        check_class_sizes(dataset, _split_options(options))
        if options.test_dir:
            dataset = with_test_photos(dataset, read_dataset(options.test_dir, least_classes=1))
        if options.training.unknown_coverage:
            _check_no_folder_is_unknown(dataset)
    on_event(PhotosRead(dataset))
    return dataset


def _split_options(options: RetrainOptions) -> SplitOptions:
    """How the photos of `image_dir` are divided: those of `test_dir` test, where there is one."""
    if options.test_dir is None:
        return options.split
    return SplitOptions(0, options.split.validation_percentage, options.split.seed)


def _check_no_folder_is_unknown(dataset: Dataset) -> None:
    for label in dataset.labels:
        if label.casefold() == UNKNOWN_LABEL:
            raise OptionError(f"With `unknown_coverage`, {label} is what photos of no class are called, and a folder "
                              "has that name.",
                              "Move it elsewhere; evaluate can say how many of its photos are called so.")


def _extract(dataset: Dataset, options: RetrainOptions, on_event: EventCallback
             ) -> tuple[Extractor | None, Bottlenecks]:
    """The extractor and all bottlenecks; for a network from scratch without the doctor nobody needs them."""
    network, asked, extractor = options.training.network, options.extractor, None
    if network and not options.doctor:
        found = Bottlenecks(*digest_photos(dataset, core_count()))
    else:
        with stage_events("extractor", on_event):  # of a network from scratch, `image_size` and `views` are its own
            extractor = open_extractor(replace(asked, image_size=None, views=1) if network else asked)
        with stage_events("extract", on_event):
            found = extract_bottlenecks(dataset, extractor, options.bottleneck_dir,
                                        measures=required_measures() if options.doctor else ())
    on_event(BottlenecksExtracted(found, extractor))
    return extractor, found


def _split(dataset: Dataset, options: RetrainOptions, on_event: EventCallback) -> Dataset:
    with stage_events("split", on_event):
        dataset = split_photos(_without_test_photos(dataset, options), options.split)
    on_event(PhotosSplit(dataset))
    return dataset


def _without_test_photos(dataset: Dataset, options: RetrainOptions) -> Dataset:
    """The dataset without those photos of `image_dir` that are also in `test_dir`."""
    tests = reserved_for_test(dataset)
    tested = {photo.digest for photo, test in zip(dataset.photos, tests) if test}
    kept = tests | [photo.digest not in tested for photo in dataset.photos]
    if not kept[~tests].any():
        raise DataError(f"All photos of {options.image_dir} are also in {options.test_dir}: none is left to train on.",
                        "Give a `test_dir` with other photos.")
    if not kept.all():
        log.warning("Also in %s, and left to the test: %d of the photos of %s.", options.test_dir, (~kept).sum(),
                    options.image_dir)
    return dataset.select(kept)


def _storing(extractor: Extractor | None, dataset: Dataset, options: RetrainOptions, on_event: EventCallback
             ) -> EventCallback:
    """A listener that also writes the graph of a training by steps that is under way, as TensorFlow for Poets did."""
    def listen(event: Any) -> None:
        if not isinstance(event, IntermediateFit):
            return on_event(event)
        assert extractor
        path = options.intermediate_output_graphs_dir / f"intermediate_{event.fit.n_steps}.pb"
        on_event(IntermediateGraphWritten(path))
        export_graph(path, extractor, event.fit.head, describe_classifier(
            extractor, dataset, HeadInfo.from_dict(event.fit.description()), options.files.final_tensor_name,
            options=options.to_dict()))
    return listen


def _described(trained: TrainingResult, evaluated: Evaluated, crossed: CrossValidation | None, before: Dataset,
               options: RetrainOptions) -> Metadata:
    """The metadata; photos of the dataset `before` the training may have gone, but trained nevertheless."""
    extractor, unknown, rejection = trained.extractor, _unknown(trained), evaluated.rejection
    kind = trained.fit.kind if isinstance(trained.fit, NetworkFit) else "frozen_features"
    assert before.split is not None
    return describe_classifier(
        extractor, trained.dataset, HeadInfo.from_dict(trained.fit.description()), options.files.final_tensor_name,
        network=NetworkInfo(kind, extractor.handle, extractor.digest,
                            trained.comparison.summary() if trained.comparison else ""),
        split=split_info(trained.dataset, before.split.known(before.photos)),
        test=evaluated.metrics and final_figures(evaluated.metrics),
        unknown=unknown and RejectOption(unknown.threshold, unknown.coverage, len(unknown.references),
                                         rejection.to_dict() if rejection else None),
        cross_validation=crossed, options=options.to_dict())


def _unknown(trained: TrainingResult) -> UnknownScore | None:
    return trained.head.unknown_score if isinstance(trained.head, RejectingHead) else None


def _evaluate(trained: TrainingResult, options: RetrainOptions, on_event: EventCallback) -> tuple[Evaluated, Proof]:
    """The figures of the test photos, and the answers that the files must give."""
    with stage_events("evaluation", on_event):
        test = trained.dataset.part(TEST)
        outputs = trained.head.outputs(test.X)
        proof = Proof(test.photos, output_columns(outputs))
        evaluated = _test_figures(trained, test, outputs, options)
    on_event(evaluated)
    return evaluated, proof


def _test_figures(trained: TrainingResult, test: Examples, outputs: dict[str, np.ndarray], options: RetrainOptions
                  ) -> Evaluated:
    labels, probabilities, unknown = trained.dataset.labels, outputs[PROBABILITIES], _unknown(trained)
    if not len(test):
        return Evaluated(labels, test.photos, probabilities, None)
    drawn = None
    if options.training.sgd and options.test_batch_size != -1:
        chosen = draw_balanced(test.y, options.test_batch_size, make_rng(options.split.seed))
        drawn = evaluate(probabilities[chosen], test.y[chosen]).accuracy, len(chosen)
    rejection = None
    if unknown is not None:
        rejection = evaluate_unknown(outputs[UNKNOWN_SCORE], probabilities.argmax(1) == test.y, unknown.threshold)
    return Evaluated(labels, test.photos, probabilities, evaluate(probabilities, test.y), drawn, rejection)


def _cross_validate(trained: TrainingResult, folds: np.ndarray, options: RetrainOptions, on_event: EventCallback
                    ) -> CrossValidation:
    """Answers every photo by a head that never saw it nor one that looks like it, and tells how good that was."""
    head, examples = options.training.head, trained.dataset.examples()
    if options.training.sgd:  # in the time of one training by steps, all folds reach their optimum
        head = HeadOptions()
    if isinstance(head, HeadOptions):
        head = replace(head, refit=True)
    trainer = trainer_for(head)
    answers = out_of_fold_probabilities(
        examples, folds, lambda train, validation: trainer.fit(train, validation, head, lambda event: None))
    accuracies = [evaluate(answers[folds == fold], examples.y[folds == fold]).accuracy for fold in np.unique(folds)]
    metrics = evaluate(answers, examples.y)
    on_event(CrossValidated(metrics, accuracies))
    return CrossValidation(len(accuracies), metrics.accuracy, metrics.interval, metrics.count,
                           float(np.std(accuracies, ddof=1)))


def _examine(dataset: Dataset, unreadable: Sequence[tuple[Photo, str]], extractor: Extractor, path: Path,
             on_event: EventCallback) -> tuple[Finding, ...]:
    with stage_events("doctor", on_event):
        findings = tuple(examine(dataset, unreadable, extractor.height))
        write_findings(path, findings)
    on_event(PhotosExamined(findings, path))
    return findings


def _write_pictures(folder: Path, fit: HeadFit, metrics: Metrics | None, labels: Sequence[str]) -> None:
    confusion = confusion_picture(metrics, labels) if metrics else None
    write_summaries(folder, fit.curves(), {"confusion": np.asarray(confusion)} if confusion else None)
    curves_picture(fit.curves()).save(folder / "curves.png")


def _convert(trained: TrainingResult, files: ExportOptions, on_event: EventCallback) -> Sequence[ExportedFile]:
    """Write the graph in further formats, beside it."""
    if not files.formats:
        return ()
    on_event(ConversionStarted())
    with stage_events("export of further formats", on_event):
        source = open_graph(files.output_graph, trained.dataset.part(TRAINING).photos)
        converted = convert(source, files.formats, files.output_graph.parent, trained.dataset.part(TEST).photos,
                            on_event)
    on_event(ConversionEnded(converted))
    return converted
