"""The protocol of a detector, and the evidence that detectors use."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from tfpoets.data import Dataset, Photo, PhotoMeasure

from .findings import Finding
from .neighbours import Neighbours, find_neighbours


@dataclass(frozen=True, eq=False)
class Evidence:
    """The information about the photos that detectors use.

    Attributes:
        dataset: The readable photos, with digests, perceptual hashes, bottlenecks, measures and split.
        unreadable: The photos that cannot be read, each with the reason.
        input_size: The side of the network's input, in pixels.
    """

    dataset: Dataset
    unreadable: Sequence[tuple[Photo, str]]
    input_size: int

    @property
    def X(self) -> np.ndarray:
        """The bottlenecks: float32 [n_photos, depth]."""
        assert self.dataset.X is not None
        return self.dataset.X

    @cached_property
    def neighbours(self) -> Neighbours:
        """The most similar photos to each photo, computed on first use."""
        return find_neighbours(self.X)


class Detector(Protocol):
    """A detector of one or more kinds of problems.

    To add a detector, set `kinds` and `measure` as class attributes, implement `find`, and append an instance to
    `DETECTORS`. Kinds must be unique among all detectors.
    """

    @property
    def kinds(self) -> Mapping[str, int]:
        """The kinds of findings, each with a rank. Findings with the lowest rank are shown first."""

    @property
    def measure(self) -> PhotoMeasure | None:
        """The measure that the detector needs for each photo, or None.

        It is computed once for each photo, while the photo is read for the network, and stored in the cache.
        `evidence.dataset.measures` contains the values under the name of the measure.
        """

    def find(self, evidence: Evidence) -> Iterable[Finding]:
        """Return findings, in any order."""
