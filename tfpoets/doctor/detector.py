"""What a detector of problems in the photos is, and the evidence that it judges by."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from tfpoets.data import Dataset, Measure, Photo

from .findings import Finding
from .neighbours import Neighbours, find_neighbours


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that is known of the photos.

    Attributes:
        dataset: the photos that could be read, with digests, perceptual hashes, bottlenecks, measures and split.
        unreadable: (photo, reason) of the others.
        side: of the input of the network that labels such photos, in pixels.
    """

    dataset: Dataset
    unreadable: Sequence[tuple[Photo, str]]
    side: int

    @property
    def X(self) -> np.ndarray:
        """The bottlenecks: float32 [photos, depth]."""
        assert self.dataset.X is not None
        return self.dataset.X

    @cached_property
    def neighbours(self) -> Neighbours:
        """The most similar other photos of each photo, found when they are first asked for."""
        return find_neighbours(self.X)


class Detector(Protocol):
    """Finds some kinds of problems."""

    @property
    def kinds(self) -> Mapping[str, int]:
        """The kinds of its findings, each with a rank: a person should look at the lowest first."""

    @property
    def measure(self) -> Measure | None:
        """What must have been taken from each photo's pixels, or None.

        It is computed once for each photo, while the photo is decoded for the network, and kept in the cache;
        `evidence.dataset.measures` has it by name.
        """

    def find(self, evidence: Evidence) -> Iterable[Finding]:
        """Return findings, in any order."""
