"""Charts of the learning curve and of the accuracy against coverage, as coordinates in an SVG of 100 x 100 units."""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfpoets.evaluation import CoverageCurve
from tfpoets.training import LearningCurve

# The number of points of a curve.
N_POINTS = 40
# The coverage curve starts here: the accuracy of a handful of answers is mostly noise.
MIN_COVERAGE, MIN_ANSWERS = 0.1, 20


@dataclass(frozen=True)
class Dot:
    """A circle, in SVG units, with a tooltip."""

    x: float
    y: float
    tooltip: str


@dataclass(frozen=True)
class LearningChart:
    """The learning curve. The x axis is logarithmic, from the smallest draw to twice the number of training photos.

    Attributes:
        dots: The mean accuracy of each size.
        measured: The fitted curve up to the number of training photos, as the `points` of an SVG polyline.
        forecast: The fitted curve beyond.
        band: The 95% interval of the forecast, as the `points` of an SVG polygon.
        x_ticks: The positions and texts of numbers of photos.
        y_min, y_max: The values at the ends of the y axis, as text.
    """

    dots: tuple[Dot, ...]
    measured: str
    forecast: str
    band: str
    x_ticks: tuple[tuple[float, str], ...]
    y_min: str
    y_max: str


@dataclass(frozen=True)
class CoverageChart:
    """The accuracy of the most certain answers against coverage.

    Attributes:
        line: The `points` of an SVG polyline; coverage increases from 0 on the left to 100% on the right.
        y_min: The accuracy at the lower end of the y axis, as text; the upper end is 100%.
        target: The y coordinate of the accuracy target, or None.
    """

    line: str
    y_min: str
    target: float | None


def learning_chart(curve: LearningCurve) -> LearningChart:
    """Return the chart of a learning curve."""
    smallest, largest = curve.points[0].size, curve.points[-1].size
    forecasts = [curve.law.forecast(round(size)) for size in np.geomspace(smallest, 2 * largest, N_POINTS)]
    forecasts += [curve.law.forecast(largest), curve.doubled]
    forecasts.sort(key=lambda forecast: forecast.size)
    beyond = [forecast for forecast in forecasts if forecast.size >= largest]
    values = [point.accuracy for point in curve.points]
    values += [bound for forecast in beyond for bound in forecast.interval]
    low, high = math.floor(100 * min(values)) / 100, math.ceil(100 * max(values)) / 100

    def x(size: float) -> float:
        return 100 * math.log(size / smallest) / math.log(2 * largest / smallest)

    def y(accuracy: float) -> float:
        return 100 - 100 * (accuracy - low) / ((high - low) or 1)
    dots = tuple(Dot(x(point.size), y(point.accuracy),
                     f"{point.size:,} photos: {point.accuracy:.1%} ({_draws(len(point.accuracies))})")
                 for point in curve.points)
    lower = [(x(forecast.size), y(forecast.interval[0])) for forecast in beyond]
    upper = [(x(forecast.size), y(forecast.interval[1])) for forecast in beyond]
    ticks = tuple((x(size), f"{size:,}") for size in (smallest, largest, 2 * largest))
    line = [(x(forecast.size), y(forecast.accuracy)) for forecast in forecasts]
    n_beyond = len(beyond)
    return LearningChart(dots, _points(line[:len(line) - n_beyond + 1]), _points(line[-n_beyond:]),
                         _points(lower + upper[::-1]), ticks, f"{low:.0%}", f"{high:.0%}")


def _draws(count: int) -> str:
    return "all training photos" if count == 1 else f"mean of {count} draws"


def coverage_chart(curve: CoverageCurve, target: float | None) -> CoverageChart:
    """Return the chart of the accuracy against coverage.

    Args:
        curve: The curve of the test photos.
        target: The accuracy target, 0 to 1, or None.
    """
    shown = curve.answered >= min(max(MIN_ANSWERS, MIN_COVERAGE * curve.count), curve.count)
    coverage, accuracy = curve.coverage[shown], curve.accuracy[shown]
    low = math.floor(20 * min(float(accuracy.min()), target or 1)) / 20
    low = min(low, 0.95)
    points = [(100 * x, 100 - 100 * (y - low) / (1 - low)) for x, y in zip(coverage, accuracy)]
    return CoverageChart(_points(points), f"{low:.0%}",
                         None if target is None else 100 - 100 * (target - low) / (1 - low))


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
