"""Folds keep near duplicates together and spread each class evenly, independently of file names."""
from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import write_photos
from tfpoets.data import Dataset, Photo, Split, assign_folds, hash_photos, read_dataset, split_photos
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
