"""Photos in K folds for cross-validation: look-alikes share a fold, and every class is spread over all of them."""
from __future__ import annotations

import numpy as np

from tfpoets.errors import DataError

from .dataset import Dataset

MIN_FOLDS = 3


def fold_photos(dataset: Dataset, count: int) -> np.ndarray:
    """Assigns every photo to one of `count` folds, by content and the split's seed alone.

    Args:
        dataset: with its split, whose groups of look-alikes stay together.
        count: of folds, at least 3.

    Returns:
        int64 [photos], 0 to count - 1.

    Raises:
        DataError: a class is in fewer than three folds, so that one could not be held out and one choose; or the
            photos are too few for so many folds.
    """
    assert dataset.split is not None
    classes, of_group = dataset.targets, dataset.split.groups
    folds = np.full(len(dataset.photos), -1)
    for label, name in enumerate(dataset.labels):
        groups = np.unique(of_group[classes == label])
        for place, group in enumerate(groups):  # in the order of their hashes
            rows = of_group == group
            if folds[rows][0] < 0:  # else a group of two classes that has its fold already
                folds[rows] = place % count
        if len(np.unique(folds[classes == label])) < MIN_FOLDS:
            raise DataError(f"The class {name} has too few independent photos for a cross-validation: {len(groups)}.",
                            f"It needs at least {MIN_FOLDS}.")
    if len(np.unique(folds)) < count:
        raise DataError(f"These photos are too few for a cross-validation in {count} folds: every class fits into "
                        f"{len(np.unique(folds))}.", f"Give `cross_validate`={len(np.unique(folds))}.")
    return folds
