"""Figures as lines for a terminal of 80 columns."""
from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfpoets.data import Dataset
from tfpoets.doctor import Finding, finding_kinds
from tfpoets.evaluation import Metrics, Rejection
from tfpoets.exporting import ExportedFile
from tfpoets.report import unknown_sentences

from .messages import LINE_WIDTH

MAX_COUNTED_CLASSES = 10
MAX_CLASSES = 50
MAX_LABEL_LENGTH = 28
MAX_CONFUSIONS = 3
# Accuracy that a converted file may lose without a warning.
MAX_LOST = 0.02


def accuracy_lines(metrics: Metrics, labels: Sequence[str], name: str) -> list[str]:
    """Accuracy with its interval, what it must be measured by, and a caution where the photos are few."""
    low, high = metrics.interval
    lines = [f"{name} = {metrics.accuracy:.1%} (N={metrics.count}), 95% interval {100 * low:.1f}-{100 * high:.1f}%",
             f"  (always answering {labels[metrics.majority]} would reach {metrics.majority_accuracy:.1%})"]
    return lines + _wrapped(metrics.caution())


def class_lines(metrics: Metrics, labels: Sequence[str]) -> list[str]:
    """A table of the classes, the worst recall first where they are too many for all, and the usual confusions."""
    width = min(max(len("class"), *map(len, labels)), MAX_LABEL_LENGTH)
    rows = [(label, each) for label, each in zip(labels, metrics.per_class) if each.support or each.predicted]
    lines = [f"{'class':<{width}}  photos  recall (95% interval)  precision      f1"]
    if len(rows) > MAX_CLASSES:
        rows = sorted(rows, key=lambda row: 1.0 if row[1].recall is None else row[1].recall)[:MAX_CLASSES]
        lines.insert(0, f"The {MAX_CLASSES} classes of the lowest recall:")
    for label, each in rows:
        shown = label if len(label) <= width else label[:width - 3] + "..."
        bounds = each.recall_interval
        interval = f"({100 * bounds[0]:.0f}-{100 * bounds[1]:.0f}%)" if bounds else ""
        lines.append(f"{shown:<{width}}  {each.support:>6}  {_percent(each.recall):>6} {interval:>14}  "
                     f"{_percent(each.precision):>9}  {_percent(each.f1):>6}")
    return lines + _confusion_lines(metrics, labels)


def unknown_lines(rejection: Rejection, photos: str) -> list[str]:
    """What the reject option does to `photos`, and to strangers where there were some."""
    return [line for sentence in unknown_sentences(rejection, photos) for line in _wrapped(sentence)]


def _confusion_lines(metrics: Metrics, labels: Sequence[str]) -> list[str]:
    pairs = metrics.most_confused(MAX_CONFUSIONS)
    if not pairs:
        return []
    told = ", ".join(f"{labels[true]} for {labels[answer]} ({count})" for true, answer, count in pairs)
    return _wrapped(f"Most often taken for another: {told}.")


def cross_validation_lines(metrics: Metrics, folds: Sequence[float]) -> list[str]:
    """The accuracy over all photos, each answered by a head that never saw it, with the spread of the folds."""
    low, high = metrics.interval
    return [f"Cross-validation in {len(folds)} folds: accuracy = {metrics.accuracy:.1%} (N={metrics.count})",
            *_wrapped(f"95% interval {100 * low:.1f}-{100 * high:.1f}%; folds from {100 * min(folds):.1f} to "
                      f"{100 * max(folds):.1f}%, spread {100 * np.std(folds, ddof=1):.1f}. Each fold is answered by a "
                      "head (the optimum, not steps) that the others trained.")]


def conversion_header() -> str:
    """The head of the table whose rows are `conversion_line`."""
    return f"{'format':<15} {'MB':>6}  {'same label':>12}  {'largest':>8}  {'accuracy (95% interval)':>23}  {'ms':>5}"


def conversion_line(converted: ExportedFile) -> str:
    """A converted file beside its graph: size, agreement, largest difference of a probability, accuracy, time."""
    metrics = converted.metrics
    accuracy = "-" if metrics is None else (f"{metrics.accuracy:.1%} ({100 * metrics.interval[0]:.1f}-"
                                            f"{100 * metrics.interval[1]:.1f}%)")
    same = f"{converted.agreeing} of {converted.count}" if converted.count else "-"
    largest = f"{converted.max_difference:.1g}" if converted.count else "-"
    time = "-" if converted.milliseconds is None else f"{converted.milliseconds:.1f}"
    return (f"{converted.name:<15} {converted.size / 1e6:>6.1f}  {same:>12}  {largest:>8}  {accuracy:>23}  {time:>5}")


def conversion_notes(converted: Sequence[ExportedFile]) -> list[str]:
    """Where the files are, what they lack of a graph with a reject option, and who lost accuracy."""
    lines = _wrapped("Largest: difference of a probability to the graph's. ms: for one photo here, without decoding, "
                     "on one thread (the .pb and the SavedModel on all cores); tfjs runs in browsers only, its files "
                     "were put together again and run here.")
    if converted[0].has_unknown_score and not all(each.has_unknown_score for each in converted):
        lines += _wrapped("The .tflite formats carry the probabilities alone: they never answer unknown.")
    own = converted[0].metrics
    for each in converted[1:]:
        lines.append(f"  {each.path}")
        if own and each.metrics and own.accuracy - each.metrics.accuracy > MAX_LOST:
            lost = 100 * (own.accuracy - each.metrics.accuracy)
            lines += _wrapped(f"WARNING: {each.name} is right {lost:.1f} points less often than the graph, on "
                              f"{each.count} photos.")
    return lines


def photo_lines(dataset: Dataset) -> list[str]:
    """How many photos there are, and of what."""
    counts = dataset.counts()
    listed = ", ".join(f"{label} {count}" for label, count in list(counts.items())[:MAX_COUNTED_CLASSES])
    more = f" and {len(counts) - MAX_COUNTED_CLASSES} more" if len(counts) > MAX_COUNTED_CLASSES else ""
    return textwrap.wrap(f"{len(dataset.photos)} files in {len(counts)} classes: {listed}{more}", LINE_WIDTH,
                         subsequent_indent="  ", break_long_words=False)


def finding_lines(findings: Sequence[Finding], path: Path, most: int) -> list[str]:
    """How many findings there are of each kind, with the first `most` of it; `path` is the file with all."""
    if not findings:
        return ["Data doctor: nothing found"]
    lines = [f"Data doctor: {len(findings)} things to look at, all of them in", f"  {path}"]
    for kind in finding_kinds():
        own = [each for each in findings if each.kind == kind]
        if own:
            lines.append(f"{len(own):>6} {kind}")
        for each in own[:most]:
            lines.append(_cut(f"       {each.short_name} {each.suggestion}"))
    return lines


def _cut(line: str) -> str:
    return line if len(line) <= LINE_WIDTH else line[:LINE_WIDTH - 3] + "..."


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _wrapped(sentence: str) -> list[str]:
    return textwrap.wrap(sentence, LINE_WIDTH, initial_indent="  ", subsequent_indent="  ", break_long_words=False)
