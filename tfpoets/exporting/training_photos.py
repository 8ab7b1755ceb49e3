"""Find the photos that a classifier was trained on."""
from __future__ import annotations

from collections.abc import Sequence

from tfpoets.data import Photo, photo_digest, reading_ahead
from tfpoets.errors import PhotoError
from tfpoets.parallel import core_count, map_in_order

from .metadata import Metadata


def training_photo_mask(metadata: Metadata, photos: Sequence[Photo]) -> list[bool]:
    """Return for each photo whether it was used for training or validation.

    All photos are read, because they are recognized by their content, wherever they are stored.

    Args:
        metadata: The metadata of the classifier.
        photos: The photos to look up. A photo that cannot be read counts as new.
    """
    with reading_ahead(photos):
        return metadata.training_digest_mask(list(map_in_order(_digest, photos, core_count())))


def _digest(photo: Photo) -> str:
    try:
        return photo_digest(photo.read())
    except PhotoError:
        return ""
