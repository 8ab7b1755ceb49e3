"""Find the groups of photos that a split keeps together."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .dataset import Dataset, Photo
from .duplicates import DuplicatePairs
from .hash_groups import connected_groups

# A group of photos that look alike is kept together unless it is larger than both of these limits, the second of which
# is a fraction of the class. A larger group is considered typical of the dataset (castings, digits), not a set of near
# duplicates.
MAX_GROUP_SIZE = 5
MAX_GROUP_FRACTION = 0.05


def find_groups(dataset: Dataset, duplicates: DuplicatePairs, n_parts: int) -> tuple[list[str], list[str]]:
    """Find the photos that must be in the same part: same content, near duplicates, or the same `Photo.group`.

    Args:
        dataset: Photos with their digests.
        duplicates: The pairs of them that show the same picture.
        n_parts: The number of parts of the split.

    Returns:
        The name of each photo's group: the smallest digest in it.
        Notes about near duplicates that are not kept together.
    """
    digests = [photo.digest for photo in dataset.photos]
    same_group = _equal_pairs([photo.group or photo.uri for photo in dataset.photos])
    inseparable = np.concatenate([_equal_pairs(digests), same_group])
    has_equal_hashes = duplicates.hash_similarities == 1
    equal, others = duplicates.by_hash[has_equal_hashes], duplicates.by_hash[~has_equal_hashes]
    near, notes = _drop_large_groups(dataset, others, equal, kept_are_equal=True)
    notes = _note_large_equal_groups(dataset, equal) + notes
    # Pairs by bottleneck do not separate photos that the hashes keep together.
    near = np.concatenate([equal, near])
    similar, more_notes = _drop_large_groups(dataset, duplicates.by_bottleneck, near)
    near, notes = np.concatenate([near, similar]), notes + more_notes
    near, more_notes = _drop_pairs_of_uniform_classes(dataset, inseparable, near, len(equal), n_parts)
    numbers = connected_groups(np.concatenate([inseparable, near]), len(digests))
    smallest: dict[int, str] = {}
    for number, digest in zip(numbers, digests):
        smallest[number] = min(digest, smallest.get(number, digest))
    return [smallest[number] for number in numbers], notes + more_notes


def group_numbers(photos: Sequence[Photo]) -> np.ndarray | None:
    """Return the numbers of the groups that the user defined (`Photo.group`); a photo without one is its own group.

    Returns:
        int64 [photos], or None if no photo has a group.
    """
    if not any(photo.group for photo in photos):
        return None
    numbers: dict[tuple[str, int], int] = {}
    return np.array([numbers.setdefault((photo.group, -1) if photo.group else ("", row), len(numbers))
                     for row, photo in enumerate(photos)], np.int64)


def _equal_pairs(keys: list[str]) -> np.ndarray:
    """Return the pairs of equal keys: int64 [pairs, 2], the first row with a key and a later row with the same key."""
    first: dict[str, int] = {}
    pairs = [(first.setdefault(key, row), row) for row, key in enumerate(keys)]
    return np.array([pair for pair in pairs if pair[0] != pair[1]], np.int64).reshape(-1, 2)


def _note_large_equal_groups(dataset: Dataset, equal: np.ndarray) -> list[str]:
    """Return a note about photos with equal hashes, int64 [pairs, 2], in groups that are large, if there are any."""
    large, numbers = _find_large_groups(dataset, equal)
    if not large.any():
        return []
    groups = "a group" if large.sum() == 1 else f"{large.sum()} groups"
    return [f"{large[numbers].sum()} photos have the same perceptual hash as others, in {groups} that make up much of "
            "a class. Each group is kept together in the split, so the parts may differ from the requested sizes."]


def _find_large_groups(dataset: Dataset, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each group of connected photos is large, bool [groups], and the group of each photo, int [n]."""
    numbers, y = connected_groups(pairs, len(dataset.photos)), dataset.targets
    sizes = np.bincount(numbers)
    group_limits = np.zeros(len(sizes))
    np.maximum.at(group_limits, numbers, np.maximum(MAX_GROUP_SIZE, MAX_GROUP_FRACTION * np.bincount(y)[y]))
    return sizes > group_limits, numbers


def _drop_large_groups(dataset: Dataset, pairs: np.ndarray, kept_pairs: np.ndarray, kept_are_equal: bool = False
                       ) -> tuple[np.ndarray, list[str]]:
    """Drop the pairs of near duplicates in groups so large that they are typical of the dataset.

    Args:
        dataset: The photos.
        pairs: int64 [pairs, 2], pairs of near duplicates.
        kept_pairs: int64 [kept pairs, 2], pairs that are not dropped, but connect photos as well.
        kept_are_equal: Whether these are pairs with equal hashes.

    Returns:
        The remaining pairs.
        Notes about the others.
    """
    if not len(pairs):
        return pairs, []
    large, numbers = _find_large_groups(dataset, np.concatenate([kept_pairs, pairs]))
    sizes = np.bincount(numbers)
    large &= np.bincount(numbers[pairs[:, 0]], minlength=len(sizes)) > 0
    notes = []
    if large.any():
        groups = "a group" if large.sum() == 1 else f"{large.sum()} groups"
        unless = (", except those with equal perceptual hashes"
                  if kept_are_equal and large[numbers[kept_pairs[:, 0]]].any() else "")
        notes.append(f"{sizes[large].sum()} photos look alike, in {groups} too large to consist of near duplicates. "
                     "Such similarity is typical of this dataset, so these photos are not kept together in the "
                     f"split{unless}.")
    return pairs[~large[numbers[pairs[:, 0]]]], notes


def _drop_pairs_of_uniform_classes(dataset: Dataset, inseparable: np.ndarray, near: np.ndarray, n_equal: int,
                                   n_parts: int) -> tuple[np.ndarray, list[str]]:
    """Drop the near-duplicate pairs of classes that would otherwise have fewer groups than parts.

    Pairs with equal hashes are dropped only if dropping the others is not enough.

    Args:
        dataset: The photos.
        inseparable: int64 [pairs, 2], pairs that always stay together.
        near: int64 [pairs, 2], pairs of near duplicates.
        n_equal: The number of pairs with equal hashes, which are the first ones.
        n_parts: The number of parts.

    Returns:
        The remaining pairs of near duplicates.
        A note for each class concerned.
    """
    y, is_uniform = dataset.targets, np.zeros(dataset.n_classes, bool)
    for n_kept in (n_equal, 0):
        numbers = connected_groups(np.concatenate([inseparable, near]), len(y))
        n_groups = np.bincount(np.unique(np.stack([y, numbers], axis=1), axis=0)[:, 0], minlength=dataset.n_classes)
        has_too_few = (n_groups < n_parts) & (np.bincount(y, minlength=dataset.n_classes) > 0)
        is_uniform |= has_too_few
        is_dropped = has_too_few[y[near]].any(axis=1)
        is_dropped[:n_kept] = False
        near = near[~is_dropped]
    # In the order in which the classes first appear.
    classes = dict.fromkeys(photo.label for photo in dataset.photos)
    uniform = {label for label, too_few in zip(dataset.labels, is_uniform) if too_few}
    return near, [f"Nearly all photos of {label} look the same, so near duplicates had to be divided between "
                  "training and test: the test metrics of this class are too optimistic."
                  for label in classes if label in uniform]
