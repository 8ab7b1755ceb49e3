"""Find duplicates: photos that show the same picture, by their perceptual hashes and their bottlenecks.

The split, the folds of a cross-validation and the data doctor share this definition.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .bottleneck_pairs import find_similar_bottlenecks
from .dataset import Dataset, Photo
from .near_duplicates import hamming_distances, near_duplicate_pairs


@dataclass(frozen=True, eq=False)
class DuplicatePairs:
    """Pairs of different files that show the same picture. Of several identical files, only the first one is paired.

    Attributes:
        by_hash: int64 [pairs, 2], the rows of pairs with similar perceptual hashes, the smaller row first.
        by_bottleneck: int64 [other pairs, 2], the rows of all other pairs with similar bottlenecks.
        hash_similarities: float64 [pairs], the fraction of the bits of the hashes that agree.
        bottleneck_similarities: float64 [other pairs], the cosine similarities of the centered bottlenecks.
        are_complete: False if a photo has so many similar bottlenecks that some pairs are left out. The photos of
            such a pair are connected by others.
    """

    by_hash: np.ndarray
    by_bottleneck: np.ndarray
    hash_similarities: np.ndarray
    bottleneck_similarities: np.ndarray
    are_complete: bool = True

    def select(self, photos: Sequence[Photo], mask: np.ndarray) -> DuplicatePairs:
        """Return the pairs among the photos for which `mask`, bool [n], is true.

        Args:
            photos: The photos of the dataset.
            mask: Which of them to select. If a photo of a pair is not selected, an identical file takes its place.
        """
        paired = np.unique(np.concatenate([self.by_hash.ravel(), self.by_bottleneck.ravel()]))
        first_rows = dict.fromkeys((photos[row].digest for row in paired.tolist()), -1)
        if first_rows:
            for new_row, row in enumerate(np.flatnonzero(mask).tolist()):
                if first_rows.get(photos[row].digest) == -1:
                    first_rows[photos[row].digest] = new_row
        new_rows = np.full(len(photos), -1)
        new_rows[paired] = [first_rows[photos[row].digest] for row in paired.tolist()]
        by_hash, by_bottleneck = np.sort(new_rows[self.by_hash]), np.sort(new_rows[self.by_bottleneck])
        hash_mask, bottleneck_mask = (by_hash >= 0).all(axis=1), (by_bottleneck >= 0).all(axis=1)
        return DuplicatePairs(by_hash[hash_mask], by_bottleneck[bottleneck_mask], self.hash_similarities[hash_mask],
                              self.bottleneck_similarities[bottleneck_mask], self.are_complete)


def find_duplicates(dataset: Dataset) -> DuplicatePairs:
    """Return the pairs of different files that show the same picture, whatever the order of the photos.

    Args:
        dataset: Photos with their digests and perceptual hashes. Without bottlenecks, only the hashes are compared.
    """
    if dataset.hashes is None:
        raise ValueError("the photos have no perceptual hashes: they have not been read")
    digests = np.array([photo.digest for photo in dataset.photos])
    rows = np.unique(digests, return_index=True)[1]  # in the order of the digests
    pairs, are_complete = near_duplicate_pairs(dataset.hashes[rows])
    by_hash = np.sort(rows[pairs])
    bits = hamming_distances(dataset.hashes[by_hash[:, 0]], dataset.hashes[by_hash[:, 1]])
    by_bottleneck, similarities = np.empty((0, 2), np.int64), np.empty(0)
    if dataset.X is not None and len(rows) > 1:
        pairs, similarities, all_similar = find_similar_bottlenecks(dataset.X, rows)
        are_complete &= all_similar
        by_bottleneck = np.sort(rows[pairs])
        is_new = ~np.isin(by_bottleneck @ [len(digests), 1], by_hash @ [len(digests), 1])
        by_bottleneck, similarities = by_bottleneck[is_new], similarities[is_new]
    return DuplicatePairs(by_hash, by_bottleneck, 1 - bits / (8 * dataset.hashes.shape[1]), similarities, are_complete)
