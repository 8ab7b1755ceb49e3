"""Augmentation is random within the ranges of the options, and reproducible."""
from __future__ import annotations

import numpy as np
import pytest

from tfpoets.data import AugmentationOptions, augment_pixels, augment_tensor
from tfpoets.tf_runtime import import_tensorflow

RAMP = np.broadcast_to(np.linspace(0, 255, 64).round().astype(np.uint8)[None, :, None], (64, 64, 3)).copy()
NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
PHOTOS = np.random.default_rng(1).random((32, 16, 16, 3), np.float32)
ALL_CHANGES = AugmentationOptions(flip_left_right=True, random_crop=20, random_scale=30, random_brightness=40)


def test_the_same_photo_and_number_give_the_same_pixels_and_different_ones_do_not() -> None:
    first = augment_pixels(NOISE, ALL_CHANGES, "ab", 1)
    assert first.shape == NOISE.shape and first.dtype == np.uint8
    assert np.array_equal(first, augment_pixels(NOISE, ALL_CHANGES, "ab", 1))
    for other in (augment_pixels(NOISE, ALL_CHANGES, "ab", 2), augment_pixels(NOISE, ALL_CHANGES, "cd", 1)):
        assert not np.array_equal(first, other)


def test_flipping_mirrors_about_half_of_the_views_and_leaves_the_others_unchanged() -> None:
    views = [augment_pixels(NOISE, AugmentationOptions(flip_left_right=True), "ab", number) for number in range(400)]
    mirrored = sum(np.array_equal(view, NOISE[:, ::-1]) for view in views)
    assert mirrored + sum(np.array_equal(view, NOISE) for view in views) == 400 and 150 < mirrored < 250


def test_brightness_multiplies_all_pixels_by_the_same_factor() -> None:
    gray = np.full((8, 8, 3), 100, np.uint8)
    options = AugmentationOptions(random_brightness=20)
    views = np.array([augment_pixels(gray, options, "ab", number) for number in range(60)])
    assert (views == views[:, :1, :1, :1]).all() and 80 <= views.min() < 85 and 115 < views.max() <= 120


@pytest.mark.parametrize("crop, scale, low, high", [(25, 0, 0.8, 0.8), (0, 100, 0.5, 1.0), (25, 60, 0.5, 0.8)])
def test_arrays_and_tensors_are_cropped_within_the_same_ranges(crop: int, scale: int, low: float, high: float) -> None:
    options = AugmentationOptions(random_crop=crop, random_scale=scale)
    tensorflow = import_tensorflow()
    arrays = np.array([augment_pixels(RAMP, options, "ab", number) for number in range(300)]) / 255
    tensors = augment_tensor(tensorflow.constant(np.repeat(RAMP[None], 300, 0) / np.float32(255)), options, 1,
                             tensorflow.constant(0, tensorflow.int64)).numpy()
    for photos in (arrays, tensors):
        fractions = np.ptp(photos[:, 32, :, 0], axis=1)  # the visible part of a ramp from 0 to 1
        assert low - 0.04 < fractions.min() < low + 0.04 and high - 0.06 < fractions.max() <= high + 0.01
        middles = photos[:, 32, :, 0].mean(1)
        assert abs(middles.mean() - 0.5) < 0.03 and np.ptp(middles) > (1 - high) / 2


def test_tensors_get_the_same_augmentation_for_the_same_step_and_stay_in_range() -> None:
    tensorflow = import_tensorflow()
    photos = tensorflow.constant(PHOTOS[:8])
    all_changes = AugmentationOptions(flip_left_right=True, random_crop=10, random_scale=20, random_brightness=30)
    steps = (tensorflow.constant(step, tensorflow.int64) for step in (7, 7, 8))
    first, repeated, other = (augment_tensor(photos, all_changes, 5, step).numpy() for step in steps)
    assert (first == repeated).all() and not np.allclose(first, other)
    assert first.min() >= 0 and first.max() <= 1 and first.shape == photos.shape
    assert augment_tensor(photos, AugmentationOptions(), 5, 7) is photos


def test_flipping_mirrors_some_tensors_and_leaves_the_others_unchanged() -> None:
    tensorflow = import_tensorflow()
    flipped = augment_tensor(tensorflow.constant(PHOTOS), AugmentationOptions(flip_left_right=True), 0,
                             tensorflow.constant(0, tensorflow.int64)).numpy()
    same = np.abs(flipped - PHOTOS).max((1, 2, 3)) < 0.01
    mirrored = np.abs(flipped - PHOTOS[:, :, ::-1]).max((1, 2, 3)) < 0.01
    assert (same ^ mirrored).all() and 8 < same.sum() < 24
