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
    for class_index, label in enumerate(dataset.labels):
        if len(np.unique(folds[y == class_index])) < MIN_FOLDS:
            n_groups = len(np.unique(dataset.split.groups[y == class_index]))
            raise DataError(f"The class {label} has too few independent photos for cross-validation: {n_groups}.",
                            f"It needs at least {MIN_FOLDS}.")
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
    return all(len(np.unique(folds[y == index])) >= MIN_FOLDS for index in range(n_classes))


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
    folds = np.full(len(y), -1)
    for class_index in np.unique(y):
        for position, group in enumerate(np.unique(photo_groups[y == class_index])):
            rows = photo_groups == group
            if folds[rows][0] < 0:  # otherwise the group has photos of two classes and is already assigned
                folds[rows] = position % n_folds
    return folds
