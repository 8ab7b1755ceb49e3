"""Pictures of sample photos, confusion matrices and training curves."""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from tfpoets.data import Dataset, Photo, load_full_size
from tfpoets.errors import PhotoError
from tfpoets.evaluation import Metrics

# In pixels.
TILE_SIZE, CELL_SIZE, GAP, COLUMN_GAP, FONT_SIZE = 128, 48, 6, 24, 15
# RGB.
TEXT_COLOUR, PLACEHOLDER_COLOUR, BACKGROUND = (28, 37, 48), (220, 223, 227), (251, 250, 247)
CORRECT_COLOUR, ERROR_COLOUR = (34, 139, 87), (200, 66, 50)
CURVES_SIZE_INCHES, CURVES_DPI = (9, 3.6), 120
# Left, lower, right and upper edge of the curves, as fractions of the picture.
CURVES_MARGINS = 0.07, 0.16, 0.98, 0.9
# Longer curves are drawn without a marker at each point.
MAX_MARKERS = 40
MAX_MATRIX_CLASSES, MAX_GRID_CLASSES = 40, 100
MAX_LABEL_LENGTH = 18


def sample_grid(dataset: Dataset, photos_per_class: int) -> Image.Image:
    """Return a picture with a row of sample photos for each class, below its label and number of photos.

    The samples are evenly spaced over the photos of the class. If there are many classes, they are arranged in several
    columns, so that the picture is about as wide as high.

    Args:
        dataset: The photos.
        photos_per_class: The number of photos of each class.

    Returns:
        An RGB image of the first MAX_GRID_CLASSES classes.
    """
    font = ImageFont.load_default(FONT_SIZE)
    width, height = photos_per_class * (TILE_SIZE + GAP), TILE_SIZE + FONT_SIZE + 3 * GAP
    counts = list(dataset.counts().items())[:MAX_GRID_CLASSES]
    columns = max(1, round(math.sqrt(len(counts) * height / width)))
    rows = math.ceil(len(counts) / columns)
    columns = math.ceil(len(counts) / rows)
    grid = Image.new("RGB", (columns * (width + COLUMN_GAP) - COLUMN_GAP + GAP, rows * height + GAP), BACKGROUND)
    for number, (label, count) in enumerate(counts):
        photos = [photo for photo in dataset.photos if photo.label == label]
        column, row = divmod(number, rows)
        grid.paste(_class_row(f"{label} ({count})", _evenly_spaced(photos, photos_per_class), (width, height), font),
                   (column * (width + COLUMN_GAP) + GAP, row * height + GAP))
    return grid


def _class_row(title: str, photos: Sequence[Photo], size: tuple[int, int],
               font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> Image.Image:
    """Return a picture of this width and height: a line of text above a row of photos."""
    picture = Image.new("RGB", size, BACKGROUND)
    ImageDraw.Draw(picture).text((0, 0), title, TEXT_COLOUR, font)
    for column, photo in enumerate(photos):
        picture.paste(square_tile(photo), (column * (TILE_SIZE + GAP), FONT_SIZE + GAP))
    return picture


def _evenly_spaced(photos: Sequence[Photo], count: int) -> list[Photo]:
    indices = np.unique(np.linspace(0, len(photos) - 1, min(count, len(photos))).round().astype(int))
    return [photos[index] for index in indices]


def square_tile(photo: Photo) -> Image.Image:
    """Return a photo cropped to a square, or a crossed-out square if the photo cannot be read."""
    try:
        return ImageOps.fit(Image.fromarray(load_full_size(photo.read())), (TILE_SIZE, TILE_SIZE))
    except PhotoError:
        tile = Image.new("RGB", (TILE_SIZE, TILE_SIZE), PLACEHOLDER_COLOUR)
        draw = ImageDraw.Draw(tile)
        draw.line((0, 0, TILE_SIZE, TILE_SIZE), TEXT_COLOUR)
        draw.line((0, TILE_SIZE, TILE_SIZE, 0), TEXT_COLOUR)
        return tile


def confusion_picture(metrics: Metrics, labels: Sequence[str]) -> Image.Image:
    """Return a picture of the confusion matrix.

    Rows are true labels, columns are predicted labels. If there are more than MAX_MATRIX_CLASSES classes, those that
    take part in most errors are shown, with a sentence above them.

    Args:
        metrics: The metrics with the matrix.
        labels: The labels in output order.

    Returns:
        An RGB image.
    """
    font = ImageFont.load_default(FONT_SIZE)
    classes = metrics.confusion.most_confused_classes(MAX_MATRIX_CLASSES)
    short_labels = [_shorten(labels[index]) for index in classes]
    margin = round(max(font.getlength(label) for label in short_labels)) + 2 * GAP
    side = margin + CELL_SIZE * len(classes) + GAP
    is_partial = len(classes) < len(labels)
    header = FONT_SIZE + 2 * GAP if is_partial else 0
    picture = Image.new("RGB", (side, header + side), BACKGROUND)
    if is_partial:
        ImageDraw.Draw(picture).text((GAP, GAP), f"The {len(classes)} classes with the most errors, of "
                                     f"{len(labels):,}", TEXT_COLOUR, font)
    picture.paste(_matrix_picture(metrics, classes, short_labels, margin, side), (0, header))
    return picture


def _matrix_picture(metrics: Metrics, classes: np.ndarray, labels: Sequence[str], margin: int, side: int
                    ) -> Image.Image:
    """Return a square picture of the rows and columns of some classes, with their labels in the margins."""
    picture, font = Image.new("RGB", (side, side), BACKGROUND), ImageFont.load_default(FONT_SIZE)
    draw, totals = ImageDraw.Draw(picture), metrics.confusion.supports()[classes]
    for row, (label, counts) in enumerate(zip(labels, metrics.confusion.submatrix(classes))):
        middle = margin + row * CELL_SIZE + CELL_SIZE // 2
        draw.text((margin - GAP, middle), label, TEXT_COLOUR, font, anchor="rm")
        _paste_vertical_text(picture, label, font, middle, margin)
        for column, count in enumerate(counts):
            left, top = margin + column * CELL_SIZE, margin + row * CELL_SIZE
            colour = CORRECT_COLOUR if row == column else ERROR_COLOUR
            draw.rectangle((left, top, left + CELL_SIZE - 2, top + CELL_SIZE - 2),
                           _blend(colour, int(count) / max(1, int(totals[row]))))
            if count:
                draw.text((left + CELL_SIZE // 2, top + CELL_SIZE // 2), str(count), TEXT_COLOUR, font, anchor="mm")
    return picture


def _shorten(label: str) -> str:
    return label if len(label) <= MAX_LABEL_LENGTH else label[:MAX_LABEL_LENGTH - 1] + "…"


def _blend(colour: tuple[int, int, int], opacity: float) -> tuple[int, ...]:
    return tuple(round(behind + opacity * (front - behind)) for behind, front in zip(BACKGROUND, colour))


def _paste_vertical_text(picture: Image.Image, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
                         middle: int, height: int) -> None:
    """Draw the label of a column above the matrix, from the bottom to the top, centred at x = `middle`."""
    strip = Image.new("RGB", (height, FONT_SIZE + GAP), BACKGROUND)
    ImageDraw.Draw(strip).text((GAP, 0), text, TEXT_COLOUR, font)
    picture.paste(strip.rotate(90, expand=True), (middle - (FONT_SIZE + GAP) // 2, 0))


def curves_picture(curves: dict[str, list[dict[str, float]]], step_name: str = "step") -> Image.Image:
    """Return a picture of accuracy and cross entropy during training.

    Args:
        curves: The training curves by name; each point has a `step`, an `accuracy` and a `cross_entropy`, and an
            `l2_strength` if regularization strengths were tried.
        step_name: What a step is, for the label of the axis.

    Returns:
        An RGB image.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # imported here because it takes a third of a second
    from matplotlib.figure import Figure
    figure = Figure(figsize=CURVES_SIZE_INCHES, dpi=CURVES_DPI)
    figure.subplots_adjust(*CURVES_MARGINS, wspace=0.2)  # a layout engine would take longer than the drawing
    canvas = FigureCanvasAgg(figure)
    titles = {"accuracy": "accuracy", "cross_entropy": "cross entropy (nats)"}
    has_l2_strength = any("l2_strength" in point for points in curves.values() for point in points)
    for axes, (metric, title) in zip(figure.subplots(1, 2), titles.items()):
        for name, points in curves.items():
            if points:
                axes.plot([point.get("l2_strength", point["step"]) for point in points],
                          [point[metric] for point in points], label=name,
                          marker="." if len(points) <= MAX_MARKERS else None)
        axes.set_title(title)
        if has_l2_strength:
            axes.set_xscale("log")
            axes.invert_xaxis()
            axes.set_xlabel("L2 strength, decreasing")
        else:
            axes.set_xlabel(step_name)
        axes.grid(alpha=0.3)
        if any(curves.values()):
            axes.legend()
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3].copy())
