"""Small pictures of ten shapes, which a network can learn to classify but a linear model of the pixels cannot."""
from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SHAPES = ("checks", "cross", "disc", "frame", "plus", "ring", "square", "stripes_across", "stripes_down", "triangle")


def write_shapes(root: Path, count: int, size: int = 32, seed: int = 0) -> None:
    """Write `count` pictures of each shape, with random colours, positions and sizes, on noisy backgrounds."""
    rng = np.random.default_rng(seed)
    for label in SHAPES:
        (root / label).mkdir(parents=True)
        for number in range(count):
            draw_shape(label, size, rng).save(root / label / f"{number:04d}.png")


def write_flat_shapes(root: Path, count: int, size: int = 32, seed: int = 0) -> None:
    """Write `count` pictures of each shape to ROOT/train, and a quarter of that to ROOT/test, in flat folders.

    The names contain the labels, as in the download of CIFAR-10 as PNG files: `train/0_disc.png`.
    """
    rng = np.random.default_rng(seed)
    for part, n_photos in (("train", count), ("test", count // 4)):
        (root / part).mkdir(parents=True)
        for number in range(n_photos * len(SHAPES)):
            label = SHAPES[number % len(SHAPES)]
            draw_shape(label, size, rng).save(root / part / f"{number}_{label}.png")
        (root / "labels.txt").write_text("\n".join(SHAPES) + "\n")


def draw_shape(label: str, size: int, rng: np.random.Generator) -> Image.Image:
    """Return one picture of a shape."""
    patches = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
    background = np.asarray(patches.resize((size, size), Image.Resampling.BICUBIC), np.float32)
    ink = rng.integers(0, 256, 3).astype(np.float32)
    while np.abs(ink - background.mean((0, 1))).max() < 90:  # otherwise the shape would be invisible
        ink = rng.integers(0, 256, 3).astype(np.float32)
    large = 4 * size  # draw the shape larger and scale it down, for smooth edges
    mask = Image.new("L", (large, large))
    radius = rng.uniform(0.22, 0.38) * large
    x, y = rng.uniform(radius, large - radius, 2)
    _draw(ImageDraw.Draw(mask), label, x, y, radius)
    mask = mask.rotate(rng.uniform(-12, 12), center=(x, y)).filter(ImageFilter.BoxBlur(1))
    coverage = np.asarray(mask.resize((size, size), Image.Resampling.BOX), np.float32)[..., None] / 255
    pixels = background * (1 - coverage) + ink * coverage + rng.normal(0, 12, (size, size, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _draw(pen: ImageDraw.ImageDraw, label: str, x: float, y: float, r: float) -> None:
    box, band = (x - r, y - r, x + r, y + r), 0.45 * r
    if label == "disc":
        pen.ellipse(box, 255)
    elif label == "ring":
        pen.ellipse(box, outline=255, width=round(band))
    elif label == "square":
        pen.rectangle(box, 255)
    elif label == "frame":
        pen.rectangle(box, outline=255, width=round(band))
    elif label == "triangle":
        pen.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], 255)
    elif label == "plus":
        pen.rectangle((x - r, y - band / 2, x + r, y + band / 2), 255)
        pen.rectangle((x - band / 2, y - r, x + band / 2, y + r), 255)
    elif label == "cross":
        pen.line((x - r, y - r, x + r, y + r), 255, round(band))
        pen.line((x - r, y + r, x + r, y - r), 255, round(band))
    else:
        _draw_pattern(pen, label, x, y, r)


def _draw_pattern(pen: ImageDraw.ImageDraw, label: str, x: float, y: float, r: float) -> None:
    """Draw three stripes, or five squares of a 3 x 3 checkerboard, in a square."""
    third = 2 * r / 3
    for row in range(3):
        for column in range(3):
            left, top = x - r + column * third, y - r + row * third
            if label == "checks":
                filled = (row + column) % 2 == 0
                pen.rectangle((left, top, left + third, top + third), 255 if filled else 0)
            elif label == "stripes_across":
                pen.rectangle((left, top, left + third, top + 0.55 * third), 255)
            else:
                pen.rectangle((left, top, left + 0.55 * third, top + third), 255)
