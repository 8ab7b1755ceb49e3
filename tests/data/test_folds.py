"""Folds keep look-alikes together and classes apart evenly, whatever the photos are called."""
from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import write_photos
from tfpoets.data import (HASH_HEIGHT, HASH_WIDTH, Dataset, Photo, Split, fold_photos, load_pixels, perceptual_hash,
                          photo_digest, read_dataset, read_photo, split_photos)
from tfpoets.errors import TfpoetsError


def folded(root: Path, count: int) -> tuple[Dataset, Split, np.ndarray]:
    dataset = read_dataset(root)
    photos = tuple(replace(photo, digest=photo_digest(read_photo(photo.path))) for photo in dataset.photos)
    dataset = replace(dataset, photos=photos)
    hashes = np.stack([np.frombuffer(perceptual_hash(load_pixels(photo.path, HASH_HEIGHT, HASH_WIDTH)), np.uint8)
                      for photo in photos])
    split = split_photos(dataset, hashes)
    return dataset, split, fold_photos(dataset, split, count)


def test_every_class_is_spread_evenly_and_every_photo_has_a_fold(photo_folder: Path) -> None:
    dataset, _, folds = folded(photo_folder, 5)
    for label in range(3):
        assert np.bincount(folds[dataset.targets == label], minlength=5).tolist() == [4, 4, 4, 4, 4]


def test_copies_share_a_fold_and_names_do_not_matter(photo_folder: Path) -> None:
    shutil.copy(photo_folder / "red" / "003.png", photo_folder / "red" / "copy.png")
    dataset, _, folds = folded(photo_folder, 4)
    by_name = {photo.path.name: fold for photo, fold in zip(dataset.photos, folds) if photo.label == "red"}
    assert by_name["copy.png"] == by_name["003.png"]
    (photo_folder / "red").rename(photo_folder / "zebra")
    other_tree, _, other = folded(photo_folder, 4)
    assert {photo.digest: fold for photo, fold in zip(other_tree.photos, other)} == {
        photo.digest: fold for photo, fold in zip(dataset.photos, folds)}


def test_too_few_independent_photos_are_named(tmp_path: Path) -> None:
    write_photos(tmp_path / "many", 12, 0)
    write_photos(tmp_path / "few", 3, 1)
    shutil.copy(tmp_path / "few" / "000.png", tmp_path / "few" / "copy.png")
    folded(tmp_path, 5)
    dataset, split, _ = folded(tmp_path, 3)
    split = replace(split, groups=np.where(dataset.targets == 0, 0, split.groups + 1))
    with pytest.raises(TfpoetsError, match="The class few has too few independent photos for a cross-validation: 1"):
        fold_photos(dataset, split, 3)


def test_more_folds_than_photos_are_refused_with_the_number_that_fits(photo_folder: Path, tmp_path: Path) -> None:
    dataset = Dataset(tmp_path, ("a", "b"), tuple(
        Photo(tmp_path / label / str(number), label, f"{label}{number}") for label in "ab" for number in range(4)))
    split = Split(np.zeros(8, np.int8), 0, "", np.arange(8))
    with pytest.raises(TfpoetsError, match="too few for a cross-validation in 5 folds.*`cross_validate`=4"):
        fold_photos(dataset, split, 5)
