"""Photos by what they are: digest and look of every file, without a network."""
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from tfpoets.errors import PhotoError

from .dataset import Photo, PhotoTree, photo_digest
from .decode import load_pixels, read_photo
from .duplicates import LOOK_BYTES, LOOK_HEIGHT, LOOK_WIDTH, photo_look


def identify_photos(tree: PhotoTree, workers: int
                    ) -> tuple[PhotoTree, np.ndarray, tuple[tuple[Photo, str], ...]]:
    """Reads every photo: what `split_photos` needs, as an extraction finds it.

    Args:
        tree: photos without digests.
        workers: threads.

    Returns:
        The tree of those that could be read, with their digests; uint8 [photos, LOOK_BYTES]; and (photo, reason) of
        the others.
    """
    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(_identified, tree.photos))
    known = [(photo, look) for photo, look, reason in found if not reason]
    photos = tuple(photo for photo, _ in known)
    labels = {photo.label for photo in photos}
    looks = np.frombuffer(b"".join(look for _, look in known), np.uint8).reshape(len(known), LOOK_BYTES)
    return (PhotoTree(tree.root, tuple(label for label in tree.labels if label in labels), photos), looks,
            tuple((photo, reason) for photo, _, reason in found if reason))


def _identified(photo: Photo) -> tuple[Photo, bytes, str]:
    try:
        data = read_photo(photo.path)
        look = photo_look(load_pixels(data, LOOK_HEIGHT, LOOK_WIDTH))
    except PhotoError as error:
        return photo, b"", str(error)
    return replace(photo, digest=photo_digest(data)), look, ""
