"""A detector of photos that are unlike all others."""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .detector import Evidence
from .findings import Finding
from .neighbours import find_neighbours

# The distance to the k-th nearest photo (Ramaswamy, Rastogi & Shim 2000) still detects groups of up to nine unknown
# photos that are similar to each other.
N_NEIGHBOURS = 10
# In robust standard deviations above the median. Among 3,670 flowers and five photos of rubbish, four of the five and
# 1% of the flowers exceed it.
MIN_SCORE = 3.0
# Converts the median absolute deviation of a normal distribution to its standard deviation.
MAD_TO_STD = 1.4826
# At most this fraction of the photos is reported, because with a long tail of distances many exceed MIN_SCORE.
MAX_FRACTION = 0.02


class OutlierDetector:
    """Finds photos with unusually distant neighbours. The score is in robust standard deviations."""

    kinds = {"outlier": 90}
    measure = None

    def find(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield findings from the bottlenecks."""
        similarities = find_neighbours(evidence.X, N_NEIGHBOURS, centered=False).similarities[:, -1]
        distances = 1 - np.maximum(similarities, -1)
        median = np.median(distances)
        deviation = MAD_TO_STD * np.median(np.abs(distances - median))
        if deviation < 1e-9:
            return
        scores = (distances - median) / deviation
        for row in np.argsort(-scores, kind="stable")[:max(1, round(MAX_FRACTION * len(scores)))]:
            if scores[row] > MIN_SCORE:
                yield Finding("outlier", evidence.dataset.photos[row], float(scores[row]),
                              "is unlike all other photos: does it belong here?")
