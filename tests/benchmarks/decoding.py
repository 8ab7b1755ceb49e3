"""Ways to decode a JPEG for the network, in turn, on one thread; simplejpeg must be installed for this (pip).

python -m tests.benchmarks.decoding --image_dir=PHOTOS [--image_size=320] [--megapixels=12]
"""
from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image

from tfpoets.data import load_pixels, read_dataset

from .extraction import gather
from .timing import in_turn


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--image_size", type=int, default=320)
    parser.add_argument("--megapixels", type=float)
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = gather(flags.image_dir, Path(folder), flags.photos, flags.megapixels)
        files = [photo.read() for photo in read_dataset(root, min_classes=1).photos]
    side = flags.image_size
    ways: dict[str, Callable[[bytes], np.ndarray]] = {
        "photos/pixels.py (2x and at least 640)": lambda data: load_pixels(data, side, side),
        "Pillow, full decode": lambda data: with_pillow(data, side, None),
        "Pillow, draft 1x": lambda data: with_pillow(data, side, 1),
        "Pillow, draft 2x": lambda data: with_pillow(data, side, 2),
        "simplejpeg, at least 2x, Pillow's resize": lambda data: with_simplejpeg(data, side)}
    works: list[Callable[[], object]] = [lambda way=way: [way(data) for data in files]  # type: ignore[misc]
                                         for way in ways.values()]
    times = in_turn(works, flags.runs)
    print("| way | ms a photo | time over the first's |")
    print("|---|---|---|")
    for name, each in zip(ways, times):
        print(f"| {name} | {1e3 * each.median / len(files):.2f} | {each.over(times[0]).text()} |")


def with_pillow(data: bytes, side: int, times: int | None) -> np.ndarray:
    """Decoded at the smallest DCT scale that leaves `times` the side, or in full."""
    photo = Image.open(io.BytesIO(data))
    if times:
        photo.draft("RGB", (times * side, times * side))
    return np.asarray(photo.convert("RGB").resize((side, side), Image.Resampling.BILINEAR))


def with_simplejpeg(data: bytes, side: int) -> np.ndarray:
    """The same through libjpeg-turbo's own interface."""
    pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=max(640, 2 * side), min_width=max(640, 2 * side),
                                    min_factor=1)
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR))


if __name__ == "__main__":
    main()
