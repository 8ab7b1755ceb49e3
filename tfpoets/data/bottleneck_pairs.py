"""Find the pairs of photos whose bottlenecks are so similar that they show the same picture."""
from __future__ import annotations

import numpy as np

from .hash_groups import connected_groups
from .neighbour_index import (MAX_EXACT_ROWS, UnitVectors, log_slow_comparison, project_in_blocks, search_neighbours,
                              uses_index)

# Photos whose bottlenecks are closer to each other than this fraction of the median distance to the nearest neighbour
# show the same picture: recoloured, cropped, or taken again from the same place. This does not find all re-encoded or
# resized photos, whose bottlenecks may be as far apart as those of different photos. The perceptual hash finds those.
PICTURE_FRACTION = 0.15
# The median is taken over the nearest distances of at most this many photos, the first ones.
MAX_MEDIAN_PHOTOS = 1000
# The number of similarities that are computed at a time for the median, which takes 40 MB.
CHUNK_SIMILARITIES = 10_000_000
# Pairs are searched for among random projections of the bottlenecks to this many dimensions (Johnson & Lindenstrauss
# 1984). Projected squared distances are chi-squared distributed around the true ones, and exceed twice the true
# distance in about one pair in a million. The true distances are computed only for pairs whose projected distances are
# below twice the limit.
PROJECTED_DIMENSIONS, PROJECTION_MARGIN = 64, 2.0
# The projections are compared in blocks of this many rows and columns, which fit into the cache of a core.
BLOCK_ROWS, BLOCK_COLUMNS = 256, 512
# A photo that matches more of the photos after it than this is paired with the first of them, and with any others that
# would not be connected to it otherwise.
MAX_MATCHES = 100
# With an index, each photo is compared with this many neighbours. If all of them are similar to it, there may be more:
# then this many such photos of each group are compared with those of other groups.
INDEXED_NEIGHBOURS, REPRESENTATIVES = 16, 8


def find_similar_bottlenecks(X: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return the pairs of photos that are closer to each other than PICTURE_FRACTION allows.

    All photos are compared, unless there are more than MAX_EXACT_ROWS and faiss is installed: then their nearest
    neighbours are found with an index.

    Args:
        X: float32 [n_all, depth], bottlenecks; may be a memory map that is larger than memory.
        rows: int64 [n], the rows of at least two photos, in an order that depends only on the contents of the photos.

    Returns:
        int64 [pairs, 2], positions in `rows`, the smaller one first.
        float64 [pairs], the cosine similarities of the centered bottlenecks.
        Whether no pair was left out. The photos of a pair that was left out are connected by the returned pairs.
    """
    from threadpoolctl import threadpool_limits  # imported here, because label_image starts without it
    with threadpool_limits(1, user_api="blas"):  # the result does not depend on the number of cores
        unit = _unit_vectors(X, rows) if len(rows) <= MAX_EXACT_ROWS else UnitVectors(X, rows)
        limit = PICTURE_FRACTION * float(np.median(_nearest_distances(unit)))
        if uses_index(len(unit)) and isinstance(unit, UnitVectors):
            return _find_pairs_with_index(unit, limit)
        log_slow_comparison(len(unit))
        return _find_pairs(unit, limit)


def _unit_vectors(X: np.ndarray, rows: np.ndarray) -> np.ndarray:
    unit = X[rows]
    unit -= unit.mean(axis=0)
    unit /= np.maximum(np.sqrt(np.einsum("ij,ij->i", unit, unit))[:, np.newaxis], 1e-12)
    return unit


def _nearest_distances(unit: np.ndarray | UnitVectors) -> np.ndarray:
    """Return the distance (1 - cosine) of each of the first unit vectors to the nearest other row."""
    sample, distances = np.arange(min(len(unit), MAX_MEDIAN_PHOTOS)), []
    if isinstance(unit, UnitVectors):
        return _distances_in_blocks(unit, sample)
    n_rows = max(1, CHUNK_SIMILARITIES // len(unit))
    for rows in np.split(sample, range(n_rows, len(sample), n_rows)):
        cosines = unit[rows] @ unit.T
        cosines[np.arange(len(rows)), rows] = -1
        distances.append(1 - cosines.max(axis=1))
    return np.concatenate(distances)


def _distances_in_blocks(unit: UnitVectors, sample: np.ndarray) -> np.ndarray:
    """Return the distance of each row of the sample, the first rows, to the nearest other row."""
    left, largest = unit[sample], np.full(len(sample), -1, np.float32)
    n_columns = CHUNK_SIMILARITIES // len(sample)
    for start in range(0, len(unit), n_columns):
        cosines = left @ unit[start:start + n_columns].T
        if start == 0:
            np.fill_diagonal(cosines, -1)
        np.maximum(largest, cosines.max(axis=1), out=largest)
    return 1 - largest


def _find_pairs_with_index(unit: UnitVectors, limit: float) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return pairs of unit vectors whose distance (1 - cosine) is below the limit, among nearest neighbours.

    The results are those of find_similar_bottlenecks.
    """
    pairs, similarities = np.empty((0, 2), np.int64), np.empty(0)
    rows, are_complete = np.arange(len(unit)), True
    while len(rows) > 1:
        neighbours, values = search_neighbours(unit.select(rows), min(INDEXED_NEIGHBOURS, len(rows) - 1))
        is_near = 1 - values < limit
        first, column = np.nonzero(is_near)
        found = np.sort(np.stack([rows[first], rows[neighbours[first, column]]], axis=1))
        pairs, indices = np.unique(np.concatenate([pairs, found]), axis=0, return_index=True)
        similarities = np.concatenate([similarities, values[is_near].astype(np.float64)])[indices]
        has_more = is_near.all(axis=1) & (len(rows) > INDEXED_NEIGHBOURS)
        are_complete &= not has_more.any()
        rows = _choose_representatives(rows[has_more], connected_groups(pairs, len(unit)))
    return pairs, similarities, are_complete


def _choose_representatives(rows: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return at most REPRESENTATIVES of the rows in each group, in ascending order; none if they are all in one group.

    Args:
        rows: int64 [rows].
        groups: int32 [n], the group of each row of the matrix.
    """
    order = np.argsort(groups[rows], kind="stable")
    sorted_groups = groups[rows][order]
    rank = np.arange(len(order)) - np.searchsorted(sorted_groups, sorted_groups)
    return np.sort(rows[order[rank < REPRESENTATIVES]]) if len(np.unique(sorted_groups)) > 1 else rows[:0]


def _find_pairs(unit: np.ndarray | UnitVectors, limit: float) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return the pairs of unit vectors whose distance (1 - cosine) is below the limit.

    The results are those of find_similar_bottlenecks.
    """
    random = np.random.default_rng(0).standard_normal((unit.shape[1], PROJECTED_DIMENSIONS), np.float32)
    random /= PROJECTED_DIMENSIONS ** 0.5
    projected = unit @ random if isinstance(unit, np.ndarray) else project_in_blocks(unit, random)
    half_squares = (projected ** 2).sum(axis=1, keepdims=True) / 2
    # With these two more columns, the product of two rows is minus half of their squared distance.
    left = np.hstack([projected, -half_squares, np.ones_like(half_squares)])
    right = np.hstack([projected, np.ones_like(half_squares), -half_squares])
    pairs, min_product = _Pairs(len(unit)), -limit * PROJECTION_MARGIN
    for start in range(0, len(unit), BLOCK_ROWS):
        for other_start in range(start, len(unit), BLOCK_COLUMNS):
            products = left[start:start + BLOCK_ROWS] @ right[other_start:other_start + BLOCK_COLUMNS].T
            if start == other_start:  # a photo is not paired with itself, nor twice with another
                products[np.tril_indices(len(products), 0, products.shape[1])] = -np.inf
            if products.max() >= min_product:
                is_candidate = products >= min_product
                rows = start + np.flatnonzero(is_candidate.any(axis=1))
                others = other_start + np.flatnonzero(is_candidate.any(axis=0))
                similarities = unit[rows] @ unit[others].T
                is_near = (1 - similarities < limit) & (rows[:, np.newaxis] < others)
                row_indices, other_indices = np.nonzero(is_near)
                pairs.add(np.stack([rows[row_indices], others[other_indices]], axis=1), similarities[is_near])
    return np.concatenate(pairs.rows), np.concatenate(pairs.similarities), pairs.are_complete


class _Pairs:
    """The pairs found so far: those of the first MAX_MATCHES matches of each photo, and others that connect photos.

    Attributes:
        rows: Arrays int64 [pairs, 2].
        similarities: Arrays float64 [pairs].
        are_complete: Whether no pair was left out.
    """

    def __init__(self, n_photos: int) -> None:
        self.rows, self.similarities = [np.empty((0, 2), np.int64)], [np.empty(0)]
        self.are_complete = True
        self._n_matches = np.zeros(n_photos, np.int64)
        # The group of each photo according to the first _n_connected arrays of pairs.
        self._groups, self._n_connected = np.arange(n_photos), 0

    def add(self, rows: np.ndarray, similarities: np.ndarray) -> None:
        """Add pairs of photos, sorted by row."""
        first = rows[:, 0]
        rank = self._n_matches[first] + np.arange(len(rows)) - np.searchsorted(first, first)
        np.add.at(self._n_matches, first, 1)
        is_kept = rank < MAX_MATCHES
        self._append(rows[is_kept], similarities[is_kept])
        if not is_kept.all():
            self.are_complete = False
            self._add_connecting(rows[~is_kept], similarities[~is_kept])

    def _append(self, rows: np.ndarray, similarities: np.ndarray) -> None:
        self.rows.append(rows)
        self.similarities.append(similarities.astype(np.float64))

    def _add_connecting(self, rows: np.ndarray, similarities: np.ndarray) -> None:
        """Add one pair for every two groups of photos that these pairs connect and those found so far do not."""
        connecting, n_photos = self._between_groups(rows), len(self._groups)
        if not len(connecting):
            return
        recent = np.concatenate(self.rows[self._n_connected:])
        self._n_connected = len(self.rows)
        self._groups = connected_groups(self._groups[recent], n_photos)[self._groups].astype(np.int64)
        connecting = connecting[self._between_groups(rows[connecting])]
        groups = np.sort(self._groups[rows[connecting]])
        connecting = connecting[np.unique(groups @ [n_photos, 1], return_index=True)[1]]
        self._append(rows[connecting], similarities[connecting])

    def _between_groups(self, rows: np.ndarray) -> np.ndarray:
        """Return the indices of the pairs of photos in different groups."""
        groups = self._groups[rows]
        return np.flatnonzero(groups[:, 0] != groups[:, 1])
