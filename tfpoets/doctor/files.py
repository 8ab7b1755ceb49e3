"""What can be told from the files alone: suffixes that lie, photos that are tiny, classes that are small."""
from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from tfpoets.data import Photo, PhotoHeader, read_photo_header, suffixes_for
from tfpoets.errors import PhotoError

from .detector import Evidence
from .findings import Finding

# A side below this share of the set's median, and of the network's input, is tiny.
TINY_FRACTION = 0.5
# A class with less than this share of the largest one's photos is small.
SMALL_CLASS_FRACTION = 1 / 3


class UnreadableDetector:
    """Finds the photos that were left out, with the reason."""

    kinds = {"unreadable": 40}
    measure = None

    def find(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield a finding for each."""
        for photo, reason in evidence.unreadable:
            yield Finding("unreadable", photo, 1.0, f"cannot be used: {reason}")


class FileDetector:
    """Finds suffixes that name another format, and photos far smaller than the others and than the network's input."""

    kinds = {"wrong_suffix": 50, "tiny": 60}
    measure = None

    def find(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield findings from the photos' headers."""
        photos, side = evidence.dataset.photos, evidence.side
        headers = [_header(photo) for photo in photos]
        sides = np.array([min(header.height, header.width) if header else np.inf for header in headers])
        limit = TINY_FRACTION * min(float(np.median(sides)), side)
        for photo, header, least in zip(photos, headers, sides):
            if header is None:
                continue
            suffixes = suffixes_for(header.format)
            if suffixes and os.path.splitext(photo.name)[1].lower() not in suffixes:
                yield Finding("wrong_suffix", photo, 1.0, f"is {header.format}: its name should end in {suffixes[0]}")
            if least < limit:
                yield Finding("tiny", photo, limit / least,
                              f"has {header.width} x {header.height} pixels; the network looks at {side} x {side}")


def _header(photo: Photo) -> PhotoHeader | None:
    try:
        with photo.open() as file:
            return read_photo_header(file)
    except PhotoError:
        return None


class ImbalanceDetector:
    """Finds classes with far fewer photos than the largest."""

    kinds = {"imbalance": 100}
    measure = None

    def find(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield a finding for each."""
        counts = evidence.dataset.counts()
        largest = max(counts.values())
        folders = {photo.label: photo.folder for photo in evidence.dataset.photos}
        for label, count in counts.items():
            if count < SMALL_CLASS_FRACTION * largest:
                yield Finding("imbalance", folders[label], largest / count,
                              f"has {count} photos, the largest class {largest}: add some, or retrain with "
                              "class_weight=balanced")
