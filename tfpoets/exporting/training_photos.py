"""Find the photos that a classifier was trained on."""
from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tfpoets.data import Photo, photo_digest, reading_ahead
from tfpoets.errors import PhotoError
from tfpoets.extractors import core_count

from .metadata import Metadata


def training_photo_mask(metadata: Metadata, photos: Sequence[Photo]) -> list[bool]:
    """Return for each photo whether it was used for training or validation.

    All photos are read, because they are recognized by their content, wherever they are stored.

    Args:
        metadata: The metadata of the classifier.
        photos: The photos to look up. A photo that cannot be read counts as new.
    """
    with ThreadPoolExecutor(core_count()) as pool, reading_ahead(photos):
        return metadata.training_digest_mask(list(pool.map(_digest, photos)))


def _digest(photo: Photo) -> str:
    try:
        return photo_digest(photo.read())
    except PhotoError:
        return ""
