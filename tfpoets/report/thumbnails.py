"""Thumbnails of photos that are embedded in the report."""
from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from tfpoets.data import Photo, load_full_size
from tfpoets.errors import PhotoError

MAX_SIDE = 144
JPEG_QUALITY = 75
# In an occlusion map, the parts that matter are tinted with this colour; the rest of the photo is darkened.
HIGHLIGHT_COLOUR, TINT, DARKENED_BRIGHTNESS = (255, 140, 0), 0.3, 0.35
# The drop in probability that is shown at full brightness is the largest in the map, but at least this. Otherwise, a
# map without any important part would look as if it had one.
MIN_FULL_DROP = 0.1


def thumbnail(photo: Photo) -> str | None:
    """Return a photo as a data URL (RFC 2397) of a JPEG, at most MAX_SIDE pixels a side; None if it is unreadable."""
    picture = _load_small(photo)
    return None if picture is None else _data_url(picture)


def occlusion_thumbnail(photo: Photo, drops: np.ndarray) -> str | None:
    """Return a photo as `thumbnail` does, bright and tinted where covering it lowers the probability most.

    Args:
        photo: The photo.
        drops: float [rows, columns], the drop in the probability of the predicted label when each part of the
            photo is covered.
    """
    picture = _load_small(photo)
    if picture is None:
        return None
    importance = np.clip(drops, 0, None) / max(float(drops.max()), MIN_FULL_DROP)
    heat = Image.fromarray((255 * importance).astype(np.uint8)).resize(picture.size, Image.Resampling.BICUBIC)
    strength = np.asarray(heat, np.float32)[:, :, None] / 255
    pixels = np.asarray(picture, np.float32) * (DARKENED_BRIGHTNESS + (1 - DARKENED_BRIGHTNESS) * strength)
    pixels = pixels * (1 - TINT * strength) + np.array(HIGHLIGHT_COLOUR, np.float32) * TINT * strength
    return _data_url(Image.fromarray(pixels.round().astype(np.uint8)))


def _load_small(photo: Photo) -> Image.Image | None:
    try:
        picture = Image.fromarray(load_full_size(photo.read()))
    except PhotoError:
        return None
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    return picture


def _data_url(picture: Image.Image) -> str:
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")
