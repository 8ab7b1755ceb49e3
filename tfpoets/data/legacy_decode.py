"""Pixels, version 0: what the networks of TensorFlow for Poets saw, for its graphs and for nothing else."""
from __future__ import annotations

import os

import numpy as np

from .decode import load_photo

LEGACY_PIXELS_VERSION = 0


def load_legacy_pixels(source: str | os.PathLike[str] | bytes, height: int, width: int) -> np.ndarray:
    """Decode a photo in full and resize it as TensorFlow 1 did; see `load_pixels` for what else happens to it.

    Args:
        source: the path of a file, or the bytes of one.
        height, width: of the result, in pixels.

    Returns:
        float32 [height, width, 3], 0 to 255.

    Raises:
        PhotoError: the file is missing, or is no photo that can be decoded to its end.
    """
    return resize_bilinear(load_photo(source), height, width)


def resize_bilinear(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """TensorFlow 1's tf.image.resize_bilinear: no antialiasing, the corner of a pixel taken for its centre.

    The same sums in the same order and precision as tensorflow/core/kernels/image/resize_bilinear_op.cc with
    align_corners and half_pixel_centers off.

    Args:
        pixels: uint8 or float32 [h, w, channels].
        height, width: of the result, in pixels.

    Returns:
        float32 [height, width, channels].
    """
    top, bottom, down = _neighbours(pixels.shape[0], height)
    left, right, along = _neighbours(pixels.shape[1], width)
    above, below = (_between(pixels[row][:, left], pixels[row][:, right], along[None, :, None])
                    for row in (top, bottom))
    return _between(above, below, down[:, None, None])


def _neighbours(side: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each place of the result: the pixels before and behind it, and how far it lies between them, 0 to 1."""
    place = np.arange(target, dtype=np.float32) * (np.float32(side) / np.float32(target))
    before = np.floor(place).astype(np.intp)
    return before, np.minimum(before + 1, side - 1), place - before.astype(np.float32)


def _between(before: np.ndarray, behind: np.ndarray, share: np.ndarray) -> np.ndarray:
    before = before.astype(np.float32)
    return before + (behind.astype(np.float32) - before) * share
