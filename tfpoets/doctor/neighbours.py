"""Which photos a network finds alike."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

COUNT = 30
# Rows compared at a time: 2,000 x 50,000 similarities take 400 MB.
CHUNK = 2000


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The most similar other photos of each photo, the most similar first.

    Attributes:
        rows: int64 [photos, k].
        similarities: float32 [photos, k]: cosines between bottlenecks, -1 to 1.
    """

    rows: np.ndarray
    similarities: np.ndarray


def find_neighbours(bottlenecks: np.ndarray, count: int = COUNT, centred: bool = True) -> Neighbours:
    """Compares all photos with all.

    Args:
        bottlenecks: float32 [photos, depth], at least two photos.
        count: neighbours wanted; fewer where there are no more photos.
        centred: take the mean bottleneck away first. That tells the photos of one set apart better, and a photo that
            does not belong to the set from all of them worse.
    """
    unit = bottlenecks - bottlenecks.mean(axis=0) if centred else bottlenecks
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    count = min(count, len(unit) - 1)
    rows = np.empty((len(unit), count), np.int64)
    similarities = np.empty((len(unit), count), np.float32)
    for start in range(0, len(unit), CHUNK):
        part = slice(start, min(start + CHUNK, len(unit)))
        found = unit[part] @ unit.T
        found[np.arange(len(found)), np.arange(part.start, part.stop)] = -np.inf
        nearest = np.argpartition(-found, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(found, nearest, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        rows[part] = np.take_along_axis(nearest, order, axis=1)
        similarities[part] = np.take_along_axis(values, order, axis=1)
    return Neighbours(rows, similarities)
