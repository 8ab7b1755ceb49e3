"""Pictures for people: a grid of sample photos, a confusion matrix, training curves."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from tfpoets.data import Dataset, Photo, load_full_size
from tfpoets.errors import PhotoError
from tfpoets.evaluation import Metrics

TILE, GAP, TEXT = 128, 6, 15
INK, SOFT, GROUND = (28, 37, 48), (220, 223, 227), (251, 250, 247)
GOOD, BAD = (34, 139, 87), (200, 66, 50)
CELL = 48
CURVES_INCHES, CURVES_DPI, MAX_MARKED = (9, 3.6), 120, 40
MAX_CLASSES, MAX_ROWS = 40, 100
MAX_LABEL_LENGTH = 18


def sample_grid(dataset: Dataset, columns: int) -> Image.Image:
    """A row of photos for each class, evenly spread over its files, under its name and count.

    Args:
        dataset: photos by class.
        columns: photos a class.

    Returns:
        RGB; of more than MAX_ROWS classes the first.
    """
    font = ImageFont.load_default(TEXT)
    row_height = TILE + TEXT + 3 * GAP
    shown = list(dataset.counts().items())[:MAX_ROWS]
    sheet = Image.new("RGB", (columns * (TILE + GAP) + GAP, row_height * len(shown) + GAP), GROUND)
    draw = ImageDraw.Draw(sheet)
    for number, (label, count) in enumerate(shown):
        photos = [photo for photo in dataset.photos if photo.label == label]
        top = number * row_height + GAP
        draw.text((GAP, top), f"{label} ({count})", INK, font)
        for column, photo in enumerate(_spread(photos, columns)):
            sheet.paste(_tile(photo), (GAP + column * (TILE + GAP), top + TEXT + GAP))
    return sheet


def _spread(photos: Sequence[Photo], count: int) -> list[Photo]:
    places = np.unique(np.linspace(0, len(photos) - 1, min(count, len(photos))).round().astype(int))
    return [photos[place] for place in places]


def _tile(photo: Photo) -> Image.Image:
    """A photo cut to a square; a crossed square for one that cannot be read."""
    try:
        return ImageOps.fit(Image.fromarray(load_full_size(photo.read())), (TILE, TILE))
    except PhotoError:
        tile = Image.new("RGB", (TILE, TILE), SOFT)
        draw = ImageDraw.Draw(tile)
        draw.line((0, 0, TILE, TILE), INK)
        draw.line((0, TILE, TILE, 0), INK)
        return tile


def confusion_picture(metrics: Metrics, labels: Sequence[str]) -> Image.Image | None:
    """The confusion matrix, true classes down, answers across; None where there are too many classes to read it."""
    if len(labels) > MAX_CLASSES:
        return None
    font = ImageFont.load_default(TEXT)
    shown = [label if len(label) <= MAX_LABEL_LENGTH else label[:MAX_LABEL_LENGTH - 1] + "…" for label in labels]
    margin = round(max(font.getlength(label) for label in shown)) + 2 * GAP
    side = margin + CELL * len(labels) + GAP
    sheet = Image.new("RGB", (side, side), GROUND)
    draw = ImageDraw.Draw(sheet)
    for row, label in enumerate(shown):
        middle = margin + row * CELL + CELL // 2
        draw.text((margin - GAP, middle), label, INK, font, anchor="rm")
        _paste_upright(sheet, label, font, middle, margin)
        total = max(1, int(metrics.confusion[row].sum()))
        for column, count in enumerate(metrics.confusion[row]):
            left, top = margin + column * CELL, margin + row * CELL
            share = int(count) / total
            colour = GOOD if row == column else BAD
            draw.rectangle((left, top, left + CELL - 2, top + CELL - 2), tuple(
                round(ground + share * (ink - ground)) for ground, ink in zip(GROUND, colour)))
            if count:
                draw.text((left + CELL // 2, top + CELL // 2), str(count), INK, font, anchor="mm")
    return sheet


def _paste_upright(sheet: Image.Image, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, middle: int,
                   margin: int) -> None:
    """Writes a column's label from below upwards."""
    strip = Image.new("RGB", (margin, TEXT + GAP), GROUND)
    ImageDraw.Draw(strip).text((GAP, 0), text, INK, font)
    sheet.paste(strip.rotate(90, expand=True), (middle - (TEXT + GAP) // 2, 0))


def curves_picture(curves: dict[str, list[dict[str, float]]]) -> Image.Image:
    """Accuracy and cross entropy of the training, a line for each run.

    Args:
        curves: by the run's name, points with their `step` and the figures measured there.

    Returns:
        RGB.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # here: it takes a third of a second to import
    from matplotlib.figure import Figure
    figure = Figure(figsize=CURVES_INCHES, dpi=CURVES_DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for axes, (name, title) in zip(figure.subplots(1, 2), (("accuracy", "accuracy"),
                                                           ("cross_entropy", "cross entropy (nats)"))):
        for run, points in curves.items():
            if points:
                axes.plot([point.get("l2_strength", point["step"]) for point in points],
                          [point[name] for point in points], label=run,
                          marker="." if len(points) <= MAX_MARKED else None)
        axes.set_title(title)
        if any("l2_strength" in point for points in curves.values() for point in points):
            axes.set_xscale("log")
            axes.invert_xaxis()
            axes.set_xlabel("L2 strength, from strong to weak")
        else:
            axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        if any(curves.values()):
            axes.legend()
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3].copy())
