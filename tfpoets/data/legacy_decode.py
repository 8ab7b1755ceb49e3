"""Decode photos as TensorFlow for Poets did, for its graphs only: version 0 of the pixel contract."""
from __future__ import annotations

import os
from functools import partial
from typing import BinaryIO

import numpy as np

from .decode import decode_full_size, decode_safely

LEGACY_PIXELS_VERSION = 0


def load_legacy_pixels(source: str | os.PathLike[str] | bytes, height: int, width: int, isolated: bool = False
                       ) -> np.ndarray:
    """Decode a photo at full size and resize it as TensorFlow 1 did; otherwise the same as `load_pixels`.

    Args:
        source: The path of a file, or its bytes.
        height: The height of the result in pixels.
        width: The width of the result in pixels.
        isolated: Whether to decode the photo in another process; see `load_pixels`.

    Returns:
        float32 [height, width, 3], 0 to 255.

    Raises:
        PhotoError: The file is missing, or is not a photo that can be decoded completely.
    """
    return decode_safely(source, partial(_decode, height=height, width=width), isolated, is_full_size=True)


def _decode(file: BinaryIO, height: int, width: int) -> np.ndarray:
    return resize_bilinear(decode_full_size(file), height, width)


def resize_bilinear(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize an image like TensorFlow 1's tf.image.resize_bilinear.

    There is no antialiasing, and the corner of a pixel is treated as its centre. The sums are computed in the same
    order and precision as in tensorflow/core/kernels/image/resize_bilinear_op.cc, with align_corners and
    half_pixel_centers off.

    Args:
        pixels: uint8 or float32 [h, w, channels].
        height: The height of the result in pixels.
        width: The width of the result in pixels.

    Returns:
        float32 [height, width, channels].
    """
    top, bottom, row_weights = _interpolation(pixels.shape[0], height)
    left, right, column_weights = _interpolation(pixels.shape[1], width)
    upper, lower = (_interpolate(pixels[row][:, left], pixels[row][:, right], column_weights[None, :, None])
                    for row in (top, bottom))
    return _interpolate(upper, lower, row_weights[:, None, None])


def _interpolation(side: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the neighbours and weights that interpolate `side` pixels to `target` pixels.

    Returns:
        intp [target], the index of the pixel before each position.
        intp [target], the index of the pixel after it.
        float32 [target], the weight of the pixel after it, 0 to 1.
    """
    positions = np.arange(target, dtype=np.float32) * (np.float32(side) / np.float32(target))
    before = np.floor(positions).astype(np.intp)
    return before, np.minimum(before + 1, side - 1), positions - before.astype(np.float32)


def _interpolate(before: np.ndarray, after: np.ndarray, weights: np.ndarray) -> np.ndarray:
    before = before.astype(np.float32)
    return before + (after.astype(np.float32) - before) * weights
