"""What can be told from the files alone: suffixes that lie, photos that are tiny, classes that are small."""
from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tfpoets.data import Dataset, Photo, photo_header, suffixes_of

from .findings import Finding

# A side below this share of the set's median, and of the network's input, is tiny.
TINY_SHARE = 0.5
# A class with less than this share of the largest one's photos is small.
SMALL_CLASS_SHARE = 1 / 3


def find_unreadable(unreadable: Sequence[tuple[Photo, str]]) -> Iterator[Finding]:
    """A finding for each photo that was left out, with the reason."""
    for photo, reason in unreadable:
        yield Finding("unreadable", photo.path, 1.0, f"cannot be used: {reason}")


def find_odd_files(dataset: Dataset, side: int) -> Iterator[Finding]:
    """Suffixes that name another format, and photos far smaller than the others and than the network's input.

    Args:
        dataset: the photos that could be read.
        side: of the network's input, in pixels.
    """
    headers = [photo_header(photo.path) for photo in dataset.photos]
    sides = np.array([min(header.height, header.width) if header else np.inf for header in headers])
    limit = TINY_SHARE * min(float(np.median(sides)), side)
    for photo, header, least in zip(dataset.photos, headers, sides):
        if header is None:
            continue
        suffixes = suffixes_of(header.format)
        if suffixes and photo.path.suffix.lower() not in suffixes:
            yield Finding("wrong_suffix", photo.path, 1.0, f"is {header.format}: its name should end in {suffixes[0]}")
        if least < limit:
            yield Finding("tiny", photo.path, limit / least,
                          f"has {header.width} x {header.height} pixels; the network looks at {side} x {side}")


def find_imbalance(dataset: Dataset) -> Iterator[Finding]:
    """Classes with far fewer photos than the largest."""
    counts = dataset.counts()
    largest = max(counts.values())
    folders = {photo.label: photo.path.parent for photo in dataset.photos}
    for label, count in counts.items():
        if count < SMALL_CLASS_SHARE * largest:
            yield Finding("imbalance", folders[label], largest / count,
                          f"has {count} photos, the largest class {largest}: add some, or retrain with "
                          "class_weight=balanced")
