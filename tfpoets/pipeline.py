"""A whole retraining, from a folder of photos to proven files and a report.

`retrain` prints nothing. It tells its caller how it goes by events, the small classes below and those of
`tfpoets.training`; the command line turns them into text.
"""
from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import (PARTS, TEST, TRAINING, Dataset, Photo, Split, SplitOptions, check_class_sizes, fold_photos,
                          identify_photos, read_dataset, split_photos, with_test_photos)
from tfpoets.doctor import Finding, examine, wanted_measures, write_findings
from tfpoets.errors import DataError, OptionError, check_range
from tfpoets.evaluation import Metrics, Rejection, evaluate, evaluate_unknown
from tfpoets.exporting import (UNKNOWN_LABEL, CrossValidation, ExportOptions, Exported, ExportedFile, HeadInfo,
                               Metadata, NetworkInfo, Proof, RejectOption, check_destinations, check_formats, convert,
                               describe_classifier, export_classifier, export_graph, final_figures, open_graph,
                               split_info)
from tfpoets.extractors import (Bottlenecks, Extractor, ExtractorOptions, core_count, extract_bottlenecks,
                                open_extractor)
from tfpoets.files import check_is_apart, check_is_not_among, check_output_folder, set_paths
from tfpoets.graphs import PROBABILITIES, UNKNOWN_SCORE, side_by_side
from tfpoets.inference import load_classifier
from tfpoets.progress import stage
from tfpoets.report import confusion_picture, curves_picture, describe_retraining, write_report
from tfpoets.tf_runtime import import_tensorflow
from tfpoets.training import (Fit, HeadOptions, Listener, NetworkFit, RejectingHead, StepsStored, Trained, Training,
                              TrainingOptions, UnknownScore, balanced_draw, check_batch_size, generator,
                              out_of_fold_probabilities, train, trainer_for, write_summaries)

log = logging.getLogger(__name__)

TF_FILES = Path("tf_files")


@dataclass(frozen=True, kw_only=True)
class RetrainOptions:
    """A retraining.

    Attributes:
        image_dir: folder that holds one folder of photos per class; a folder's name is its label.
        test_dir: a second folder with the same classes, whose photos make the final test; None: a share of
            `image_dir`.
        split: how photos are divided.
        extractor: which pretrained network is used.
        training: what is trained.
        files: what is written.
        cross_validate: number of folds in which every photo is also answered by a head that never saw it; None: none.
        doctor: whether to look for problems in the photos.
        bottleneck_dir: folder of the cache, and of checkpoints.
        summaries_dir: folder of the curves, one folder a run.
        intermediate_output_graphs_dir: folder of the graphs of a training by steps that is under way.
        test_batch_size: also report the accuracy of so many test photos, drawn evenly from the classes; -1: do not.
    """

    image_dir: Path
    test_dir: Path | None = None
    split: SplitOptions = SplitOptions()
    extractor: ExtractorOptions = ExtractorOptions()
    training: TrainingOptions = TrainingOptions()
    files: ExportOptions = ExportOptions()
    cross_validate: int | None = None
    doctor: bool = True
    bottleneck_dir: Path = TF_FILES / "bottlenecks"
    summaries_dir: Path = TF_FILES / "training_summaries"
    intermediate_output_graphs_dir: Path = TF_FILES / "intermediate_graphs"
    test_batch_size: int = -1

    def __post_init__(self) -> None:
        set_paths(self, "image_dir", "test_dir", "bottleneck_dir", "summaries_dir", "intermediate_output_graphs_dir")
        # One fold is held out, one chooses, the rest train.
        check_range("cross_validate", self.cross_validate, least=3, most=100, whole=True)
        check_batch_size("test_batch_size", self.test_batch_size)
        object.__setattr__(self, "training", self.training.with_seed(self.split.seed))
        self._check_places()
        self._check_training()

    def _check_places(self) -> None:
        """What is written among the photos would be a class of its own, or photos of one, the next time."""
        for photos in filter(None, (self.image_dir, self.test_dir)):
            for name in ("output_graph", "output_labels"):
                given = getattr(self.files, name)
                # Some forms are folders beside the graph.
                check = check_is_apart if self.files.formats else check_is_not_among
                check(given.parent, name, photos, given)
            for name, folder in (("saved_model_dir", self.files.saved_model_dir),
                                 ("bottleneck_dir", self.bottleneck_dir), ("model_dir", self.extractor.model_dir),
                                 ("summaries_dir", self.summaries_dir),
                                 ("intermediate_output_graphs_dir", self.intermediate_output_graphs_dir)):
                if name == "intermediate_output_graphs_dir" and not self._stores_graphs:
                    continue
                if folder is not None:
                    check_is_apart(folder, name, photos, folder)

    @property
    def _stores_graphs(self) -> bool:
        """Whether graphs of a training that is under way are written."""
        return bool(self.training.sgd and self.training.sgd.intermediate_store_frequency)

    def _check_training(self) -> None:
        training, validates = self.training, bool(self.split.validation_percentage)
        if training.all_layers and not validates:
            raise OptionError("Training a network needs validation photos to tell its best epoch by.",
                              "Give a `validation_percentage` above 0.", "validation_percentage")
        if training.unknown_coverage and not validates:
            raise OptionError("`unknown_coverage` needs validation photos to find its threshold by.",
                              "Give a `validation_percentage` above 0.")
        if training.all_layers and self.cross_validate:
            raise OptionError("`cross_validate` is for the last layer alone: a network that was trained on the photos "
                              "knows all folds.", "Omit it.")

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON takes them, paths as text, without those that change no result."""
        return _as_json({name: value for name, value in asdict(self).items() if value is not None})


# These change no result.
WITHOUT_EFFECT = ("offline", "resume")


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_json(each) for name, each in value.items()
                if each not in (None, (), "") and name not in WITHOUT_EFFECT}
    if isinstance(value, tuple):
        return [_as_json(each) for each in value]
    return str(value) if isinstance(value, Path) else value


@dataclass(frozen=True)
class PhotosRead:
    """Event: the folder has been listed."""

    dataset: Dataset


@dataclass(frozen=True)
class BottlenecksExtracted:
    """Event: there are bottlenecks of all photos that can be read; `extractor` is None where none were needed."""

    bottlenecks: Bottlenecks
    extractor: Extractor | None


@dataclass(frozen=True)
class PhotosSplit:
    """Event: the photos have been divided."""

    dataset: Dataset

    @property
    def split(self) -> Split:
        assert self.dataset.split is not None
        return self.dataset.split


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Event: the final test is done.

    Attributes:
        labels: in output order.
        photos: of the test.
        probabilities: float32 [photos, labels].
        metrics: None where no photo was kept for the test.
        drawn: (accuracy, photos) of a batch drawn evenly from the classes, or None.
        rejection: figures of the reject option, or None.
    """

    labels: Sequence[str]
    photos: Sequence[Photo]
    probabilities: np.ndarray
    metrics: Metrics | None
    drawn: tuple[float, int] | None = None
    rejection: Rejection | None = None


@dataclass(frozen=True)
class CrossValidated:
    """Event: every photo has been answered by a head that never saw it; `folds` are the folds' accuracies."""

    metrics: Metrics
    folds: Sequence[float]


@dataclass(frozen=True)
class IntermediateGraph:
    """Event: the graph of a training that is under way is about to be written."""

    path: Path


@dataclass(frozen=True)
class FilesWritten:
    """Event: the classifier's files are proven and in place."""

    exported: Exported


@dataclass(frozen=True)
class PhotosExamined:
    """Event: the doctor has written its findings to a file."""

    findings: Sequence[Finding]
    path: Path


@dataclass(frozen=True)
class ReportWritten:
    """Event: the report is in place."""

    path: Path


@dataclass(frozen=True)
class ConversionStarted:
    """Event: the graph is about to be converted; an event ExportedFile follows for each form."""


@dataclass(frozen=True)
class ConversionEnded:
    """Event: all forms are in place."""

    converted: Sequence[ExportedFile]


def retrain(options: RetrainOptions, on_event: Listener = lambda event: None,
            label_command: Callable[[Path], str] = lambda path: f"tfpoets.load_classifier({str(path)!r})") -> None:
    """Retrain a classifier and write its files.

    Args:
        options: how.
        on_event: is told how it goes.
        label_command: gives the command that labels a photo with the classifier in a file, for the report; by default
            how Python loads it.

    Raises:
        TfpoetsError: the photos or options cannot be used, or a file cannot be written or does not give the answers of
            the final test. The classifier's files are replaced together or not at all; findings, report, curves and
            further forms come after them.
    """
    files, training = options.files, Training(options.training, options.extractor, options.bottleneck_dir, on_event)
    check_destinations(files)
    check_formats(files.formats, files.output_graph.parent, files.output_graph.stem)
    check_output_folder(options.summaries_dir)
    with stage("list"):
        dataset = _read_photos(options)
    on_event(PhotosRead(dataset))
    extractor, bottlenecks = _extract(dataset, options)
    on_event(BottlenecksExtracted(bottlenecks, extractor))
    with stage("split"):
        dataset = _split(bottlenecks.dataset, options)
    on_event(PhotosSplit(dataset))
    folds = fold_photos(dataset, options.cross_validate) if options.cross_validate else None
    trained = train(extractor, dataset, training._replace(on_event=_storing(extractor, dataset, options, on_event)))
    with stage("evaluation"):
        evaluated, proof = _evaluate(trained, options)
    on_event(evaluated)
    crossed = None if folds is None else _cross_validate(trained, folds, options, on_event)
    with stage("TensorFlow"):
        import_tensorflow()
    metadata = _described(trained, evaluated, crossed, dataset, options)
    on_event(FilesWritten(export_classifier(trained.extractor, trained.head, metadata, files, proof)))
    findings = None
    if extractor and options.doctor:
        findings = _examine(dataset, bottlenecks.unreadable, trained.extractor, files.findings, on_event)
    with stage("report"):
        write_report(files.report, describe_retraining(
            trained.dataset, proof.outputs, evaluated.metrics, evaluated.rejection, metadata,
            findings, trained.fit.curves(), load_classifier(files.tflite), label_command(files.tflite)))
    with stage("summaries"):
        _write_pictures(options.summaries_dir / time.strftime("%Y%m%d-%H%M%S"), trained.fit, evaluated.metrics,
                        trained.dataset.labels)
    on_event(ReportWritten(files.report))
    with stage("export of other forms"):
        _convert(trained, files, on_event)


def _read_photos(options: RetrainOptions) -> Dataset:
    dataset = read_dataset(options.image_dir)
    check_class_sizes(dataset, _split_options(options))
    if options.test_dir:
        dataset = with_test_photos(dataset, read_dataset(options.test_dir, least_classes=1))
    if options.training.unknown_coverage:
        _check_no_folder_is_unknown(dataset)
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


def _extract(dataset: Dataset, options: RetrainOptions) -> tuple[Extractor | None, Bottlenecks]:
    """The extractor and all bottlenecks; for a network from scratch without the doctor nobody needs them."""
    network, asked = options.training.network, options.extractor
    if network and not options.doctor:
        return None, Bottlenecks(*identify_photos(dataset, core_count()))
    with stage("extractor"):  # of a network from scratch, `image_size` and `views` are the network's
        extractor = open_extractor(replace(asked, image_size=None, views=1) if network else asked)
    with stage("extract"):
        return extractor, extract_bottlenecks(
            dataset, extractor, options.bottleneck_dir, measures=wanted_measures() if options.doctor else ())


def _split(dataset: Dataset, options: RetrainOptions) -> Dataset:
    """The photos with the part that each plays; photos of `image_dir` that are also in `test_dir` are left out."""
    tests = np.array([photo.part == PARTS[TEST] for photo in dataset.photos])
    tested = {photo.digest for photo, test in zip(dataset.photos, tests) if test}
    kept = tests | [photo.digest not in tested for photo in dataset.photos]
    if not kept[~tests].any():
        raise DataError(f"All photos of {options.image_dir} are also in {options.test_dir}: none is left to train on.",
                        "Give a `test_dir` with other photos.")
    if not kept.all():
        log.warning("Also in %s, and left to the test: %d of the photos of %s.", options.test_dir, (~kept).sum(),
                    options.image_dir)
    return split_photos(dataset.only(kept), options.split)


def _storing(extractor: Extractor | None, dataset: Dataset, options: RetrainOptions, on_event: Listener) -> Listener:
    """A listener that also writes the graph of a training by steps that is under way, as TensorFlow for Poets did."""
    def listen(event: Any) -> None:
        if not isinstance(event, StepsStored):
            return on_event(event)
        assert extractor
        path = options.intermediate_output_graphs_dir / f"intermediate_{event.fit.count}.pb"
        on_event(IntermediateGraph(path))
        export_graph(path, extractor, event.fit.head, describe_classifier(
            extractor, dataset, HeadInfo.from_dict(event.fit.description()), options.files.final_tensor_name,
            options=options.to_dict()))
    return listen


def _described(trained: Trained, evaluated: Evaluated, crossed: CrossValidation | None, before: Dataset,
               options: RetrainOptions) -> Metadata:
    """The metadata; photos of the dataset `before` the training may have gone, but trained nevertheless."""
    extractor, unknown, rejection = trained.extractor, _unknown(trained), evaluated.rejection
    kind = trained.fit.kind if isinstance(trained.fit, NetworkFit) else "frozen_features"
    assert before.split is not None
    return describe_classifier(
        extractor, trained.dataset, HeadInfo.from_dict(trained.fit.description()), options.files.final_tensor_name,
        network=NetworkInfo(kind, extractor.handle, extractor.digest, trained.choice),
        split=split_info(trained.dataset, before.split.known(before.photos)),
        test=evaluated.metrics and final_figures(evaluated.metrics),
        unknown=unknown and RejectOption(unknown.threshold, unknown.coverage, len(unknown.references),
                                         rejection.to_dict() if rejection else None),
        cross_validation=crossed, options=options.to_dict())


def _unknown(trained: Trained) -> UnknownScore | None:
    return trained.head.unknown if isinstance(trained.head, RejectingHead) else None


def _evaluate(trained: Trained, options: RetrainOptions) -> tuple[Evaluated, Proof]:
    """The figures of the test photos, and the answers that the files must give."""
    labels, test, unknown = trained.dataset.labels, trained.dataset.part(TEST), _unknown(trained)
    outputs = trained.head.outputs(test.X)
    probabilities = outputs[PROBABILITIES]
    proof = Proof(test.photos, side_by_side(list(outputs.values())))
    if not len(test):
        return Evaluated(labels, test.photos, probabilities, None), proof
    drawn = None
    if options.training.sgd and options.test_batch_size != -1:
        chosen = balanced_draw(test.y, options.test_batch_size, generator(options.split.seed))
        drawn = evaluate(probabilities[chosen], test.y[chosen]).accuracy, len(chosen)
    rejection = None
    if unknown is not None:
        rejection = evaluate_unknown(outputs[UNKNOWN_SCORE], probabilities.argmax(1) == test.y, unknown.threshold)
    return Evaluated(labels, test.photos, probabilities, evaluate(probabilities, test.y), drawn, rejection), proof


def _cross_validate(trained: Trained, folds: np.ndarray, options: RetrainOptions, on_event: Listener
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
             on_event: Listener) -> list[Finding]:
    with stage("doctor"):
        findings = examine(dataset, unreadable, extractor.height)
        write_findings(path, findings)
    on_event(PhotosExamined(findings, path))
    return findings


def _write_pictures(folder: Path, fit: Fit, metrics: Metrics | None, labels: Sequence[str]) -> None:
    confusion = confusion_picture(metrics, labels) if metrics else None
    write_summaries(folder, fit.curves(), {"confusion": np.asarray(confusion)} if confusion else None)
    curves_picture(fit.curves()).save(folder / "curves.png")


def _convert(trained: Trained, files: ExportOptions, on_event: Listener) -> None:
    """The written graph in other forms, beside it."""
    if not files.formats:
        return
    on_event(ConversionStarted())
    source = open_graph(files.output_graph, trained.dataset.part(TRAINING).photos)
    found = convert(source, files.formats, files.output_graph.parent, trained.dataset.part(TEST).photos, on_event)
    on_event(ConversionEnded(found))
