"""Compare ways to decode a JPEG for the network, on one thread. Requires simplejpeg (pip install simplejpeg).

python -m tests.benchmarks.decoding --image_dir=PHOTOS [--image_size=320] [--megapixels=12]

With --megapixels, the photos are first scaled to that many million pixels.
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

from .extraction import copy_photos
from .timing import time_alternately


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--image_size", type=int, default=320)
    parser.add_argument("--megapixels", type=float)
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = copy_photos(flags.image_dir, Path(folder), flags.photos, flags.megapixels)
        files = [photo.read() for photo in read_dataset(root, min_classes=1).photos]
    size = flags.image_size
    decoders: dict[str, Callable[[bytes], np.ndarray]] = {
        "tfpoets/data/decode.py (2x and at least 640)": lambda data: load_pixels(data, size, size),
        "Pillow, full decode": lambda data: decode_with_pillow(data, size, None),
        "Pillow, draft 1x": lambda data: decode_with_pillow(data, size, 1),
        "Pillow, draft 2x": lambda data: decode_with_pillow(data, size, 2),
        "simplejpeg, at least 2x, Pillow's resize": lambda data: decode_with_simplejpeg(data, size)}
    functions: list[Callable[[], object]] = [
        lambda decode=decode: [decode(data) for data in files]  # type: ignore[misc]
        for decode in decoders.values()]
    times = time_alternately(functions, flags.runs)
    print("| decoder | ms per photo | time relative to the first |")
    print("|---|---|---|")
    for name, durations in zip(decoders, times):
        print(f"| {name} | {1e3 * durations.median / len(files):.2f} | {durations.ratio_to(times[0]).text()} |")


def decode_with_pillow(data: bytes, size: int, min_factor: int | None) -> np.ndarray:
    """Decode at the smallest DCT scale that is at least `min_factor` times the target size, or in full if None."""
    photo = Image.open(io.BytesIO(data))
    if min_factor:
        photo.draft("RGB", (min_factor * size, min_factor * size))
    return np.asarray(photo.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def decode_with_simplejpeg(data: bytes, size: int) -> np.ndarray:
    """Decode at the same scale as tfpoets, with the API of libjpeg-turbo."""
    pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=max(640, 2 * size), min_width=max(640, 2 * size),
                                    min_factor=1)
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))


if __name__ == "__main__":
    main()
