"""Photos by what they are: digest and look of every file, without a network."""
from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from .duplicates import LOOK_BYTES, LOOK_HEIGHT, LOOK_WIDTH, photo_look
from .pixels import PhotoError, load_pixels, read_photo
from .tree import Photo, PhotoTree, photo_digest


def identify_photos(tree: PhotoTree, workers: int) -> tuple[PhotoTree, np.ndarray]:
    """Reads every photo: what `split_photos` needs, as an extraction finds it.

    Args:
        tree: photos without digests.
        workers: threads.

    Returns:
        The tree of those that could be read, with their digests, and uint8 [photos, LOOK_BYTES].
    """
    with ThreadPoolExecutor(workers) as pool:
        found: Iterable[tuple[Photo, bytes] | None] = pool.map(_identified, tree.photos)
        known = [each for each in found if each is not None]
    photos = tuple(photo for photo, _ in known)
    labels = {photo.label for photo in photos}
    looks = np.frombuffer(b"".join(look for _, look in known), np.uint8).reshape(len(known), LOOK_BYTES)
    return PhotoTree(tree.root, tuple(label for label in tree.labels if label in labels), photos), looks


def _identified(photo: Photo) -> tuple[Photo, bytes] | None:
    try:
        data = read_photo(photo.path)
        return replace(photo, digest=photo_digest(data)), photo_look(load_pixels(data, LOOK_HEIGHT, LOOK_WIDTH))
    except PhotoError:
        return None
