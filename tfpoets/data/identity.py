"""Photos by what they are: digest and perceptual hash of every file, without a network."""
from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from tfpoets.errors import PhotoError

from .dataset import Dataset, Photo, photo_digest
from .decode import load_pixels
from .perceptual_hashes import HASH_BYTES, HASH_HEIGHT, HASH_WIDTH, perceptual_hash


def digest_photos(dataset: Dataset, workers: int) -> tuple[Dataset, tuple[tuple[Photo, str], ...]]:
    """Read every photo: what `split_photos` needs, as an extraction finds it.

    Args:
        dataset: photos without digests.
        workers: threads.

    Returns:
        The dataset of those that could be read, with their digests and hashes; and (photo, reason) of the others.
    """
    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(_identified, dataset.photos))
    known = [(photo, hash_) for photo, hash_, reason in found if not reason]
    hashes = np.frombuffer(b"".join(hash_ for _, hash_ in known), np.uint8).reshape(len(known), HASH_BYTES)
    return (readable(dataset, [photo for photo, _ in known], hashes),
            tuple((photo, reason) for photo, _, reason in found if reason))


def readable(dataset: Dataset, photos: Sequence[Photo], hashes: np.ndarray) -> Dataset:
    """Return a dataset of the photos that could be read, without a split; a class without any is left out."""
    labels = {photo.label for photo in photos}
    return replace(dataset, labels=tuple(label for label in dataset.labels if label in labels), photos=tuple(photos),
                   hashes=hashes, X=None, split=None, measures={})


def _identified(photo: Photo) -> tuple[Photo, bytes, str]:
    try:
        data = photo.read()
        hash_ = perceptual_hash(load_pixels(data, HASH_HEIGHT, HASH_WIDTH))
    except PhotoError as error:
        return photo, b"", str(error)
    return replace(photo, digest=photo_digest(data)), hash_, ""
