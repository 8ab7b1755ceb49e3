"""The report as one HTML page, without scripts and without external files."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from tfpoets.data import Photo
from tfpoets.doctor import FailedCheck, Finding, finding_kinds
from tfpoets.evaluation import CalibrationBin, CostMetrics, CoverageCurve, Metrics, SelectiveMetrics
from tfpoets.files import write_file
from tfpoets.recommendation import Advice
from tfpoets.training import LearningCurve

from .charts import calibration_points, curve_charts
from .forecast_charts import coverage_chart, learning_chart
from .forecast_sentences import (class_gain_sentence, cost_sentence, coverage_sentence, doubling_sentence,
                                 target_sentences)
from .thumbnails import occlusion_thumbnail, thumbnail

MAX_MISCLASSIFIED = 60
MAX_FINDINGS_PER_KIND = 24
MAX_MATRIX_CLASSES = 40
MAX_CLASS_ROWS = 200
MAX_CONFUSIONS = 5


@dataclass(frozen=True)
class Misclassification:
    """A misclassified photo.

    Attributes:
        photo: The photo.
        true_label, predicted_label: The labels.
        score: The probability of the predicted label, 0 to 1.
        true_score: The probability of the true label, 0 to 1.
    """

    photo: Photo
    true_label: str
    predicted_label: str
    score: float
    true_score: float


@dataclass(frozen=True, eq=False)
class OcclusionMap:
    """Which parts of a photo the prediction depends on.

    Attributes:
        photo: The photo.
        true_label, predicted_label: The labels.
        score: The probability of the predicted label, 0 to 1.
        drops: float [rows, columns], the drop in `score` when each part of the photo is covered.
    """

    photo: Photo
    true_label: str
    predicted_label: str
    score: float
    drops: np.ndarray


@dataclass(frozen=True)
class ReportContent:
    """Everything that the report shows.

    Attributes:
        title: The title of the page.
        labels: The labels in output order.
        metrics: The metrics of the evaluated photos; None if there are none.
        held_out: Whether the evaluated photos are test photos, which were held out from training.
        cautions: Sentences to read before the accuracy.
        unknown: Sentences on the photos that were called unknown.
        calibration: The predictions in bins of confidence.
        misclassified: The misclassified photos, those with the most confident predictions first.
        occlusion_maps: The occlusion maps of some photos.
        findings: The findings of the data doctor, sorted; None if it was not run.
        curves: The training curves by name; each point has a `step`, an `accuracy` and a `cross_entropy`.
        details: The data, options and versions that were used, by name.
        notes: Sentences on the split or the evaluation.
        label_command: The command that labels a photo with the classifier.
        learning_curve: The learning curve, or None.
        coverage: The accuracy of the most certain answers; None without metrics.
        selective: The metrics of the answers that are certain enough for `accuracy_target`; None without one.
        accuracy_target: The accuracy target, 0 to 1, or None.
        costs: What the answers cost, or None.
        advice: What would improve the classifier, or None.
        failed_checks: The checks of the data doctor that failed.
    """

    title: str
    labels: Sequence[str]
    metrics: Metrics | None
    held_out: bool
    cautions: Sequence[str]
    unknown: Sequence[str]
    calibration: Sequence[CalibrationBin]
    misclassified: Sequence[Misclassification]
    occlusion_maps: Sequence[OcclusionMap]
    findings: Sequence[Finding] | None
    curves: dict[str, list[dict[str, float]]]
    details: dict[str, Any]
    notes: Sequence[str]
    label_command: str
    learning_curve: LearningCurve | None = None
    coverage: CoverageCurve | None = None
    selective: SelectiveMetrics | None = None
    accuracy_target: float | None = None
    costs: CostMetrics | None = None
    advice: Advice | None = None
    failed_checks: Sequence[FailedCheck] = ()


@dataclass(frozen=True)
class FindingGroup:
    """Findings of one kind: how many there are, and the first few, each with a thumbnail or None."""

    title: str
    count: int
    shown: Sequence[tuple[Finding, str | None]]


def write_report(path: Path, content: ReportContent) -> None:
    """Write the page to `path`, atomically."""
    environment = jinja2.Environment(loader=jinja2.PackageLoader("tfpoets.report", ""), autoescape=True,
                                     trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters["no_backticks"] = lambda sentence: sentence.replace("`", "")
    environment.filters["percent"] = lambda fraction: "–" if fraction is None else f"{fraction:.1%}"
    metrics = content.metrics
    page = environment.get_template("page.html.j2").render(
        content=content, metrics=metrics, summary=_summarize(content), confusions=_most_frequent_confusions(content),
        class_rows=_class_rows(metrics) if metrics else [], matrix=_shaded_matrix(metrics) if metrics else None,
        misclassified=[(error, thumbnail(error.photo)) for error in content.misclassified[:MAX_MISCLASSIFIED]],
        occlusion_maps=[(occlusion, thumbnail(occlusion.photo), occlusion_thumbnail(occlusion.photo, occlusion.drops),
                         float(occlusion.drops.max())) for occlusion in content.occlusion_maps],
        finding_groups=_group_findings(content.findings or ()),
        line_charts=curve_charts(content.curves) if content.curves else [],
        calibration_points=calibration_points(content.calibration), max_classes=MAX_MATRIX_CLASSES,
        **_forecasts(content))
    write_file(path, page)


def _forecasts(content: ReportContent) -> dict[str, Any]:
    """Return the charts and sentences about more photos, and about answers that are left to a person."""
    curve, coverage, metrics = content.learning_curve, content.coverage, content.metrics
    values: dict[str, Any] = {"learning_chart": None, "coverage_chart": None}
    if curve is not None:
        values.update(learning_chart=learning_chart(curve), doubling=doubling_sentence(curve),
                      class_gain=class_gain_sentence(curve, content.labels))
    if coverage is not None and metrics is not None:
        target, sentences = content.accuracy_target, []
        if content.selective and target:
            sentences = target_sentences(content.selective, target, "test photos" if content.held_out else "photos")
        values.update(
            coverage_chart=coverage_chart(coverage, target), coverage=coverage_sentence(coverage, metrics),
            target_sentences=sentences, cost=cost_sentence(content.costs) if content.costs else "")
    return values


def _summarize(content: ReportContent) -> str:
    metrics = content.metrics
    if metrics is None:
        return "No photos were held out for testing, so the accuracy was not measured."
    low, high = metrics.interval
    photos = metrics.format_count(" test photos" if content.held_out else " photos")
    photos += ", none of which were used for training" if content.held_out else ""
    return (f"Accuracy on {photos}. On similar photos, expect {low:.0%} to {high:.0%} (95% interval). "
            f"Always predicting {content.labels[metrics.majority]} would reach {metrics.majority_accuracy:.0%}.")


def _most_frequent_confusions(content: ReportContent) -> list[tuple[str, str, int]]:
    """Return (true label, predicted label, number of photos) of the most frequent errors."""
    if content.metrics is None:
        return []
    return [(content.labels[true], content.labels[predicted], count)
            for true, predicted, count in content.metrics.most_confused(MAX_CONFUSIONS)]


def _class_rows(metrics: Metrics) -> list[int]:
    """Return the classes to list: all of them, or the MAX_CLASS_ROWS classes with the lowest recall."""
    classes = range(len(metrics.per_class))
    if len(classes) <= MAX_CLASS_ROWS:
        return list(classes)
    recalls = np.array([row.recall for row in metrics.per_class], float)  # NaN, which is sorted last, without photos
    return np.argsort(recalls, kind="stable")[:MAX_CLASS_ROWS].tolist()


def _shaded_matrix(metrics: Metrics) -> tuple[list[int], list[list[tuple[int, int]]]]:
    """Return the classes of the confusion matrix, and its cells as (count, percentage of the true class's photos).

    With more than MAX_MATRIX_CLASSES classes, the matrix contains those that take part in most errors.
    """
    classes = metrics.confusion.most_confused_classes(MAX_MATRIX_CLASSES)
    totals = metrics.confusion.supports()[classes].clip(min=1)
    return classes.tolist(), [[(int(count), round(100 * int(count) / int(total))) for count in row]
                              for row, total in zip(metrics.confusion.submatrix(classes), totals)]


def _group_findings(findings: Sequence[Finding]) -> list[FindingGroup]:
    """Group the findings by kind, with thumbnails of the first ones."""
    groups = []
    for kind in finding_kinds():
        matching = [finding for finding in findings if finding.kind == kind]
        if matching:
            shown = [(finding, thumbnail(finding.photo) if finding.photo else None)
                     for finding in matching[:MAX_FINDINGS_PER_KIND]]
            groups.append(FindingGroup(kind.replace("_", " ").capitalize(), len(matching), shown))
    return groups
