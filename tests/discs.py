"""Gray pictures of metal discs with and without a dent, in place of photos of castings."""
from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = 300


def write_discs(root: Path, count: int, seed: int = 0) -> None:
    """Write `count` pictures to ROOT/train and a quarter of that to ROOT/test, half of them in each of two classes."""
    rng = np.random.default_rng(seed)
    for part, n_photos in (("train", count), ("test", count // 4)):
        for label in ("dented", "ok"):
            folder = root / part / label
            folder.mkdir(parents=True)
            for number in range(n_photos // 2):
                draw_disc(label == "dented", rng).save(folder / f"{number:04d}.png")


def draw_disc(is_dented: bool, rng: np.random.Generator) -> Image.Image:
    """Return a gray picture of a disc with a hole, of 300 x 300 pixels."""
    picture = Image.new("L", (SIZE, SIZE), int(rng.integers(40, 80)))
    pen, radius = ImageDraw.Draw(picture), rng.uniform(95, 120)
    x, y = rng.uniform(radius + 10, SIZE - radius - 10, 2)
    for ring in np.arange(radius, 0, -3):  # the light falls on the middle of the disc
        gray = int(150 + 60 * (1 - ring / radius) + rng.normal(0, 4))
        pen.ellipse((x - ring, y - ring, x + ring, y + ring), gray)
    hole = radius * rng.uniform(0.15, 0.25)
    pen.ellipse((x - hole, y - hole, x + hole, y + hole), 30)
    if is_dented:
        angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(20, 32)
        dent_x, dent_y = x + radius * np.cos(angle), y + radius * np.sin(angle)
        pen.ellipse((dent_x - depth, dent_y - depth, dent_x + depth, dent_y + depth), 55)
    pixels = np.asarray(picture.filter(ImageFilter.GaussianBlur(1.5)), np.float32) + rng.normal(0, 6, (SIZE, SIZE))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
