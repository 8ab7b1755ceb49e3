"""All networks share the same folds, whatever their order, without the photos that retrain would test on."""
from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tfpoets.comparison.shared_folds import SharedFolds, share_folds
from tfpoets.data import TEST, Dataset, SplitOptions, hash_photos, read_dataset, split_photos
from tfpoets.errors import DataError
from tfpoets.retrain_options import RetrainOptions


@pytest.fixture
def dataset(photo_folder: Path) -> Dataset:
    shutil.copy(photo_folder / "red" / "003.png", photo_folder / "red" / "copy.png")
    return hash_photos(read_dataset(photo_folder), 1)[0]


def draw_features(dataset: Dataset, *pairs: tuple[int, int]) -> np.ndarray:
    """Return random features, float32 [n, 8], which are nearly equal for the photos of each pair."""
    X = np.random.default_rng(0).normal(0, 1, (len(dataset), 8)).astype(np.float32)
    for first, second in pairs:
        X[second] = X[first] + 1e-3
    return X


def share(dataset: Dataset, matrices: list[np.ndarray], **split: float) -> SharedFolds:
    return share_folds(dataset, matrices, 4, RetrainOptions(image_dir=dataset.location, split=SplitOptions(**split)))


def test_photos_that_retrain_tests_on_with_any_of_the_networks_are_not_used(dataset: Dataset) -> None:
    matrices = [draw_features(dataset), draw_features(dataset, (3, 10), (25, 30))]
    shared = share(dataset, matrices, testing_percentage=20)
    used = {photo.digest for photo in shared.datasets[0].photos}
    splits = [split_photos(replace(dataset, X=X), SplitOptions(20)) for X in matrices]
    tested = {photo.digest for split in splits for photo in split.part(TEST).photos}
    assert len(tested) > 5 and not used & tested
    assert shared.n_unused == len(dataset) - len(shared.folds) == sum(photo.digest not in used
                                                                      for photo in dataset.photos)


def test_pictures_that_any_network_considers_the_same_share_a_fold_and_the_order_does_not_matter(dataset: Dataset
                                                                                                 ) -> None:
    matrices = [draw_features(dataset), draw_features(dataset, (3, 10)), draw_features(dataset, (10, 14))]
    shared = share(dataset, matrices, testing_percentage=0)
    folds = shared.folds
    assert len(folds) == len(dataset) and shared.n_unused == 0
    assert folds[3] == folds[10] == folds[14]
    by_name = {Path(photo.uri).name: fold for photo, fold in zip(dataset.photos, folds) if photo.label == "red"}
    assert by_name["copy.png"] == by_name["003.png"]
    assert (share(dataset, matrices[::-1], testing_percentage=0).folds == folds).all()
    assert all(other.X is not None and len(other) == len(folds) for other in shared.datasets)


def test_if_too_few_photos_remain_the_error_says_how_to_use_those_that_retrain_tests_on(dataset: Dataset) -> None:
    few = dataset.select(np.arange(len(dataset)) % 6 == 0)
    with pytest.raises(DataError, match="too few .*`testing_percentage=0`, to include the . photos"):
        share(few, [draw_features(few)] * 2, testing_percentage=50)
    with pytest.raises(DataError, match="`cross_validate`=[34]") as caught:
        share_folds(few, [draw_features(few)] * 2, 9,
                    RetrainOptions(image_dir=few.location, split=SplitOptions(testing_percentage=0)))
    assert "retrain would test" not in str(caught.value)


def test_photos_of_a_test_folder_are_not_used(photo_folder: Path) -> None:
    for label in ("red", "green", "blue"):
        for number in range(20):
            part = "test" if number < 5 else "train"
            target = photo_folder.parent / "parts" / part / label
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(photo_folder / label / f"{number:03d}.png", target)
    dataset = hash_photos(read_dataset(photo_folder.parent / "parts"), 1)[0]
    shared = share(dataset, [draw_features(dataset)] * 2)
    assert shared.n_unused == 15 and all(photo.part != "test" for photo in shared.datasets[1].photos)


def test_scenes_in_different_folds_are_noticed(dataset: Dataset) -> None:
    rng = np.random.default_rng(1)
    scenes = rng.normal(0, 1, (len(dataset) // 6 + 1, 16))[np.arange(len(dataset)) // 6]
    X = (scenes + rng.normal(0, 0.15, (len(dataset), 16))).astype(np.float32)
    assert share(dataset, [X, X], testing_percentage=0).has_repeated_scenes(0)
    independent = rng.normal(0, 1, (len(dataset), 4)).astype(np.float32)
    assert not share(dataset, [independent] * 2, testing_percentage=0).has_repeated_scenes(1)
