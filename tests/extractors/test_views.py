"""Views of a photo are averaged inside the graph, and bottlenecks of augmented views are cached."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfpoets.data import AugmentationOptions, Photo, augment_pixels, load_pixels, network_input, read_dataset
from tfpoets.extractors import (INPUT_NODE, OUTPUT_NODE, BottleneckCache, Extractor, LiteRTModel, extract_augmented,
                                extract_bottlenecks, open_extractor)
from tfpoets.graphs import load_frozen_graph

FLIP_AND_SCALE = AugmentationOptions(flip_left_right=True, random_scale=50)


@pytest.fixture(scope="module")
def extractor(tiny_module: Path, model_dir: Path) -> Extractor:
    return open_extractor(str(tiny_module), model_dir=model_dir)


@pytest.fixture
def photos(photo_folder: Path, extractor: Extractor, tmp_path: Path) -> tuple[Photo, ...]:
    return extract_bottlenecks(read_dataset(photo_folder), extractor, tmp_path / "cache").dataset.photos


def enlarge_center(pixels: np.ndarray) -> np.ndarray:
    """Return the middle 28 of 32 pixels, enlarged by Pillow."""
    return np.stack([np.asarray(Image.fromarray(channel[2:30, 2:30]).resize((32, 32), Image.Resampling.BILINEAR))
                     for channel in np.moveaxis(pixels, 2, 0)], 2)


@pytest.mark.parametrize("views", [2, 4])
def test_the_graph_returns_the_mean_over_views_made_with_pillow(views: int, tiny_module: Path, model_dir: Path,
                                                                extractor: Extractor) -> None:
    averaged = open_extractor(str(tiny_module), model_dir=model_dir, views=views)
    pixels = np.random.default_rng(0).random((3, 32, 32, 3), np.float32)
    expected = []
    for photo in pixels:
        view_pixels = [photo, enlarge_center(photo)]
        if views == 4:
            view_pixels += [view[:, ::-1] for view in view_pixels]
        run = LiteRTModel(extractor.tflite_path).run
        expected.append(np.mean([run(np.ascontiguousarray(view)[None])[0] for view in view_pixels], axis=0))
    lite = LiteRTModel(averaged.tflite_path).run
    assert np.allclose([lite(photo[None])[0] for photo in pixels], expected, atol=1e-5)
    run = load_frozen_graph(averaged.graph_path.read_bytes(), INPUT_NODE, OUTPUT_NODE)
    assert np.allclose(run(pixels), expected, atol=1e-5)


def test_each_number_of_views_has_its_own_cache_key(tiny_module: Path, model_dir: Path) -> None:
    assert len({open_extractor(str(tiny_module), model_dir=model_dir, views=views).digest for views in (1, 2, 4)}) == 3


def test_augmented_bottlenecks_are_those_of_the_augmented_pixels(
        photos: tuple[Photo, ...], extractor: Extractor, tmp_path: Path) -> None:
    features, computed = extract_augmented(photos[:5], extractor, tmp_path / "cache", FLIP_AND_SCALE, 3)
    assert features.shape == (5, 3, extractor.depth) and computed == 15
    run = LiteRTModel(extractor.tflite_path).run
    for photo, rows in zip(photos, features):
        pixels = load_pixels(photo.uri, 32, 32)
        for number, row in enumerate(rows, 1):
            augmented = augment_pixels(pixels, FLIP_AND_SCALE, photo.digest, number)
            assert np.array_equal(row, run(network_input(augmented[None]))[0])


def test_no_augmented_view_is_computed_twice(photos: tuple[Photo, ...], extractor: Extractor, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    three, _ = extract_augmented(photos[:5], extractor, cache, FLIP_AND_SCALE, 3)
    five, computed = extract_augmented(photos[:6], extractor, cache, FLIP_AND_SCALE, 5)
    assert computed == 5 * 2 + 5 and np.array_equal(five[:5, :3], three)
    assert extract_augmented(photos[:6], extractor, cache, AugmentationOptions(random_brightness=5), 1)[1] == 6


def test_damaged_augmented_views_are_computed_again_and_deleted_photos_are_nan(
        photos: tuple[Photo, ...], extractor: Extractor, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    before, _ = extract_augmented(photos[:5], extractor, cache, FLIP_AND_SCALE, 2)
    with BottleneckCache(cache) as opened:
        opened._database.execute("UPDATE vectors SET checksum = 0 WHERE digest = ? AND view = 2", (photos[3].digest,))
    after, computed = extract_augmented(photos[:5], extractor, cache, FLIP_AND_SCALE, 2)
    assert np.array_equal(before, after) and computed == 2
    Path(photos[5].uri).unlink()
    features, _ = extract_augmented(photos[:6], extractor, cache, FLIP_AND_SCALE, 2)
    assert np.isnan(features[5]).all() and np.array_equal(features[:5], before)
