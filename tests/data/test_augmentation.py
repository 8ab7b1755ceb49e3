"""A photo's variations: endless, in the range that the flags give, and always the same ones."""
from __future__ import annotations

import numpy as np
import pytest

from tfpoets.data import AugmentationOptions, augment_pixels
from tfpoets.tf_runtime import import_tensorflow
from tfpoets.training.loop import distorted

RAMP = np.broadcast_to(np.linspace(0, 255, 64).round().astype(np.uint8)[None, :, None], (64, 64, 3)).copy()
NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
EVERY = AugmentationOptions(flip_left_right=True, random_crop=20, random_scale=30, random_brightness=40)


def test_the_same_photo_and_number_give_the_same_variation_and_others_give_others() -> None:
    one = augment_pixels(NOISE, EVERY, "ab", 1)
    assert one.shape == NOISE.shape and one.dtype == np.uint8
    assert np.array_equal(one, augment_pixels(NOISE, EVERY, "ab", 1))
    for other in (augment_pixels(NOISE, EVERY, "ab", 2), augment_pixels(NOISE, EVERY, "cd", 1)):
        assert not np.array_equal(one, other)


def test_flipping_mirrors_about_half_and_changes_no_other() -> None:
    found = [augment_pixels(NOISE, AugmentationOptions(flip_left_right=True), "ab", number) for number in range(400)]
    mirrored = sum(np.array_equal(each, NOISE[:, ::-1]) for each in found)
    assert mirrored + sum(np.array_equal(each, NOISE) for each in found) == 400 and 150 < mirrored < 250


def test_brightness_multiplies_all_pixels_alike() -> None:
    gray = np.full((8, 8, 3), 100, np.uint8)
    options = AugmentationOptions(random_brightness=20)
    found = np.array([augment_pixels(gray, options, "ab", number) for number in range(60)])
    assert (found == found[:, :1, :1, :1]).all() and 80 <= found.min() < 85 and 115 < found.max() <= 120


@pytest.mark.parametrize("crop, scale, least, most", [(25, 0, 0.8, 0.8), (0, 100, 0.5, 1.0), (25, 60, 0.5, 0.8)])
def test_cached_variations_and_those_of_training_show_the_same_share(crop: int, scale: int, least: float, most: float
                                                                     ) -> None:
    options = AugmentationOptions(random_crop=crop, random_scale=scale)
    tensorflow = import_tensorflow()
    cached = np.array([augment_pixels(RAMP, options, "ab", number) for number in range(300)]) / 255
    trained = distorted(tensorflow.constant(np.repeat(RAMP[None], 300, 0) / np.float32(255)), options, 1,
                        tensorflow.constant(0, tensorflow.int64)).numpy()
    for photos in (cached, trained):
        shares = np.ptp(photos[:, 32, :, 0], axis=1)  # a ramp from 0 to 1: what is seen of it
        assert least - 0.04 < shares.min() < least + 0.04 and most - 0.06 < shares.max() <= most + 0.01
        middles = photos[:, 32, :, 0].mean(1)
        assert abs(middles.mean() - 0.5) < 0.03 and np.ptp(middles) > (1 - most) / 2
