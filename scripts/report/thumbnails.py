"""Photos small enough to travel inside a page."""
from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

from scripts.photos import PhotoError, load_photo

SIDE = 144
QUALITY = 75


def thumbnail(path: Path) -> str | None:
    """A photo as a data address (RFC 2397): JPEG, at most SIDE pixels a side; None where it cannot be read."""
    try:
        photo = Image.fromarray(load_photo(path))
    except PhotoError:
        return None
    photo.thumbnail((SIDE, SIDE))
    content = io.BytesIO()
    photo.save(content, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")
