"""Format results as lines for a terminal of 80 columns."""
from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfpoets.data import Dataset
from tfpoets.doctor import Examination, finding_kinds
from tfpoets.errors import join_names
from tfpoets.escaping import escape_for_terminal
from tfpoets.evaluation import AverageMetrics, ClassMetrics, CostMetrics, Metrics, Rejection, SelectiveMetrics
from tfpoets.exporting import ExportedFile, ExportResult, RepeatedScenes
from tfpoets.recommendation import Advice
from tfpoets.report import (class_gain_sentence, cost_sentence, doubling_sentence, scene_sentences, target_sentences,
                            unknown_sentences)
from tfpoets.training import LearningCurve

from .invocation import quote
from .messages import LINE_WIDTH, as_flags

MAX_COUNTED_CLASSES = 10
MAX_CLASSES = 50
MAX_LABEL_LENGTH = 28
MAX_CONFUSIONS = 3
MAX_WEAKEST = 3
# A converted file that loses more accuracy than this (a fraction from 0 to 1) gets a warning.
MAX_ACCURACY_LOSS = 0.02


def accuracy_lines(metrics: Metrics, labels: Sequence[str], name: str) -> list[str]:
    """Return the accuracy with its interval, the majority baseline, and a caution if there are few photos."""
    low, high = metrics.interval
    lines = [f"{name} = {metrics.accuracy:.1%} (N={metrics.format_count()}), 95% interval {100 * low:.1f}-"
             f"{100 * high:.1f}%",
             f"  (always predicting {labels[metrics.majority]} would reach {metrics.majority_accuracy:.1%})"]
    return lines + _wrap(metrics.caution())


def scene_lines(scenes: RepeatedScenes) -> list[str]:
    """Return a caution about test photos that show the same scenes as training photos."""
    return textwrap.wrap(as_flags(f"CAUTION: {' '.join(scene_sentences(scenes))}"), LINE_WIDTH, subsequent_indent="  ",
                         break_long_words=False, break_on_hyphens=False)


def class_lines(metrics: Metrics, labels: Sequence[str]) -> list[str]:
    """Return a table of the classes and their averages, and the most frequent confusions.

    If there are more than MAX_CLASSES classes, those with the lowest recall are shown. The averages are over all.
    """
    labels = [escape_for_terminal(label) for label in labels]  # before the width of the column is computed
    averages = {"macro average": metrics.macro_average, "weighted average": metrics.weighted_average}
    width = min(max(map(len, [*averages, *labels])), MAX_LABEL_LENGTH)
    rows = [(label, result) for label, result in zip(labels, metrics.per_class) if result.support or result.predicted]
    lines = [f"{'class':<{width}}  photos  recall (95% interval)  precision      f1"]
    if len(rows) > MAX_CLASSES:
        rows = sorted(rows, key=lambda row: 1.0 if row[1].recall is None else row[1].recall)[:MAX_CLASSES]
        lines.insert(0, f"The {MAX_CLASSES} classes with the lowest recall, of {len(labels):,}:")
    for label, result in rows:
        short_label = _shorten(label)
        lines.append(_class_row(f"{short_label:<{width}}", result, result.recall_interval))
    lines += [_class_row(f"{name:<{width}}", average) for name, average in averages.items()]
    return lines + _confusion_lines(metrics, labels)


def weakest_class_lines(metrics: Metrics, labels: Sequence[str]) -> list[str]:
    """Return the classes with the lowest recall, with what their photos are most often taken for; at most three."""
    results = [(result.recall, number) for number, result in enumerate(metrics.per_class)
               if result.recall is not None and result.recall < 1]
    weakest = [number for _, number in sorted(results)[:MAX_WEAKEST]]
    if not weakest:
        return []
    taken_for: dict[int, tuple[int, int]] = {}
    for true, predicted, count in metrics.most_confused(len(metrics.per_class) * MAX_WEAKEST):
        taken_for.setdefault(true, (predicted, count))
    names = {number: _shorten(escape_for_terminal(labels[number])) for number in weakest}
    width = max(map(len, names.values()))
    lines = ["Weakest classes (photos recognized, 95% interval):"]
    for number in weakest:
        result, (low, high) = metrics.per_class[number], metrics.per_class[number].recall_interval or (0.0, 1.0)
        share = f"{result.correct} of {result.support}"
        line = f"  {names[number]:<{width}}  {share:>9}  {f'({100 * low:.0f}-{100 * high:.0f}%)':>9}"
        if number in taken_for:
            predicted, count = taken_for[number]
            line += f"  {count} taken for {_shorten(escape_for_terminal(labels[predicted]))}"
        lines.append(_truncate(line))
    return lines


def _shorten(label: str) -> str:
    return label if len(label) <= MAX_LABEL_LENGTH else label[:MAX_LABEL_LENGTH - 3] + "..."


def written_lines(exported: ExportResult) -> list[str]:
    """Return the paths of the written files, those with the same stem on one line, and how they were verified."""
    stems: dict[Path, list[Path]] = {}
    for path in exported.files:
        stems.setdefault(path.with_suffix("") if path.suffix else path, []).append(path)
    differing = [file for file in exported.verified if file.agreeing < file.count]
    count = max((file.count for file in exported.verified), default=0)
    lines = ["Written:" if not count or differing else f"Written, and verified on {count} test photos:"]
    lines += [f"  {', '.join([str(paths[0]), *(path.suffix for path in paths[1:])])}" for paths in stems.values()]
    return lines + [f"  {file.name}: {file.agreeing} of {file.count} labels agree, largest difference of a score "
                    f"{file.max_difference:.1g}" for file in differing]


def finding_summary_lines(examination: Examination, path: Path) -> list[str]:
    """Return the number of findings of each kind, the file that lists them, and the checks that failed."""
    counts = Counter(finding.kind for finding in examination.findings)
    kinds = ", ".join(f"{kind.replace('_', ' ')} {counts[kind]}" for kind in finding_kinds() if counts[kind])
    return [*_finding_header(examination, path), *(_wrap(kinds) if kinds else ()), *_failed_check_lines(examination)]


def _finding_header(examination: Examination, path: Path) -> list[str]:
    """Return the number of findings, and the file that lists them."""
    if examination.findings:
        return [f"Data doctor: {len(examination.findings)} findings, all listed in", f"  {path}"]
    return ["Data doctor: no problems found"
            + (" by the checks that did not fail" if examination.failed_checks else "")]


def _failed_check_lines(examination: Examination) -> list[str]:
    return [line for check in examination.failed_checks
            for line in _wrap(f"Not checked: {', '.join(check.kinds)} ({check.reason})")]


def _class_row(name: str, result: ClassMetrics | AverageMetrics, recall_interval: tuple[float, float] | None = None
               ) -> str:
    """Return a row of the table of the classes, after the padded name of the class."""
    low, high = recall_interval or (0.0, 0.0)
    interval = f"({100 * low:.0f}-{100 * high:.0f}%)" if recall_interval else ""
    return (f"{name}  {result.support:>6}  {_percent(result.recall):>6} {interval:>14}  "
            f"{_percent(result.precision):>9}  {_percent(result.f1):>6}")


def unknown_lines(rejection: Rejection, photos: str) -> list[str]:
    """Return the results of the reject option. `photos` is the term for the photos, such as "test photos"."""
    return [line for sentence in unknown_sentences(rejection, photos) for line in _wrap(sentence)]


def target_lines(selective: SelectiveMetrics, target: float, photos: str) -> list[str]:
    """Return the results of the accuracy target. `photos` is the term for the photos, such as "test photos"."""
    return [line for sentence in target_sentences(selective, target, photos) for line in _wrap(sentence)]


def cost_lines(costs: CostMetrics) -> list[str]:
    """Return what the answers cost."""
    return _wrap(cost_sentence(costs))


def learning_curve_lines(curve: LearningCurve, labels: Sequence[str], is_complete: bool) -> list[str]:
    """Return the forecast for twice as many photos and, if it is complete, the curve and the gains of the classes."""
    if not is_complete:
        return textwrap.wrap(doubling_sentence(curve), LINE_WIDTH, subsequent_indent="  ")
    lines = ["Learning curve (accuracy on the test photos, by number of training photos):"]
    lines += [f"  {point.size:>9,}  {point.accuracy:6.1%}" for point in curve.points]
    lines += _wrap(doubling_sentence(curve))
    return lines + _wrap(class_gain_sentence(curve, labels))


def advice_lines(advice: Advice) -> list[str]:
    """Return the recommendations, each with its expected gain and the flags to add, and the summary.

    The report and the JSON also contain the reasons, and the complete commands.
    """
    if not advice.recommendations:
        return _hang(f"Next steps: {advice.summary}", "  ") if advice.summary else []
    lines = ["Next steps, with the gain in accuracy to expect (percentage points):"]
    for number, item in enumerate(advice.recommendations, 1):
        lines += _hang(f"{number}. {item.action} {item.gain_text}".rstrip(), "   ")
        flags = [quote(f"--{name}={value}") for name, value in item.changes.items()]
        lines += _hang(f"   Add {' '.join(flags)} to the command.", "   ") if flags else []
    return lines + (_hang(advice.summary, "") if advice.summary else [])


def _hang(sentence: str, indent: str, width: int = LINE_WIDTH) -> list[str]:
    """Return a sentence as lines, all but the first of which are indented."""
    return textwrap.wrap(as_flags(sentence), width, subsequent_indent=indent, break_long_words=False,
                         break_on_hyphens=False)


def _confusion_lines(metrics: Metrics, labels: Sequence[str]) -> list[str]:
    pairs = metrics.most_confused(MAX_CONFUSIONS)
    if not pairs:
        return []
    confusions = ", ".join(f"{labels[true]} taken for {labels[predicted]} ({count})"
                           for true, predicted, count in pairs)
    return _wrap(f"Most frequent confusions: {confusions}.")


def cross_validation_lines(metrics: Metrics, fold_accuracies: Sequence[float], has_repeated_scenes: bool = False
                           ) -> list[str]:
    """Return the accuracy of the out-of-fold predictions for all photos, and how it varies between the folds.

    Args:
        metrics: The metrics of the predictions.
        fold_accuracies: The accuracy in each fold.
        has_repeated_scenes: Whether photos of the same scene are in different folds.
    """
    caution = ""
    if has_repeated_scenes:
        caution = " Photos of one scene are in different folds, so this overestimates the accuracy on new scenes."
    low, high = metrics.interval
    folds = 100 * np.asarray(fold_accuracies)
    return [f"{len(folds)}-fold cross-validation: accuracy = {metrics.accuracy:.1%} (N={metrics.format_count()})",
            *_wrap(f"95% interval {100 * low:.1f}-{100 * high:.1f}%; folds from {folds.min():.1f} to "
                   f"{folds.max():.1f}%, standard deviation {folds.std(ddof=1):.1f}. The photos of each fold are "
                   "predicted by a head trained on the other folds (to its optimum, even with --solver=sgd)."
                   f"{caution}")]


# What the names in the column "needs" stand for.
RUNTIMES = {"TF": "TensorFlow", "TFLite": "TensorFlow Lite and tflite-runtime, which LiteRT replaces",
            "TF.js": "TensorFlow.js", "ORT": "ONNX Runtime"}


def conversion_header() -> str:
    """Return the header of the table whose rows `conversion_row` returns."""
    return f"{'format':<14} {'MB':>5} {'same label':>10} {'max diff':>8} {'accuracy (interval)':>20} {'ms':>5} needs"


def conversion_row(converted: ExportedFile) -> str:
    """Return a row about a converted file: size, agreement, accuracy, time per photo, and the oldest runtime."""
    metrics = converted.metrics
    accuracy = "-" if metrics is None else (f"{metrics.accuracy:.1%} ({100 * metrics.interval[0]:.1f}-"
                                            f"{100 * metrics.interval[1]:.1f}%)")
    same = f"{converted.agreeing} of {converted.count}" if converted.count else "-"
    max_difference = f"{converted.max_difference:.1g}" if converted.count else "-"
    time = "-" if converted.milliseconds is None else f"{converted.milliseconds:.1f}"
    return (f"{converted.name:<14} {converted.size / 1e6:>5.1f} {same:>10} {max_difference:>8} {accuracy:>20} "
            f"{time:>5} {converted.oldest_runtime or '-'}")


def conversion_notes(converted: Sequence[ExportedFile]) -> list[str]:
    """Return an explanation of the table, the paths of the files, and warnings about lost accuracy.

    Args:
        converted: The rows of the table, starting with the graph.
    """
    shown = {(row.oldest_runtime or "").partition(" ")[0] for row in converted}
    runtimes = "; ".join(f"{name}: {runtime}" for name, runtime in RUNTIMES.items() if name in shown)
    lines = _wrap("max diff: largest difference in probability from the graph. Intervals cover 95%. ms: time per "
                  "photo on this machine, without decoding, on one thread (the .pb and the SavedModel use all cores). "
                  f"needs: the oldest version that loads the file ({runtimes})."
                  + (" The tfjs files were converted back and run in TensorFlow." if "TF.js" in shown else ""))
    for row in converted:
        if row.runtime_note:
            lines += _wrap(f"{row.name}: {row.runtime_note}")
    if converted[0].has_unknown_score and not all(row.has_unknown_score for row in converted):
        lines += _wrap("The .tflite formats and keras contain only the probabilities, so they never report a photo as "
                       "unknown.")
    graph_metrics = converted[0].metrics
    for row in converted[1:]:
        lines.append(f"  {row.path}")
        if graph_metrics and row.metrics and graph_metrics.accuracy - row.metrics.accuracy > MAX_ACCURACY_LOSS:
            loss = 100 * (graph_metrics.accuracy - row.metrics.accuracy)
            lines += _wrap(f"WARNING: The accuracy of {row.name} is {loss:.1f} points lower than the graph's, on "
                           f"{row.count} photos.")
    return lines


def photo_lines(dataset: Dataset) -> list[str]:
    """Return the number of photos in total and of each class."""
    counts = dataset.counts()
    classes = join_names([f"{label} {count}" for label, count in counts.items()], MAX_COUNTED_CLASSES)
    return textwrap.wrap(f"{len(dataset.photos)} files in {len(counts)} classes: {classes}", LINE_WIDTH,
                         subsequent_indent="  ", break_long_words=False)


def finding_lines(examination: Examination, path: Path, max_per_kind: int) -> list[str]:
    """Return the number of findings of each kind, with the first ones of each, and the checks that failed.

    Args:
        examination: What the doctor found.
        path: The file that contains all findings.
        max_per_kind: The maximum number of findings of each kind to show.
    """
    findings, lines = examination.findings, _finding_header(examination, path)
    for kind in finding_kinds():
        kind_findings = [finding for finding in findings if finding.kind == kind]
        if kind_findings:
            lines.append(f"{len(kind_findings):>6} {kind}")
        for finding in kind_findings[:max_per_kind]:
            lines.append(_truncate(escape_for_terminal(f"       {finding.short_name} {finding.suggestion}")))
    return [*lines, *_failed_check_lines(examination)]


def _truncate(line: str) -> str:
    return line if len(line) <= LINE_WIDTH else line[:LINE_WIDTH - 3] + "..."


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{fraction:.1%}"


def _wrap(sentence: str) -> list[str]:
    return textwrap.wrap(sentence, LINE_WIDTH, initial_indent="  ", subsequent_indent="  ", break_long_words=False)
