"""Find duplicates: photos that show the same picture, by their perceptual hashes and their bottlenecks.

The split, the folds of a cross-validation and the data doctor share this definition.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .dataset import Dataset
from .near_duplicates import hamming_distances, near_duplicate_pairs

# Photos whose bottlenecks are closer to each other than this fraction of the median distance to the nearest neighbour
# show the same picture: recoloured, cropped, or taken again from the same place. This does not find all re-encoded or
# resized photos, whose bottlenecks may be as far apart as those of different photos. The perceptual hash finds those.
PICTURE_FRACTION = 0.15
# The number of photos of which the median is taken: those with the smallest digests.
MAX_MEDIAN_PHOTOS = 1000
# Pairs are searched for among random projections of the bottlenecks to this many dimensions (Johnson & Lindenstrauss
# 1984). Projected squared distances are chi-squared distributed around the true ones, and exceed twice the true
# distance in about one pair in a million. The true distances of the pairs below that are computed.
PROJECTED_DIMENSIONS, PROJECTION_MARGIN = 64, 2.0
# The number of similarities that are computed at a time, which takes 40 MB.
CHUNK_SIMILARITIES = 10_000_000
# A photo with more matches than this is paired with the first ones only, which still connects all of them.
MAX_MATCHES = 100


@dataclass(frozen=True, eq=False)
class DuplicatePairs:
    """Pairs of different files that show the same picture. Of several identical files, only the first one is paired.

    Attributes:
        by_hash: int64 [pairs, 2], the rows of pairs with similar perceptual hashes, the smaller row first.
        by_bottleneck: int64 [other pairs, 2], the rows of all other pairs with similar bottlenecks.
        hash_similarities: float64 [pairs], the fraction of the bits of the hashes that agree.
        bottleneck_similarities: float64 [other pairs], the cosine similarities of the centered bottlenecks.
    """

    by_hash: np.ndarray
    by_bottleneck: np.ndarray
    hash_similarities: np.ndarray
    bottleneck_similarities: np.ndarray


def find_duplicates(dataset: Dataset) -> DuplicatePairs:
    """Return all pairs of different files that show the same picture.

    Args:
        dataset: Photos with their digests and perceptual hashes. Without bottlenecks, only the hashes are compared.
    """
    if dataset.hashes is None:
        raise ValueError("the photos have no perceptual hashes: they have not been read")
    digests = np.array([photo.digest for photo in dataset.photos])
    rows = np.sort(np.unique(digests, return_index=True)[1])
    by_hash = rows[near_duplicate_pairs(dataset.hashes[rows])] if len(rows) else np.empty((0, 2), np.int64)
    bits = hamming_distances(dataset.hashes[by_hash[:, 0]], dataset.hashes[by_hash[:, 1]])
    by_bottleneck, similarities = np.empty((0, 2), np.int64), np.empty(0)
    if dataset.X is not None and len(rows) > 1:
        pairs, similarities = _find_similar_bottlenecks(dataset.X[rows], digests[rows])
        is_new = ~np.isin(rows[pairs] @ [len(digests), 1], by_hash @ [len(digests), 1])
        by_bottleneck, similarities = rows[pairs][is_new], similarities[is_new]
    return DuplicatePairs(by_hash, by_bottleneck, 1 - bits / (8 * dataset.hashes.shape[1]), similarities)


def _find_similar_bottlenecks(X: np.ndarray, digests: Sequence[str] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of photos that are closer to each other than PICTURE_FRACTION allows.

    Args:
        X: float32 [n, depth], the bottlenecks of at least two photos; they are overwritten, to save memory.
        digests: [n], the digests of the photos, all different.

    Returns:
        int64 [pairs, 2], the row numbers, the smaller one first.
        float64 [pairs], the cosine similarities of the centered bottlenecks.
    """
    from threadpoolctl import threadpool_limits  # imported here, because label_image starts without it
    unit = X
    unit -= X.mean(axis=0)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    with threadpool_limits(1, user_api="blas"):  # the result does not depend on the number of cores
        sample = np.argsort(digests)[:MAX_MEDIAN_PHOTOS]
        limit = PICTURE_FRACTION * float(np.median(_nearest_distances(unit, sample)))
        pairs = _find_candidates(unit, 2 * limit * PROJECTION_MARGIN)
    similarities = np.array([unit[first] @ unit[second] for first, second in pairs], np.float64)
    is_near = 1 - similarities < limit
    return pairs[is_near], similarities[is_near]


def _nearest_distances(unit: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """Return the distance (1 - cosine) of each sampled row of unit vectors to the nearest other row."""
    distances = []
    n_rows = max(1, CHUNK_SIMILARITIES // len(unit))
    for rows in np.split(sample, range(n_rows, len(sample), n_rows)):
        cosines = unit[rows] @ unit.T
        cosines[np.arange(len(rows)), rows] = -1
        distances.append(1 - cosines.max(axis=1))
    return np.concatenate(distances)


def _find_candidates(unit: np.ndarray, max_distance: float) -> np.ndarray:
    """Return the pairs of unit vectors whose projections have at most this squared distance: int64 [pairs, 2]."""
    random = np.random.default_rng(0).standard_normal((unit.shape[1], PROJECTED_DIMENSIONS), np.float32)
    projected = unit @ (random / PROJECTED_DIMENSIONS ** 0.5)
    half_squares = (projected ** 2).sum(axis=1, keepdims=True) / 2
    # With these two more columns, the product of two rows is minus half of their squared distance.
    left = np.hstack([projected, -half_squares, np.ones_like(half_squares)])
    right = np.hstack([projected, np.ones_like(half_squares), -half_squares])
    pairs, start = [np.empty((0, 2), np.int64)], 0
    while start < len(unit) - 1:
        stop = start + max(1, CHUNK_SIMILARITIES // (len(unit) - start))
        is_near = left[start:stop] @ right[start:].T >= -max_distance / 2
        is_near[:, :len(is_near)] = np.triu(is_near[:, :len(is_near)], 1)
        first, second = np.divmod(np.flatnonzero(is_near), is_near.shape[1])
        rank = np.arange(len(first)) - np.searchsorted(first, first)
        pairs.append(start + np.stack([first, second], axis=1)[rank < MAX_MATCHES])
        start = stop
    return np.concatenate(pairs)
