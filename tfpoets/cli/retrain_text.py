"""What `retrain` prints: the events of a retraining as lines."""
from __future__ import annotations

import datetime
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from tfpoets import events
from tfpoets.data import Photo
from tfpoets.exporting import ExportedFile
from tfpoets.training import AugmentedViewsExtracted, EpochMetrics, FineTuningComparison, HeadFitted, StepMetrics

from .messages import LINE_WIDTH
from .text import (accuracy_lines, conversion_header, conversion_line, conversion_notes, cross_validation_lines,
                   finding_lines, photo_lines, unknown_lines)

# More bad photos than this are counted, not listed; the report has all.
MAX_LISTED = 50
# Of each kind of the doctor's findings.
MAX_FINDINGS = 1


class EventPrinter:
    """Prints each event as it comes.

    Args:
        stream: where to.
        misclassified: list the test photos with a wrong answer, too.
    """

    def __init__(self, stream: TextIO, misclassified: bool = False):
        self._stream = stream
        self._misclassified = misclassified
        self._lines: dict[type, Callable[[Any], Sequence[str]]] = {
            events.PhotosRead: lambda event: photo_lines(event.dataset),
            events.BottlenecksExtracted: _extraction_lines,
            events.PhotosSplit: _split_lines,
            AugmentedViewsExtracted: lambda event: [f"Bottlenecks of {event.views} augmented views of {event.photos} "
                                                    f"photos: {event.computed} computed"],
            HeadFitted: _head_lines,
            StepMetrics: _step_lines,
            EpochMetrics: _epoch_lines,
            FineTuningComparison: lambda event: textwrap.wrap(event.summary(), LINE_WIDTH, subsequent_indent="  "),
            events.IntermediateGraphWritten: lambda event: [f"Save intermediate result to : {event.path}"],
            events.Evaluated: self._evaluation_lines,
            events.CrossValidated: lambda event: cross_validation_lines(event.metrics, event.folds),
            events.FilesWritten: _file_lines,
            events.PhotosExamined: lambda event: finding_lines(event.findings, event.path, MAX_FINDINGS),
            events.ReportWritten: lambda event: [f"Report:         {event.path}"],
            events.ConversionStarted: lambda event: [conversion_header()],
            ExportedFile: lambda event: [conversion_line(event)],
            events.ConversionEnded: lambda event: conversion_notes(event.converted)}

    def __call__(self, event: Any) -> None:
        """Print an event's lines; an event that has none is passed over."""
        for line in self._lines.get(type(event), lambda _: ())(event):
            print(line, file=self._stream)
        self._stream.flush()

    def _evaluation_lines(self, event: events.Evaluated) -> list[str]:
        if event.metrics is None:
            return ["No photos were kept for a test, so how good the classifier is cannot be said."]
        lines = []
        if event.drawn:
            lines.append(f"Test accuracy of a batch drawn evenly from the classes = {event.drawn[0]:.1%} "
                         f"(N={event.drawn[1]})")
        lines += accuracy_lines(event.metrics, event.labels, "Final test accuracy")
        if event.rejection:
            lines += unknown_lines(event.rejection, "test photos")
        if self._misclassified:
            lines.append("=== MISCLASSIFIED TEST IMAGES ===")
            lines += [f"{each.photo.uri:>70}  {each.answer}" for each in event.misclassified()]
        return lines


def _extraction_lines(event: events.BottlenecksExtracted) -> list[str]:
    found, extractor = event.bottlenecks, event.extractor
    first = [f"Bottlenecks by {extractor.name} at {extractor.height} x {extractor.width} pixels: "
             f"{found.computed} computed, {len(found.dataset.photos)} in all"] if extractor else []
    return first + _unreadable_lines(found.unreadable)


def _unreadable_lines(unreadable: Sequence[tuple[Photo, str]]) -> list[str]:
    if not unreadable:
        return []
    lines = ["1 file cannot be used and is left out:" if len(unreadable) == 1 else
             f"{len(unreadable)} files cannot be used and are left out:"]
    lines += [f"  {photo.uri}: {reason}" for photo, reason in unreadable[:MAX_LISTED]]
    more = len(unreadable) - MAX_LISTED
    return lines + ([f"  and {more} more"] if more > 0 else [])


def _split_lines(event: events.PhotosSplit) -> list[str]:
    parts = ", ".join(f"{count} {name}" for name, count in event.split.counts().items())
    return [f"Split: {parts} photos"]


def _head_lines(event: HeadFitted) -> list[str]:
    again = "; trained again with the validation photos" if event.fit.refitted else ""
    return [f"Head: L2 strength {event.fit.l2:.2g}{again}"]


def _step_lines(step: StepMetrics) -> list[str]:
    """The lines of TensorFlow for Poets."""
    start = f"{datetime.datetime.now()}: Step {step.number}:"
    lines = [f"{start} Train accuracy = {step.train_accuracy:.1%}", f"{start} Cross entropy = {step.train_loss:f}"]
    if step.validation_count:
        lines.append(f"{start} Validation accuracy = {step.validation_accuracy:.1%} (N={step.validation_count})")
    return lines


def _epoch_lines(epoch: EpochMetrics) -> list[str]:
    return [f"Epoch {epoch.number + 1}: train loss {epoch.train_loss:.4f}, accuracy {epoch.train_accuracy:.1%}; "
            f"validation loss {epoch.validation_loss:.4f}, {epoch.validation_accuracy:.1%}"]


def _file_lines(event: events.FilesWritten) -> list[str]:
    exported = event.exported
    lines = ["Written:", *(f"  {path}" for path in exported.files)]
    if exported.proven:
        lines.append("Checked on test photos: same labels, and the largest difference of a score")
    return lines + [f"  {parity.name:<26} {f'{parity.agreeing} of {parity.count}':>11} {parity.largest:10.1g}"
                    for parity in exported.proven]
