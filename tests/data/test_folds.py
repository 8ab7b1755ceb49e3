"""Folds keep near duplicates together and spread each class evenly, independently of file names."""
from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import write_photos
from tfpoets.data import (Dataset, Photo, Split, assign_folds, can_cross_validate, hash_photos, read_dataset,
                          split_photos, spread_over_folds)
from tfpoets.errors import TfpoetsError


def read_and_assign(root: Path, n_folds: int) -> tuple[Dataset, np.ndarray]:
    dataset = split_photos(hash_photos(read_dataset(root), 1)[0])
    return dataset, assign_folds(dataset, n_folds)


def test_every_class_is_spread_evenly_and_every_photo_has_a_fold(photo_folder: Path) -> None:
    dataset, folds = read_and_assign(photo_folder, 5)
    for label in range(3):
        assert np.bincount(folds[dataset.targets == label], minlength=5).tolist() == [4, 4, 4, 4, 4]


def test_duplicates_share_a_fold_and_names_do_not_matter(photo_folder: Path) -> None:
    shutil.copy(photo_folder / "red" / "003.png", photo_folder / "red" / "copy.png")
    dataset, folds = read_and_assign(photo_folder, 4)
    by_name = {photo.name: fold for photo, fold in zip(dataset.photos, folds) if photo.label == "red"}
    assert by_name["copy.png"] == by_name["003.png"]
    (photo_folder / "red").rename(photo_folder / "zebra")
    other_dataset, other_folds = read_and_assign(photo_folder, 4)
    assert {photo.digest: fold for photo, fold in zip(other_dataset.photos, other_folds)} == {
        photo.digest: fold for photo, fold in zip(dataset.photos, folds)}


def test_a_class_with_too_few_independent_photos_is_refused(tmp_path: Path) -> None:
    write_photos(tmp_path / "many", 12, 0)
    write_photos(tmp_path / "few", 3, 1)
    shutil.copy(tmp_path / "few" / "000.png", tmp_path / "few" / "copy.png")
    read_and_assign(tmp_path, 5)
    dataset, _ = read_and_assign(tmp_path, 3)
    assert dataset.split
    split = replace(dataset.split, groups=np.where(dataset.targets == 0, 0, dataset.split.groups + 1))
    with pytest.raises(TfpoetsError, match="The class few has too few independent photos for cross-validation: 1"):
        assign_folds(replace(dataset, split=split), 3)


def test_too_many_folds_are_refused_with_the_largest_possible_number(photo_folder: Path, tmp_path: Path) -> None:
    dataset = Dataset(str(tmp_path), ("a", "b"), tuple(
        Photo(f"{label}/{number}", label, f"{label}{number}") for label in "ab" for number in range(4)))
    split = Split(np.zeros(8, np.int8), 0, "", np.arange(8))
    with pytest.raises(TfpoetsError, match="too few photos for cross-validation with 5 folds.*`cross_validate`=4"):
        assign_folds(replace(dataset, split=split), 5)


@pytest.mark.parametrize("seed", range(5))
def test_the_groups_of_each_class_take_turns_unless_an_earlier_class_assigned_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, groups = rng.integers(0, 8, 200), rng.integers(0, 90, 200)
    expected: dict[int, int] = {}
    for label in range(8):
        for position, group in enumerate(sorted(set(groups[y == label].tolist()))):
            expected.setdefault(group, position % 5)
    folds = spread_over_folds(y, groups, 5)
    assert folds.tolist() == [expected[group] for group in groups.tolist()]
    enough = all(len(set(folds[y == label].tolist())) >= 3 for label in range(8))
    assert can_cross_validate(y, folds, 8) == enough and not can_cross_validate(y, np.minimum(folds, 1), 8)
    assert not can_cross_validate(y, folds, 9)


def test_no_photos_have_no_folds() -> None:
    assert len(spread_over_folds(np.empty(0, np.int64), np.empty(0, np.int64), 5)) == 0
