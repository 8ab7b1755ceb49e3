"""Photos by what they are: digest and perceptual hash of every file, without a network."""
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from tfpoets.errors import PhotoError

from .dataset import Dataset, Photo, photo_digest
from .decode import load_pixels, read_photo
from .duplicates import HASH_BYTES, HASH_HEIGHT, HASH_WIDTH, perceptual_hash


def identify_photos(dataset: Dataset, workers: int
                    ) -> tuple[Dataset, np.ndarray, tuple[tuple[Photo, str], ...]]:
    """Reads every photo: what `split_photos` needs, as an extraction finds it.

    Args:
        dataset: photos without digests.
        workers: threads.

    Returns:
        The dataset of those that could be read, with their digests; uint8 [photos, HASH_BYTES]; and (photo, reason) of
        the others.
    """
    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(_identified, dataset.photos))
    known = [(photo, hash_) for photo, hash_, reason in found if not reason]
    photos = tuple(photo for photo, _ in known)
    labels = {photo.label for photo in photos}
    hashes = np.frombuffer(b"".join(hash_ for _, hash_ in known), np.uint8).reshape(len(known), HASH_BYTES)
    return (Dataset(dataset.root, tuple(label for label in dataset.labels if label in labels), photos), hashes,
            tuple((photo, reason) for photo, _, reason in found if reason))


def _identified(photo: Photo) -> tuple[Photo, bytes, str]:
    try:
        data = read_photo(photo.path)
        hash_ = perceptual_hash(load_pixels(data, HASH_HEIGHT, HASH_WIDTH))
    except PhotoError as error:
        return photo, b"", str(error)
    return replace(photo, digest=photo_digest(data)), hash_, ""
