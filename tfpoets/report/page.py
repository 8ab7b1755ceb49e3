"""The report: one HTML page that needs no network and no script."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from tfpoets.data import Photo
from tfpoets.doctor import Finding, finding_kinds
from tfpoets.evaluation import CalibrationBin, Metrics
from tfpoets.files import write_file

from .charts import calibration_dots, curve_charts
from .thumbnails import heat_thumbnail, thumbnail

MAX_MISCLASSIFIED = 60
MAX_FINDINGS_PER_KIND = 24
MAX_MATRIX_CLASSES = 40
MAX_CONFUSED = 5


@dataclass(frozen=True)
class Misclassification:
    """A test photo with a wrong answer: `score` is the answer's probability, `own` the right label's."""

    photo: Photo
    label: str
    answer: str
    score: float
    own: float


@dataclass(frozen=True, eq=False)
class OcclusionMap:
    """Where the classifier looked in a photo: `drops`, float [rows, columns], of the answer's probability `score`."""

    photo: Photo
    label: str
    answer: str
    score: float
    drops: np.ndarray


@dataclass(frozen=True)
class ReportContent:
    """Everything that the report shows.

    Attributes:
        title: of the page.
        labels: in output order.
        metrics: of the final test, or None where no photo was kept for it.
        unseen: whether the photos are known to have taken no part in the training.
        unknown: sentences on what is called unknown.
        bins: of the same answers, by confidence.
        misclassified: the wrong answers, the surest first.
        occlusion_maps: where it looked in some photos.
        findings: of the data doctor, ranked; None where it was sent away.
        curves: of the training, by run.
        facts: what was used, a name and a value each.
        notes: sentences about the split.
        command: labels the next photo.
    """

    title: str
    labels: Sequence[str]
    metrics: Metrics | None
    unseen: bool
    unknown: Sequence[str]
    bins: Sequence[CalibrationBin]
    misclassified: Sequence[Misclassification]
    occlusion_maps: Sequence[OcclusionMap]
    findings: Sequence[Finding] | None
    curves: dict[str, list[dict[str, float]]]
    facts: dict[str, Any]
    notes: Sequence[str]
    command: str


def write_report(path: Path, content: ReportContent) -> None:
    """Writes the page; it appears when it is whole."""
    environment = jinja2.Environment(loader=jinja2.PackageLoader("tfpoets.report", ""), autoescape=True,
                                     trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters["percent"] = lambda share: "–" if share is None else f"{share:.1%}"
    metrics = content.metrics
    page = environment.get_template("page.html.j2").render(
        content=content, metrics=metrics, verdict=_verdict(content),
        confused=[(content.labels[true], content.labels[answer], count) for true, answer, count in
                  (metrics.most_confused(MAX_CONFUSED) if metrics else [])],
        matrix=_matrix(metrics) if metrics and len(content.labels) <= MAX_MATRIX_CLASSES else None,
        misclassified=[(each, thumbnail(each.photo)) for each in content.misclassified[:MAX_MISCLASSIFIED]],
        occlusion_maps=[(each, thumbnail(each.photo), heat_thumbnail(each.photo, each.drops), float(each.drops.max()))
                        for each in content.occlusion_maps],
        kinds=_kinds(content.findings or ()), charts=curve_charts(content.curves) if content.curves else [],
        dots=calibration_dots(content.bins))
    write_file(path, page)


def _verdict(content: ReportContent) -> str:
    metrics = content.metrics
    if metrics is None:
        return "No photos were kept for a test, so how good this classifier is cannot be said."
    low, high = metrics.interval
    photos = "test photos that it had never seen" if content.unseen else "photos"
    return (f"Of {metrics.count} {photos}, this classifier named {metrics.accuracy:.1%} rightly. On more photos like "
            f"these, expect {low:.0%} to {high:.0%} (95% interval); always answering "
            f"{content.labels[metrics.majority]} would reach {metrics.majority_accuracy:.0%}.")


def _matrix(metrics: Metrics) -> list[list[tuple[int, int]]]:
    """Counts with their shade, 0 to 100: the share of the true class's photos."""
    totals = metrics.confusion.sum(axis=1).clip(min=1)
    return [[(int(count), round(100 * int(count) / int(total))) for count in row]
            for row, total in zip(metrics.confusion, totals)]


def _kinds(findings: Sequence[Finding]) -> list[tuple[str, int, list[tuple[Finding, str | None]]]]:
    """Each kind that occurs, how often, and the first of it with thumbnails."""
    found = []
    for kind in finding_kinds():
        own = [each for each in findings if each.kind == kind]
        if own:
            found.append((kind.replace("_", " "), len(own),
                          [(each, thumbnail(each.photo) if each.photo else None)
                           for each in own[:MAX_FINDINGS_PER_KIND]]))
    return found
