"""Assign photos to K folds for cross-validation."""
from __future__ import annotations

import numpy as np

from tfpoets.errors import DataError

from .dataset import Dataset

# One fold is held out, one is for validation, and at least one is for training.
MIN_FOLDS = 3


def assign_folds(dataset: Dataset, n_folds: int) -> np.ndarray:
    """Assign every photo to a fold, by the order of the hashes in its class, independently of file names.

    Photos of one group (near duplicates, for instance) share a fold, and each class is spread evenly over the folds.

    Args:
        dataset: A dataset with a split, which defines the groups.
        n_folds: The number of folds, at least 3.

    Returns:
        int64 [n], the fold of each photo, 0 to n_folds - 1.

    Raises:
        DataError: A class would be in fewer than three folds, or there are too few photos for `n_folds` folds.
    """
    assert dataset.split is not None
    y = dataset.targets
    folds = spread_over_folds(y, dataset.split.groups, n_folds)
    too_few = np.flatnonzero(_count_folds(y, folds, dataset.n_classes) < MIN_FOLDS)
    if len(too_few):
        n_groups = len(np.unique(dataset.split.groups[y == too_few[0]]))
        raise DataError(f"The class {dataset.labels[too_few[0]]} has too few independent photos for cross-validation: "
                        f"{n_groups}.", f"It needs at least {MIN_FOLDS}.")
    n_used = len(np.unique(folds))
    if n_used < n_folds:
        raise DataError(f"There are too few photos for cross-validation with {n_folds} folds: only "
                        f"{n_used} would contain photos.", f"Use `cross_validate`={n_used}.")
    return folds


def can_cross_validate(y: np.ndarray, folds: np.ndarray, n_classes: int) -> bool:
    """Return whether every class is in at least three folds, so that each fold can be predicted by a head for all.

    Args:
        y: int64 [n], the class of each photo.
        folds: int64 [n], the fold of each photo.
        n_classes: The number of classes.
    """
    return bool((_count_folds(y, folds, n_classes) >= MIN_FOLDS).all())


def _count_folds(y: np.ndarray, folds: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the number of folds that each class is in: int64 [n_classes]."""
    return np.bincount(np.unique(np.stack([y, folds], axis=1), axis=0)[:, 0], minlength=n_classes)


def spread_over_folds(y: np.ndarray, photo_groups: np.ndarray, n_folds: int) -> np.ndarray:
    """Assign photos to folds like `assign_folds`, but without raising an error for small classes.

    Args:
        y: int64 [n], the class of each photo.
        photo_groups: int64 [n], the group of each photo; the groups of a class are distributed in the order of their
            numbers.
        n_folds: The number of folds.

    Returns:
        int64 [n], the fold of each photo, 0 to n_folds - 1.
    """
    order = np.lexsort([photo_groups, y])
    is_new = np.append(True, (np.diff(y[order]) != 0) | (np.diff(photo_groups[order]) != 0))[:len(y)]
    rows = order[is_new]  # one photo of each class and group, in the order of the classes and then of the groups
    position = np.arange(len(rows)) - np.searchsorted(y[rows], y[rows])
    # A group with photos of two classes is assigned to a fold with the first class.
    _, first, group_indices = np.unique(photo_groups[rows], return_index=True, return_inverse=True)
    folds = np.empty(len(y), np.int64)
    folds[order] = (position % n_folds)[first][group_indices][np.cumsum(is_new) - 1]
    return folds
