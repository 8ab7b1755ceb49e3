"""Compute the digest and the perceptual hash of every photo of a dataset."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tfpoets.errors import PhotoError
from tfpoets.parallel import map_in_order

from .dataset import Dataset, Photo, photo_digest
from .decode import load_pixels
from .near_duplicates import HASH_BYTES, HASH_HEIGHT, HASH_WIDTH, perceptual_hash
from .read_ahead import reading_ahead


def hash_photos(dataset: Dataset, workers: int) -> tuple[Dataset, tuple[tuple[Photo, str], ...]]:
    """Read every photo and compute its digest and perceptual hash, which `split_photos` needs.

    Extracting bottlenecks computes the same digests and hashes.

    Args:
        dataset: Photos without digests.
        workers: The number of threads.

    Returns:
        The dataset of the readable photos, with their digests and hashes.
        Each unreadable photo with the reason why it cannot be read.
    """
    with reading_ahead(dataset.photos):
        hashed = list(map_in_order(_hash_photo, dataset.photos, workers))
    readable = [(photo, hash_) for photo, hash_, reason in hashed if not reason]
    hashes = np.frombuffer(b"".join(hash_ for _, hash_ in readable), np.uint8).reshape(len(readable), HASH_BYTES)
    return (with_readable_photos(dataset, [photo for photo, _ in readable], hashes),
            tuple((photo, reason) for photo, _, reason in hashed if reason))


def with_readable_photos(dataset: Dataset, photos: Sequence[Photo], hashes: np.ndarray) -> Dataset:
    """Return the dataset reduced to its readable photos and to the classes that have any, without a split.

    Args:
        dataset: All photos.
        photos: The readable photos, with their digests.
        hashes: uint8 [readable photos, HASH_BYTES], their perceptual hashes.
    """
    labels = {photo.label for photo in photos}
    return replace(dataset, labels=tuple(label for label in dataset.labels if label in labels), photos=tuple(photos),
                   hashes=hashes, X=None, split=None, measures={})


def _hash_photo(photo: Photo) -> tuple[Photo, bytes, str]:
    """Return a photo with its digest, its perceptual hash, and the reason why it cannot be read (empty if it can)."""
    try:
        data = photo.read()
        hash_ = perceptual_hash(load_pixels(data, HASH_HEIGHT, HASH_WIDTH))
    except PhotoError as error:
        return photo, b"", str(error)
    return replace(photo, digest=photo_digest(data)), hash_, ""
