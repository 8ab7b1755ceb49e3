"""Detectors of problems in the files: unreadable photos, wrong suffixes, tiny photos and small classes."""
from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from tfpoets.data import FileMeasure, Photo, PhotoHeader, header_number, reading_ahead, suffixes_for
from tfpoets.errors import PhotoError

from .detector import Evidence
from .findings import Finding

# A photo is tiny if its shorter side is below this fraction of the dataset's median and of the network's input.
TINY_FRACTION = 0.5
# A class is small if it has less than this fraction of the photos of the largest class.
SMALL_CLASS_FRACTION = 1 / 3


class UnreadableDetector:
    """Finds photos that cannot be read."""

    kinds = {"unreadable": 40}
    measure = None

    def find(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield a finding for each unreadable photo, with the reason."""
        for photo, reason in evidence.unreadable:
            yield Finding("unreadable", photo, 1.0, f"cannot be used: {reason}")


class FileDetector:
    """Finds suffixes that do not match the format, and photos much smaller than the others and the network's input."""

    kinds = {"wrong_suffix": 50, "tiny": 60}
    measure = FileMeasure("header", header_number)

    def find(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield findings from the headers of the files, whether or not their measure is available."""
        photos, input_size = evidence.dataset.photos, evidence.input_size
        numbers = evidence.dataset.measures.get(self.measure.name)
        if numbers is None:
            with reading_ahead(photos):
                numbers = np.array([_read_header(photo) for photo in photos])
        # Not a list of headers, which would take 200 MB for a million photos.
        shorter_sides = np.array([_shorter_side(number) for number in numbers])
        min_side = TINY_FRACTION * min(float(np.median(shorter_sides)), input_size)
        for photo, number, side in zip(photos, numbers, shorter_sides):
            header = PhotoHeader.from_number(number)
            if header is None:
                continue
            suffixes = suffixes_for(header.format)
            if suffixes and os.path.splitext(photo.name)[1].lower() not in suffixes:
                yield Finding("wrong_suffix", photo, 1.0,
                              f"has the format {header.format}: its name should end in {suffixes[0]}")
            if side < min_side:
                yield Finding("tiny", photo, min_side / float(side),
                              f"has {header.width} x {header.height} pixels; the network's input has "
                              f"{input_size} x {input_size}")


def _shorter_side(number: float) -> float:
    header = PhotoHeader.from_number(number)
    return min(header.height, header.width) if header else np.inf


def _read_header(photo: Photo) -> float:
    """Return the header of a photo as a number, or 0 if it cannot be read."""
    try:
        with photo.open() as file:
            return header_number(file)
    except PhotoError:
        return 0.0


class ImbalanceDetector:
    """Finds classes with far fewer photos than the largest class."""

    kinds = {"imbalance": 100}
    measure = None

    def find(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield a finding for each small class."""
        counts = evidence.dataset.counts()
        largest = max(counts.values())
        folders = {photo.label: photo.folder for photo in evidence.dataset.photos}
        for label, count in counts.items():
            if count < SMALL_CLASS_FRACTION * largest:
                yield Finding("imbalance", folders[label], largest / count,
                              f"has {count} photos, but the largest class has {largest}: add photos, or retrain with "
                              "class_weight=balanced")
