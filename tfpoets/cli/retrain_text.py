"""Print the events of a retraining run as text."""
from __future__ import annotations

import datetime
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from tfpoets import events
from tfpoets.data import Photo
from tfpoets.doctor import Examination
from tfpoets.exporting import ExportedFile
from tfpoets.training import AugmentedViewsExtracted, EpochMetrics, FineTuningComparison, HeadFitted, StepMetrics

from .messages import LINE_WIDTH, print_lines
from .text import (accuracy_lines, conversion_header, conversion_notes, conversion_row, cost_lines,
                   cross_validation_lines, finding_summary_lines, learning_curve_lines, photo_lines, scene_lines,
                   target_lines, unknown_lines, weakest_class_lines, written_lines)

# The number of unreadable files that are listed by name. The report contains all of them.
MAX_UNREADABLE = 50
CHECKS_SKIPPED = ("Skipped: the data doctor (wrong labels, duplicates and other problems in the photos), and the "
                  "check whether test photos repeat the scenes of training photos. They need the features of a "
                  "pretrained network, which take longer than training a small one. Add --doctor to run them.")

# Which programs apply the threshold and the costs.
APPLIED_BY = ("in the metadata. The commands of tfpoets, and the output `label` of a SavedModel, apply {them}. Other "
              "programs get probabilities, and must apply {them} themselves; a .keras file does not contain {them}.")


class EventPrinter:
    """A callback that prints each event as it arrives.

    Args:
        stream: The stream to print to.
        list_misclassified: Whether to list the misclassified test photos.
    """

    def __init__(self, stream: TextIO, list_misclassified: bool = False):
        self._stream = stream
        self._list_misclassified = list_misclassified
        self._has_repeated_scenes = False
        self._lines: dict[type, Callable[[Any], Sequence[str]]] = {
            events.PhotosListed: lambda event: photo_lines(event.dataset),
            events.BottlenecksExtracted: _extraction_lines,
            events.ChecksSkipped: lambda event: textwrap.wrap(CHECKS_SKIPPED, LINE_WIDTH, subsequent_indent="  ",
                                                              break_on_hyphens=False),
            events.PhotosSplit: _split_lines,
            AugmentedViewsExtracted: lambda event: [f"Bottlenecks of {event.views} augmented views of {event.photos} "
                                                    f"photos: {event.computed} computed"],
            HeadFitted: _head_lines,
            StepMetrics: _step_lines,
            EpochMetrics: _epoch_lines,
            FineTuningComparison: lambda event: textwrap.wrap(event.summary(), LINE_WIDTH, subsequent_indent="  "),
            events.IntermediateExportStarted: lambda event: [f"Save intermediate result to : {event.path}"],
            events.Evaluated: self._evaluation_lines,
            events.LearningCurveMeasured: self._curve_lines,
            events.CrossValidated: lambda event: cross_validation_lines(event.metrics, event.fold_accuracies,
                                                                        self._has_repeated_scenes),
            events.FilesWritten: lambda event: written_lines(event.exported),
            events.PhotosExamined: lambda event: finding_summary_lines(
                Examination(event.findings, event.failed_checks), event.path),
            events.ReportWritten: lambda event: [f"Report:         {event.path}"],
            events.ConversionStarted: lambda event: [conversion_header()],
            ExportedFile: lambda event: [conversion_row(event)],
            events.ConversionEnded: lambda event: conversion_notes(event.converted)}

    def __call__(self, event: Any) -> None:
        """Print the lines of an event. Events of other types are ignored."""
        for line in self._lines.get(type(event), lambda _: ())(event):
            print_lines(line, stream=self._stream)
        self._stream.flush()

    def _curve_lines(self, event: events.LearningCurveMeasured) -> list[str]:
        """Return the lines on a complete learning curve; the forecast of a quick one is among the next steps."""
        return learning_curve_lines(event.curve, event.labels, True) if event.is_complete else []

    def _evaluation_lines(self, event: events.Evaluated) -> list[str]:
        """Return the lines on the test photos."""
        if event.metrics is None:
            return ["No photos were held out for a test, so the accuracy of the classifier is unknown."]
        self._has_repeated_scenes = event.repeated_scenes is not None
        lines = scene_lines(event.repeated_scenes) if event.repeated_scenes else []
        if event.balanced_batch:
            lines.append("Test accuracy of a batch sampled evenly from the classes = "
                         f"{event.balanced_batch.accuracy:.1%} (N={event.balanced_batch.count})")
        lines += accuracy_lines(event.metrics, event.labels, "Final test accuracy")
        lines += weakest_class_lines(event.metrics, event.labels)
        if event.rejection:
            lines += unknown_lines(event.rejection, "test photos")
        if event.selective and event.accuracy_target:
            lines += target_lines(event.selective, event.accuracy_target, "test photos")
        if event.costs:
            lines += cost_lines(event.costs)
        lines += _application_lines(event)
        if self._list_misclassified:
            lines.append("=== MISCLASSIFIED TEST IMAGES ===")
            lines += [f"{error.photo.uri:>70}  {error.predicted}" for error in event.misclassified()]
        return lines


def _application_lines(event: events.Evaluated) -> list[str]:
    """Return lines on which programs apply the threshold of the accuracy target and the costs."""
    subjects = [name for name, is_set in (("threshold", event.selective), ("costs", event.costs)) if is_set]
    if not subjects:
        return []
    is_one = subjects == ["threshold"]
    text = f"The {' and the '.join(subjects)} {'is' if is_one else 'are'} "
    return textwrap.wrap(text + APPLIED_BY.format(them="it" if is_one else "them"), LINE_WIDTH, initial_indent="  ",
                         subsequent_indent="  ")


def _extraction_lines(event: events.BottlenecksExtracted) -> list[str]:
    bottlenecks, extractor = event.bottlenecks, event.extractor
    lines = [f"Bottlenecks by {extractor.name} at {extractor.height} x {extractor.width} pixels: "
             f"{bottlenecks.computed} computed, {len(bottlenecks.dataset.photos)} in all"] if extractor else []
    return lines + _unreadable_lines(bottlenecks.unreadable)


def _unreadable_lines(unreadable: Sequence[tuple[Photo, str]]) -> list[str]:
    if not unreadable:
        return []
    lines = ["1 file cannot be used and is left out:" if len(unreadable) == 1 else
             f"{len(unreadable)} files cannot be used and are left out:"]
    lines += [f"  {photo.uri}: {reason}" for photo, reason in unreadable[:MAX_UNREADABLE]]
    more = len(unreadable) - MAX_UNREADABLE
    return lines + ([f"  and {more} more"] if more > 0 else [])


def _split_lines(event: events.PhotosSplit) -> list[str]:
    parts = ", ".join(f"{count} {name}" for name, count in event.split.counts().items())
    return [f"Split: {parts} photos"]


def _head_lines(event: HeadFitted) -> list[str]:
    refitted = "; trained again with the validation photos" if event.fit.refitted else ""
    return [f"Head: L2 strength {event.fit.l2:.2g}{refitted}"]


def _step_lines(step: StepMetrics) -> list[str]:
    """Return the lines that TensorFlow for Poets printed for a step."""
    start = f"{datetime.datetime.now()}: Step {step.number}:"
    lines = [f"{start} Train accuracy = {step.train_accuracy:.1%}", f"{start} Cross entropy = {step.train_loss:f}"]
    if step.validation_count:
        lines.append(f"{start} Validation accuracy = {step.validation_accuracy:.1%} (N={step.validation_count})")
    return lines


def _epoch_lines(epoch: EpochMetrics) -> list[str]:
    seconds = "" if epoch.seconds is None else f", {_format_seconds(epoch.seconds)}"
    return [f"Epoch {epoch.number + 1}{seconds}: train loss {epoch.train_loss:.4f}, accuracy "
            f"{epoch.train_accuracy:.1%}; validation {epoch.validation_loss:.4f}, {epoch.validation_accuracy:.1%}"]


def _format_seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
