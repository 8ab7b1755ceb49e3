"""Photos that are like no other."""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .detector import Evidence
from .findings import Finding
from .neighbours import find_neighbours

# Ramaswamy, Rastogi & Shim 2000: the distance to the k-th nearest photo; nine strangers that are alike are found yet.
NEAREST = 10
# In robust standard deviations. Of five photos of rubbish among 3,670 flowers four lie beyond, and 1 % of the flowers.
LIMIT = 3.0
# Makes the median absolute deviation of a normal distribution its standard deviation.
NORMAL_MAD = 1.4826
# Where distances have a long tail, more than this share would be beyond: only the farthest are told.
MAX_FRACTION = 0.02


class OutlierDetector:
    """Finds photos whose nearest neighbours are unusually far; the score is in robust standard deviations."""

    kinds = {"outlier": 90}
    measure = None

    def find(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield findings from the bottlenecks."""
        distances = 1 - find_neighbours(evidence.X, NEAREST, centred=False).similarities[:, -1]
        median = np.median(distances)
        spread = NORMAL_MAD * np.median(np.abs(distances - median))
        if spread < 1e-9:
            return
        scores = (distances - median) / spread
        for row in np.argsort(-scores, kind="stable")[:max(1, round(MAX_FRACTION * len(scores)))]:
            if scores[row] > LIMIT:
                yield Finding("outlier", evidence.dataset.photos[row], float(scores[row]),
                              "is like no other photo: does it belong here?")
