"""What a retraining tells its caller while it runs.

Each event is a small object that is passed to `on_event`: those of this file, those of `tfpoets.training` (HeadFitted,
StepMetrics, EpochMetrics, ...), `tfpoets.exporting.ExportedFile`, and `tfpoets.progress.Progress`.
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
from tfpoets.doctor import Finding
from tfpoets.evaluation import Metrics, Rejection
from tfpoets.exporting import Exported, ExportedFile
from tfpoets.extractors import Bottlenecks, Extractor
from tfpoets.progress import listen_to_progress, stage


@dataclass(frozen=True)
class Note:
    """Event: something that a person should know. The logger `tfpoets` has it, too, and its level decides.

    Attributes:
        level: of `logging`, as text: INFO, WARNING, ...
        text: a sentence or two; options are named in backticks.
    """

    level: str
    text: str


class _Notes(logging.Handler):
    """Passes on the notes of one thread."""

    def __init__(self, on_event: Callable[[Any], None]):
        super().__init__(logging.INFO)
        self._on_event, self._thread = on_event, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self._on_event(Note(record.levelname, record.getMessage()))


@contextmanager
def notes_and_progress(on_event: Callable[[Any], None]) -> Iterator[None]:
    """Tell `on_event` of every note, and of the progress of all work, inside the block."""
    logger, handler = logging.getLogger("tfpoets"), _Notes(on_event)
    logger.addHandler(handler)
    try:
        with listen_to_progress(on_event):
            yield
    finally:
        logger.removeHandler(handler)


@dataclass(frozen=True)
class StageStarted:
    """Event: a part of the run has begun."""

    name: str


@dataclass(frozen=True)
class StageEnded:
    """Event: a part of the run is done; a part that fails does not end."""

    name: str
    seconds: float


@contextmanager
def stage_events(name: str, on_event: Callable[[Any], None], logs_parts: bool = False) -> Iterator[None]:
    """Tell `on_event` when a part of the run begins and ends, and log how long it took.

    Args:
        name: of the part.
        on_event: is told.
        logs_parts: whether what is done inside logs its own parts, and the whole is not logged besides.
    """
    on_event(StageStarted(name))
    start = time.perf_counter()
    with nullcontext() if logs_parts else stage(name):
        yield
    on_event(StageEnded(name, time.perf_counter() - start))


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


class Misclassified(NamedTuple):
    """A test photo with a wrong answer.

    Attributes:
        photo: with its true label.
        answer: the label that it was given.
        score: the probability of the answer, 0 to 1.
    """

    photo: Photo
    answer: str
    score: float


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

    def misclassified(self) -> list[Misclassified]:
        """Return the photos with a wrong answer, in the order of `photos`."""
        answers = self.probabilities.argmax(axis=1) if len(self.photos) else ()
        return [Misclassified(photo, self.labels[answer], float(row[answer]))
                for photo, row, answer in zip(self.photos, self.probabilities, answers)
                if self.labels[answer] != photo.label]


@dataclass(frozen=True)
class CrossValidated:
    """Event: every photo has been answered by a head that never saw it; `folds` are the folds' accuracies."""

    metrics: Metrics
    folds: Sequence[float]


@dataclass(frozen=True)
class IntermediateGraphWritten:
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
    """Event: the graph is about to be converted; an event ExportedFile follows for each format."""


@dataclass(frozen=True)
class ConversionEnded:
    """Event: all formats are in place."""

    converted: Sequence[ExportedFile]
