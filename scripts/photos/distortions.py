"""Photos varied at random, as Poets' four flags vary them."""
from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image

from scripts.console.settings import Distortions


def distort_pixels(pixels: np.ndarray, distortions: Distortions, digest: str, number: int) -> np.ndarray:
    """One of a photo's endless variations: always the same for the same photo and number.

    Training all layers varies photos by TensorFlow's operations instead (training/loop.py), in the same ranges.

    Args:
        pixels: uint8 [height, width, 3].
        distortions: how.
        digest: of the photo.
        number: which variation.

    Returns:
        The same shape and type.
    """
    seed = hashlib.blake2b(f"{digest}/{number}/{distortions.key}".encode(), digest_size=8).digest()
    random = np.random.default_rng(int.from_bytes(seed, "little"))
    height, width = pixels.shape[:2]
    side = 1 / ((1 + distortions.crop / 100) * random.uniform(1, 1 + distortions.scale / 100))
    left, top = (1 - side) * random.random(2)
    box = (left * width, top * height, (left + side) * width, (top + side) * height)
    photo = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR, box)
    if distortions.flip and random.random() < 0.5:
        photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if not distortions.brightness:
        return np.asarray(photo)
    share = distortions.brightness / 100
    factor = random.uniform(max(0.0, 1 - share), 1 + share)
    return np.clip(np.round(np.asarray(photo) * factor), 0, 255).astype(np.uint8)
