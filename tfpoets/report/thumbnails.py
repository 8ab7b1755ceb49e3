"""Photos small enough to travel inside a page."""
from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from tfpoets.data import Photo, load_full_size
from tfpoets.errors import PhotoError

SIDE = 144
QUALITY = 75
# What is laid over the places that the answer comes from, and how much of the photo remains elsewhere.
HEAT, DIMMED = (255, 140, 0), 0.35
# What falls by less than this is not shown brightly, although it may be the most that falls.
MIN_DROP = 0.1


def thumbnail(photo: Photo) -> str | None:
    """A photo as a data address (RFC 2397): JPEG, at most SIDE pixels a side; None where it cannot be read."""
    try:
        picture = Image.fromarray(load_full_size(photo.read()))
    except PhotoError:
        return None
    picture.thumbnail((SIDE, SIDE))
    return _address(picture)


def heat_thumbnail(photo: Photo, drops: np.ndarray) -> str | None:
    """The same, bright and tinted where covering the photo changes the answer most, dim where it does not.

    Args:
        photo: the photo.
        drops: float [rows, columns], by how much a probability falls.
    """
    try:
        picture = Image.fromarray(load_full_size(photo.read()))
    except PhotoError:
        return None
    picture.thumbnail((SIDE, SIDE))
    share = np.clip(drops, 0, None) / max(float(drops.max()), MIN_DROP)
    heat = Image.fromarray((255 * share).astype(np.uint8)).resize(picture.size, Image.Resampling.BICUBIC)
    strength = np.asarray(heat, np.float32)[:, :, None] / 255
    pixels = np.asarray(picture, np.float32)
    shown = pixels * (DIMMED + (1 - DIMMED) * strength)
    shown = shown * (1 - 0.3 * strength) + np.array(HEAT, np.float32) * 0.3 * strength
    return _address(Image.fromarray(shown.round().astype(np.uint8)))


def _address(picture: Image.Image) -> str:
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")
