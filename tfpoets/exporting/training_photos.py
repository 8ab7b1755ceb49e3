"""Which photos a classifier knows already."""
from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tfpoets.data import Photo, photo_digest
from tfpoets.errors import PhotoError
from tfpoets.extractors import core_count

from .metadata import Metadata


def are_training_photos(metadata: Metadata, photos: Sequence[Photo]) -> list[bool]:
    """Whether each photo, wherever it lies by now, trained a classifier or helped to choose it; reads all of them."""
    with ThreadPoolExecutor(core_count()) as pool:
        return metadata.are_training_photos(list(pool.map(_digest, photos)))


def _digest(photo: Photo) -> str:
    try:
        return photo_digest(photo.read())
    except PhotoError:
        return ""
