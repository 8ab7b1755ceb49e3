"""Assign photos to folds that are the same for several networks."""
from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from tfpoets.data import (TEST, TRAINING, Dataset, assign_folds, connected_groups, find_scene_matches, split_photos)
from tfpoets.errors import DataError
from tfpoets.photo_selection import split_dataset
from tfpoets.retrain_options import RetrainOptions

SPLIT_LOGGER = logging.getLogger("tfpoets.data.split")


@dataclass(frozen=True, eq=False)
class SharedFolds:
    """The same folds for several networks.

    Attributes:
        datasets: For each network, the photos with its bottlenecks; all have the same photos in the same order.
        folds: int64 [n_photos], the fold of each photo.
        n_unused: The number of photos that retrain would test on.
    """

    datasets: tuple[Dataset, ...]
    folds: np.ndarray
    n_unused: int

    def has_repeated_scenes(self, index: int) -> bool:
        """Return whether photos of one scene are in different folds, according to the bottlenecks of a network."""
        dataset = self.datasets[index]
        assert dataset.split is not None
        parts = np.where(self.folds == 0, TEST, TRAINING).astype(np.int8)
        matches = find_scene_matches(replace(dataset, split=replace(dataset.split, parts=parts)))
        return matches is not None and matches.are_frequent


def share_folds(dataset: Dataset, bottlenecks: Sequence[np.ndarray], n_folds: int, options: RetrainOptions
                ) -> SharedFolds:
    """Leave out the photos that retrain would test on, and assign the others to folds.

    Which photos show the same picture depends a little on the network that compares them. Photos that any of the
    networks considers the same picture share a fold, and a photo is left out if retrain would test on it with any of
    the networks. Therefore, the photos that retrain tests the chosen network on did not influence the choice.

    Args:
        dataset: The photos, with digests and perceptual hashes.
        bottlenecks: For each network, float32 [n_photos, depth].
        n_folds: The number of folds.
        options: The options of the retrain run; those of the photos and the split count.

    Raises:
        DataError: There are too few photos.
    """
    rows = np.arange(len(dataset))
    # A measure, because `select` selects the rows of all columns.
    first = split_dataset(replace(dataset, X=bottlenecks[0], measures={"row": rows}), options, lambda event: None)
    rows = first.measures["row"].astype(int)
    datasets = [replace(first, measures={})]
    with _without_notes():
        datasets += [split_photos(replace(first, X=X[rows], measures={}, split=None), options.split)
                     for X in bottlenecks[1:]]
    groups = _shared_groups(datasets, options.split.seed)
    is_test = np.any([other.split is not None and other.split.parts == TEST for other in datasets], axis=0)
    is_unused = np.isin(groups, groups[is_test])
    selected = tuple(other.select(~is_unused) for other in datasets)
    split = selected[0].split
    assert split is not None
    n_unused = int(is_unused.sum())
    try:
        folds = assign_folds(replace(selected[0], split=replace(split, groups=groups[~is_unused])), n_folds)
    except DataError as error:
        if not n_unused:
            raise
        raise DataError(error.problem, f"{error.remedy} Or use `testing_percentage=0`, to include the {n_unused} "
                        "photos that retrain would test on.") from None
    return SharedFolds(selected, folds, n_unused)


def _shared_groups(datasets: Sequence[Dataset], seed: int) -> np.ndarray:
    """Return the number of each photo's group, int64 [n]; groups of different splits that overlap are merged.

    The numbers are in the order of hashes, and depend neither on the names of files nor on the order of the networks.
    """
    pairs = []
    for dataset in datasets:
        assert dataset.split is not None
        _, first, inverse = np.unique(dataset.split.groups, return_index=True, return_inverse=True)
        pairs.append(np.stack([first[inverse], np.arange(len(dataset))], axis=1))
    numbers = connected_groups(np.concatenate(pairs), len(datasets[0]))
    smallest: dict[int, str] = {}
    for number, photo in zip(numbers.tolist(), datasets[0].photos):
        smallest[number] = min(photo.digest, smallest.get(number, photo.digest))
    hashes = {number: hashlib.blake2b(f"{seed}/{digest}".encode(), digest_size=8).hexdigest()
              for number, digest in smallest.items()}
    ranks = {number: position for position, number in enumerate(sorted(hashes, key=lambda key: hashes[key]))}
    return np.array([ranks[number] for number in numbers.tolist()], np.int64)


@contextmanager
def _without_notes() -> Iterator[None]:
    """Hide the notes of further splits, which would repeat those of the first one."""
    def hide(record: logging.LogRecord) -> bool:
        return False
    SPLIT_LOGGER.addFilter(hide)
    try:
        yield
    finally:
        SPLIT_LOGGER.removeFilter(hide)
