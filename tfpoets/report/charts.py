"""Charts as points of an SVG of 100 x 100 units; the page draws them."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tfpoets.evaluation import CalibrationBin


@dataclass(frozen=True)
class Line:
    """A polyline: `points` as SVG takes them, y downwards; `name` for the legend and as CSS class."""

    name: str
    points: str


@dataclass(frozen=True)
class Chart:
    """Lines over one another, with the values at the ends of the axes."""

    title: str
    lines: tuple[Line, ...]
    low: str
    high: str
    across: str


@dataclass(frozen=True)
class Dot:
    """A bin of answers in the calibration chart: place and radius in units, and what it says."""

    x: float
    y: float
    radius: float
    title: str


def curve_charts(curves: dict[str, list[dict[str, float]]]) -> list[Chart]:
    """Accuracy and cross entropy of the training, train and validation over one another."""
    return [_chart(curves, "accuracy", "Accuracy", percent=True), _chart(curves, "cross_entropy", "Cross entropy")]


def _chart(curves: dict[str, list[dict[str, float]]], figure: str, title: str, percent: bool = False) -> Chart:
    values = [point[figure] for points in curves.values() for point in points if point[figure] == point[figure]]
    steps = [point["step"] for points in curves.values() for point in points]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    span, last = (high - low) or 1.0, max(steps, default=1) or 1

    def place(point: dict[str, float]) -> str:
        return f"{100 * point['step'] / last:.1f},{100 - 100 * (point[figure] - low) / span:.1f}"
    lines = tuple(Line(name, " ".join(place(point) for point in points if point[figure] == point[figure]))
                  for name, points in curves.items() if points)
    shown = "{:.0%}" if percent else "{:.2f}"
    return Chart(title, lines, shown.format(low), shown.format(high), f"{int(last) + 1} steps")


def calibration_dots(bins: Sequence[CalibrationBin]) -> list[Dot]:
    """How often answers of each confidence are right: on the diagonal they are as sure as they should be."""
    total = sum(each.count for each in bins)
    return [Dot(100 * each.confidence, 100 - 100 * each.accuracy, 1.5 + 6 * (each.count / total) ** 0.5,
                f"{each.count} answers with {each.confidence:.0%} on average: {each.accuracy:.0%} are right")
            for each in bins]
