"""Charts of the report, as coordinates in an SVG of 100 x 100 units."""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tfpoets.evaluation import CalibrationBin


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        name: The text of the legend and the CSS class.
        points: The `points` attribute of an SVG polyline; y increases downwards.
    """

    name: str
    points: str


@dataclass(frozen=True)
class LineChart:
    """A chart of several lines with common axes.

    Attributes:
        title: The heading.
        lines: The lines.
        y_min, y_max: The values at the ends of the y axis, as text.
        x_label: The length of the x axis, as text.
    """

    title: str
    lines: tuple[Line, ...]
    y_min: str
    y_max: str
    x_label: str


@dataclass(frozen=True)
class CalibrationPoint:
    """A bin of predictions in the calibration chart: a circle, in SVG units, with a tooltip."""

    x: float
    y: float
    radius: float
    tooltip: str


def curve_charts(curves: dict[str, list[dict[str, float]]]) -> list[LineChart]:
    """Return the charts of accuracy and cross entropy during training, with one line for each curve."""
    return [_curve_chart(curves, "accuracy", "Accuracy", percent=True),
            _curve_chart(curves, "cross_entropy", "Cross entropy")]


def _curve_chart(curves: dict[str, list[dict[str, float]]], metric: str, title: str, percent: bool = False
                 ) -> LineChart:
    """Return the chart of one metric, with a line for each curve."""
    measured = {name: [(point["step"], point[metric]) for point in points if not math.isnan(point[metric])]
                for name, points in curves.items() if points}
    values = [value for points in measured.values() for _, value in points]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    steps = [point["step"] for points in curves.values() for point in points] or [0]
    first_step, n_intervals = min(steps), max(steps) - min(steps)
    value_range, step_range = (high - low) or 1.0, n_intervals or 1

    def coordinates(step: float, value: float) -> str:
        return f"{100 * (step - first_step) / step_range:.1f},{100 - 100 * (value - low) / value_range:.1f}"
    lines = tuple(Line(name, " ".join(coordinates(*point) for point in points)) for name, points in measured.items())
    number_format = "{:.0%}" if percent else "{:.2f}"
    return LineChart(title, lines, number_format.format(low), number_format.format(high),
                     f"{int(n_intervals) + 1} steps")


def calibration_points(bins: Sequence[CalibrationBin]) -> list[CalibrationPoint]:
    """Return a circle for each bin: x is its mean confidence, y its accuracy, and the area grows with its count."""
    total = sum(group.count for group in bins)
    return [CalibrationPoint(100 * group.confidence, 100 - 100 * group.accuracy,
                             1.5 + 6 * (group.count / total) ** 0.5,
                             f"{group.count} predictions, mean confidence {group.confidence:.0%}: "
                             f"{group.accuracy:.0%} correct")
            for group in bins]
