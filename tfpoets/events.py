"""The events that a retraining run sends to its caller.

Each event is a small object that is passed to `on_event`. The events are those of this module, those of
`tfpoets.training` (HeadFitted, StepMetrics, EpochMetrics, ...), `tfpoets.exporting.ExportedFile`, and
`tfpoets.progress.Progress`.
"""
from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfpoets.data import Dataset, Photo, Split
from tfpoets.doctor import FailedCheck, Finding
from tfpoets.evaluation import CostMetrics, Metrics, Rejection, SelectiveMetrics
from tfpoets.exporting import ExportResult, ExportedFile, RepeatedScenes
from tfpoets.extractors import Bottlenecks, Extractor
from tfpoets.progress import listen_to_progress, stage
from tfpoets.training import LearningCurve


@dataclass(frozen=True)
class Note:
    """Event: a message for the user.

    Notes are records of the logger `tfpoets`, and only those that pass its level are sent.

    Attributes:
        level: The name of the `logging` level: INFO, WARNING, ...
        text: One or two sentences; option names are in backticks.
    """

    level: str
    text: str


class _NoteHandler(logging.Handler):
    """A log handler that sends the log records of the thread that created it as notes."""

    def __init__(self, on_event: Callable[[Any], None]):
        super().__init__(logging.INFO)
        self._on_event, self._thread = on_event, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self._on_event(Note(record.levelname, record.getMessage()))


@contextmanager
def notes_and_progress(on_event: Callable[[Any], None]) -> Iterator[None]:
    """Send all notes, and the progress of all long operations, to `on_event` inside the block."""
    logger, handler = logging.getLogger("tfpoets"), _NoteHandler(on_event)
    logger.addHandler(handler)
    try:
        with listen_to_progress(on_event):
            yield
    finally:
        logger.removeHandler(handler)


@dataclass(frozen=True)
class StageStarted:
    """Event: a stage of the run has started."""

    name: str


@dataclass(frozen=True)
class StageEnded:
    """Event: a stage of the run has ended successfully. After an error, this event is not sent."""

    name: str
    seconds: float


@contextmanager
def stage_events(name: str, on_event: Callable[[Any], None], logs_substages: bool = False) -> Iterator[None]:
    """Send an event when a stage starts and when it ends, and log its duration.

    Args:
        name: The name of the stage.
        on_event: Receives the events.
        logs_substages: Whether the code inside logs the durations of its own stages. The stage itself is then not
            logged, so that the logged durations add up.
    """
    on_event(StageStarted(name))
    start = time.perf_counter()
    with nullcontext() if logs_substages else stage(name):
        yield
    on_event(StageEnded(name, time.perf_counter() - start))


@dataclass(frozen=True)
class PhotosListed:
    """Event: the photos have been listed."""

    dataset: Dataset


@dataclass(frozen=True)
class BottlenecksExtracted:
    """Event: the photos were read; `extractor` is None if their bottlenecks are not needed and were not computed."""

    bottlenecks: Bottlenecks
    extractor: Extractor | None


@dataclass(frozen=True)
class ChecksSkipped:
    """Event: the data doctor, and the check for repeated scenes, will not run.

    They need the bottlenecks of a pretrained network, which take much longer than the training of a small network from
    scratch, so they run only if the option `doctor` is True. The event is not sent if that option is False.
    """


@dataclass(frozen=True)
class PhotosSplit:
    """Event: the photos have been split into training, validation and test photos."""

    dataset: Dataset

    @property
    def split(self) -> Split:
        """The split of the dataset."""
        assert self.dataset.split is not None
        return self.dataset.split


class Misclassified(NamedTuple):
    """A misclassified test photo.

    Attributes:
        photo: The photo, with its true label.
        predicted: The predicted label.
        score: The probability of the predicted label, 0 to 1.
    """

    photo: Photo
    predicted: str
    score: float


@dataclass(frozen=True)
class BatchAccuracy:
    """The accuracy on a batch of test photos.

    Attributes:
        accuracy: The fraction of correct predictions.
        count: The number of photos in the batch.
    """

    accuracy: float
    count: int


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Event: the final evaluation on the test photos is done.

    Attributes:
        labels: The labels, in output order.
        photos: The test photos.
        probabilities: The predicted probabilities, float32 [n_photos, n_classes].
        metrics: The metrics, or None if there are no test photos.
        balanced_batch: The accuracy on a batch that was drawn evenly from the classes, or None if not requested.
        rejection: The metrics of the reject option, or None without one.
        repeated_scenes: How many test photos show the same scene as a training photo, and the accuracy on the others;
            None if there are hardly any, or if this is not known.
        selective: The metrics of the answers that are certain enough for the accuracy target, or None without one.
        accuracy_target: The accuracy target, 0 to 1, or None.
        costs: What the answers cost, or None without costs.
    """

    labels: Sequence[str]
    photos: Sequence[Photo]
    probabilities: np.ndarray
    metrics: Metrics | None
    balanced_batch: BatchAccuracy | None = None
    rejection: Rejection | None = None
    repeated_scenes: RepeatedScenes | None = None
    selective: SelectiveMetrics | None = None
    accuracy_target: float | None = None
    costs: CostMetrics | None = None

    def misclassified(self) -> list[Misclassified]:
        """Return the misclassified photos, in the order of `photos`."""
        predictions = () if self.metrics is None else self.metrics.predicted
        return [Misclassified(photo, self.labels[prediction], float(row[prediction]))
                for photo, row, prediction in zip(self.photos, self.probabilities, predictions)
                if self.labels[prediction] != photo.label]


@dataclass(frozen=True)
class CrossValidated:
    """Event: every photo has been classified by a head trained without it."""

    metrics: Metrics
    fold_accuracies: Sequence[float]


@dataclass(frozen=True)
class LearningCurveMeasured:
    """Event: the learning curve has been measured.

    Attributes:
        curve: The curve.
        labels: The labels, in output order.
        is_complete: Whether it was measured thoroughly (the option `advice`).
    """

    curve: LearningCurve
    labels: Sequence[str]
    is_complete: bool


@dataclass(frozen=True)
class IntermediateExportStarted:
    """Event: the graph of an unfinished training run is about to be written."""

    path: Path


@dataclass(frozen=True)
class FilesWritten:
    """Event: the classifier's files have been verified and moved into place."""

    exported: ExportResult


@dataclass(frozen=True)
class PhotosExamined:
    """Event: the data doctor has written its findings to a file."""

    findings: Sequence[Finding]
    path: Path
    failed_checks: Sequence[FailedCheck] = ()


@dataclass(frozen=True)
class ReportWritten:
    """Event: the report has been written."""

    path: Path


@dataclass(frozen=True)
class ConversionStarted:
    """Event: the graph is about to be converted. An ExportedFile event follows for each format."""


@dataclass(frozen=True)
class ConversionEnded:
    """Event: the files of all formats have been moved into place."""

    converted: Sequence[ExportedFile]
