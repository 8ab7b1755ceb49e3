"""The nearest neighbours of each photo, by the cosine similarity of bottlenecks."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfpoets.data.neighbour_index import MAX_EXACT_ROWS, UnitVectors, search_neighbours

DEFAULT_NEIGHBOURS = 30


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The most similar photos to each photo, in descending order of similarity.

    Attributes:
        rows: int64 [n_photos, n_neighbours]. If fewer have been found for a photo, the last one is repeated; if none
            has been found, its similarity is -inf.
        similarities: float32 [n_photos, n_neighbours], the cosine similarities of the bottlenecks, -1 to 1.
    """

    rows: np.ndarray
    similarities: np.ndarray


def find_neighbours(X: np.ndarray, n_neighbours: int = DEFAULT_NEIGHBOURS, centered: bool = True) -> Neighbours:
    """Find the most similar photos to each photo.

    Up to MAX_EXACT_ROWS photos are compared with each other. For more, an index finds nearly all of the neighbours if
    faiss is installed; see `search_neighbours`.

    Args:
        X: float32 [n_photos, depth], the bottlenecks of at least two photos; may be a memory map.
        n_neighbours: The number of neighbours; at most n_photos - 1 are returned.
        centered: Whether to subtract the mean bottleneck first. This separates the photos of a dataset from each other
            better, but separates a photo that does not belong to the dataset from the others less well.
    """
    unit: np.ndarray | UnitVectors
    if len(X) > MAX_EXACT_ROWS:
        unit = UnitVectors(X, center=None if centered else np.zeros(X.shape[1], X.dtype))
    else:
        unit = X - X.mean(axis=0) if centered else X
        unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    return Neighbours(*search_neighbours(unit, min(n_neighbours, len(X) - 1)))
