"""A picture of compared classifiers: accuracy against the time for one photo."""
from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

SIZE_INCHES, DPI = (10, 4.8), 120
# Left, lower, right and upper edge of the chart, as fractions of the picture. The names are to the right of it.
MARGINS = 0.07, 0.12, 0.62, 0.93
MAX_NAME_LENGTH = 44
# As a fraction of the chart.
MAX_ROW_HEIGHT = 0.06
# The ticks of a decade: at least one of them is in every range from x to 2.25 x.
TICKS = (1.0, 2.0, 3.0, 5.0, 7.0)
FRONT_COLOUR, OTHER_COLOUR = "#22624a", "#9a9a9a"


@dataclass(frozen=True)
class ComparisonPoint:
    """A classifier in the picture.

    Attributes:
        name: Its name.
        milliseconds: The time for one photo.
        accuracy: The accuracy, 0 to 1.
        interval: The 95% interval of the accuracy.
        on_front: Whether it is on the Pareto front.
    """

    name: str
    milliseconds: float
    accuracy: float
    interval: tuple[float, float]
    on_front: bool


def comparison_picture(points: Sequence[ComparisonPoint]) -> Image.Image:
    """Return a picture of the accuracy, with intervals, against the time, with a line along the Pareto front.

    Args:
        points: The classifiers in the order of their numbers, which are written next to the points, from 1.

    Returns:
        An RGB image.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # imported here because it takes a third of a second
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties, findfont, get_font
    from matplotlib.ticker import LogLocator, NullLocator
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI)
    figure.subplots_adjust(*MARGINS)
    known_characters = get_font(findfont(FontProperties())).get_charmap()
    canvas, axes = FigureCanvasAgg(figure), figure.subplots()
    front = sorted((point for point in points if point.on_front), key=lambda point: point.milliseconds)
    axes.step([point.milliseconds for point in front], [100 * point.accuracy for point in front], where="post",
              color=FRONT_COLOUR, linewidth=1, linestyle="--", label="Pareto front")
    for number, point in enumerate(points, 1):
        colour = FRONT_COLOUR if point.on_front else OTHER_COLOUR
        low, high = point.interval
        axes.errorbar(point.milliseconds, 100 * point.accuracy, color=colour, marker="o", capsize=3,
                      # At 0% and 100%, rounding can make a difference negative, which is not allowed.
                      yerr=[[100 * max(0.0, point.accuracy - low)], [100 * max(0.0, high - point.accuracy)]],
                      elinewidth=1)
        axes.annotate(str(number), (point.milliseconds, 100 * point.accuracy), (6, 5), textcoords="offset points",
                      color=colour, weight="bold")
    axes.set_xscale("log")
    times = [point.milliseconds for point in points]
    axes.set_xlim(min(times) / 1.5, 1.5 * max(times))
    axes.xaxis.set_major_locator(LogLocator(subs=TICKS))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("milliseconds per photo on one thread, without decoding (logarithmic)")
    axes.set_title("accuracy in percent, with 95% intervals", loc="left", fontsize=10)
    axes.grid(alpha=0.3)
    row_height = min(MAX_ROW_HEIGHT, 1 / len(points))
    for row, point in enumerate(points):
        axes.text(1.03, 0.98 - row_height * row, f"{row + 1}  {_shorten(point.name, known_characters)}",
                  transform=axes.transAxes, va="top", fontsize=9, parse_math=False,
                  color=FRONT_COLOUR if point.on_front else OTHER_COLOUR)
    axes.legend(loc="lower right", fontsize=8)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3].copy())


def _shorten(name: str, known_characters: Container[int]) -> str:
    """Return a name of at most MAX_NAME_LENGTH characters; the end of a path says more than its beginning."""
    # Matplotlib would warn of each character that the font lacks.
    name = "".join(character if ord(character) in known_characters else "?" for character in name)
    return name if len(name) <= MAX_NAME_LENGTH else f"…{name[1 - MAX_NAME_LENGTH:]}"
