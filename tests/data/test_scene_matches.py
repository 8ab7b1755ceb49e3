"""Test photos that show the scene of a training photo are found, but not those that are merely of the same class."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.data.test_duplicates import make_dataset
from tfpoets.data import TEST, Dataset, SplitOptions, find_scene_matches, split_photos

N_LATENT = 20


def make_split(latent: np.ndarray, y: np.ndarray, seed: int = 0) -> Dataset:
    """Return photos whose bottlenecks are rectified projections of `latent`, like those of a network, with a split."""
    rng = np.random.default_rng(99)
    X = np.maximum(latent @ rng.standard_normal((latent.shape[1], 256)) + 0.3 * rng.standard_normal(256), 0)
    dataset, labels = make_dataset(X.astype(np.float32)), [f"class{label:03}" for label in range(y.max() + 1)]
    photos = tuple(replace(photo, label=labels[label]) for photo, label in zip(dataset.photos, y))
    return split_photos(replace(dataset, labels=tuple(labels), photos=photos), SplitOptions(seed=seed))


def draw_scenes(n_scenes: int, n_photos: int, spread: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the latent features of scenes with several photos each, and the number of each photo's scene."""
    rng, scenes = np.random.default_rng(seed), np.repeat(np.arange(n_scenes), n_photos)
    return (rng.standard_normal((n_scenes, N_LATENT))[scenes]
            + spread * rng.standard_normal((len(scenes), N_LATENT)), scenes)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_scenes, n_photos, spread", [(12, 20, 0.2), (12, 20, 0.02), (100, 4, 0.15)])
def test_photos_of_scenes_with_random_labels_are_found(n_scenes: int, n_photos: int, spread: float, seed: int) -> None:
    latent, scenes = draw_scenes(n_scenes, n_photos, spread, seed)
    dataset = make_split(latent, np.random.default_rng(seed).permutation(np.arange(n_scenes) % 2)[scenes], seed)
    matches = find_scene_matches(dataset)
    assert matches and matches.are_frequent and matches.repeated.mean() > 0.8
    assert matches.rows.tolist() == dataset.rows(TEST).tolist()
    same_scene = scenes[matches.rows] == scenes[matches.nearest]
    assert (same_scene >= matches.repeated).all() and dataset.split
    assert (dataset.split.parts[matches.nearest] != TEST).all()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_photos, n_classes, n_kinds, spread", [
    (600, 5, 1, 1.0), (400, 2, 1, 0.1), (600, 5, 3, 2.0), (1000, 50, 1, 1.0), (60, 3, 1, 1.0)])
def test_similar_photos_of_a_class_are_not_taken_for_a_scene(n_photos: int, n_classes: int, n_kinds: int,
                                                             spread: float, seed: int) -> None:
    rng, kinds = np.random.default_rng(seed), np.arange(n_photos) % (n_classes * n_kinds)
    centers = 3 * rng.standard_normal((n_classes * n_kinds, N_LATENT))
    latent = centers[kinds] + spread * rng.standard_normal((n_photos, N_LATENT))
    matches = find_scene_matches(make_split(latent, kinds % n_classes, seed))
    assert matches and not matches.are_frequent


@pytest.mark.parametrize("n_scenes, n_photos", [(40, 10), (12, 20), (8, 30)])
@pytest.mark.parametrize("seed", range(3))
def test_scenes_that_are_kept_together_are_not_reported(n_scenes: int, n_photos: int, seed: int) -> None:
    latent, scenes = draw_scenes(n_scenes, n_photos, 0.1, seed)
    dataset = make_split(latent, scenes % 2)
    dataset = split_photos(replace(dataset, photos=tuple(replace(photo, group=f"scene{scene}") for photo, scene
                                                         in zip(dataset.photos, scenes))))
    matches = find_scene_matches(dataset)
    assert matches and not matches.are_frequent


def test_scenes_in_one_of_several_classes_are_found() -> None:
    rng = np.random.default_rng(0)
    latent, _ = draw_scenes(30, 4, 0.25, 0)
    latent = np.concatenate([latent, rng.standard_normal((480, N_LATENT))])
    y = np.repeat(np.arange(5), 120)
    matches = find_scene_matches(make_split(latent + 2 * np.eye(N_LATENT)[y], y))
    assert matches and matches.are_frequent and (matches.y == y[matches.rows]).all()
    assert matches.repeated[matches.y == 0].mean() > 0.5 and matches.repeated[matches.y > 0].mean() < 0.1


def test_the_scale_of_the_bottlenecks_does_not_matter() -> None:
    latent, scenes = draw_scenes(12, 20, 0.2, 0)
    dataset = make_split(latent, scenes % 2)
    expected = [find_scene_matches(replace(dataset, X=dataset.X * scale)).expected for scale in (1, 1000)]
    assert np.allclose(*expected, rtol=1e-2)


def test_nothing_is_compared_without_bottlenecks_or_test_photos() -> None:
    latent, scenes = draw_scenes(12, 20, 0.2, 0)
    dataset = make_split(latent, scenes % 2)
    assert find_scene_matches(replace(dataset, X=None)) is None
    assert find_scene_matches(split_photos(dataset, SplitOptions(0, 10))) is None


def test_classes_of_a_few_photos_are_not_judged() -> None:
    rng = np.random.default_rng(0)
    assert find_scene_matches(make_split(rng.standard_normal((8, N_LATENT)), np.arange(8) % 2)) is None


def test_only_a_sample_of_many_photos_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    latent, scenes = draw_scenes(60, 20, 0.1, 0)
    dataset = make_split(latent, scenes % 2)
    whole = find_scene_matches(dataset)
    monkeypatch.setattr("tfpoets.data.scene_matches.MAX_SIMILARITIES", 20 * 1000)
    monkeypatch.setattr("tfpoets.data.scene_matches.CHUNK_SIMILARITIES", 3 * 1000)
    sample = find_scene_matches(dataset)
    assert whole and sample and 15 <= len(sample.rows) <= 25 and sample.are_frequent
    rows = np.isin(whole.rows, sample.rows)
    assert np.array_equal(whole.nearest[rows], sample.nearest)
