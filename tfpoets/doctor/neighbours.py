"""The nearest neighbours of each photo, by the cosine similarity of bottlenecks."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

DEFAULT_NEIGHBOURS = 30
# The number of similarities that are computed at a time, which take 400 MB. Up to 10,000 photos are compared at once;
# NumPy then uses the symmetry and computes only half of the similarities.
CHUNK_SIMILARITIES = 100_000_000
# The number of rows whose largest similarities are selected at a time, which takes 16 bytes per similarity.
SELECTED_ROWS = 250


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The most similar photos to each photo, in descending order of similarity.

    Attributes:
        rows: int64 [n_photos, n_neighbours].
        similarities: float32 [n_photos, n_neighbours], the cosine similarities of the bottlenecks, -1 to 1.
    """

    rows: np.ndarray
    similarities: np.ndarray


def find_neighbours(X: np.ndarray, n_neighbours: int = DEFAULT_NEIGHBOURS, centered: bool = True) -> Neighbours:
    """Find the most similar photos to each photo, by comparing all pairs.

    Args:
        X: float32 [n_photos, depth], the bottlenecks of at least two photos.
        n_neighbours: The number of neighbours; at most n_photos - 1 are returned.
        centered: Whether to subtract the mean bottleneck first. This separates the photos of a dataset from each other
            better, but separates a photo that does not belong to the dataset from the others less well.
    """
    unit = X - X.mean(axis=0) if centered else X
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    # In retrain, the other cores are busy with the files of the classifier.
    with threadpool_limits(1, user_api="blas"):
        return _find_neighbours(unit, min(n_neighbours, len(unit) - 1))


def _find_neighbours(unit: np.ndarray, n_neighbours: int) -> Neighbours:
    """Find the neighbours of each row; the rows are unit vectors."""
    rows = np.empty((len(unit), n_neighbours), np.int64)
    similarities = np.empty((len(unit), n_neighbours), np.float32)
    chunk_rows = max(1, CHUNK_SIMILARITIES // len(unit))
    for start in range(0, len(unit), chunk_rows):
        cosines = unit[start:start + chunk_rows] @ unit.T
        # A photo is not its own neighbour.
        cosines[np.arange(len(cosines)), np.arange(start, start + len(cosines))] = -np.inf
        for offset in range(0, len(cosines), SELECTED_ROWS):
            values = cosines[offset:offset + SELECTED_ROWS]
            chunk = slice(start + offset, start + offset + len(values))
            rows[chunk], similarities[chunk] = _select_largest(values, n_neighbours)
        del cosines, values  # before the next similarities are computed
    return Neighbours(rows, similarities)


def _select_largest(cosines: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns and values of the largest entries of each row, in descending order."""
    nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
    values = np.take_along_axis(cosines, nearest, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(nearest, order, axis=1), np.take_along_axis(values, order, axis=1)
