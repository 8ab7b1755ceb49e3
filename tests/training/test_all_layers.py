"""Networks before their training: the same seed gives the same first weights."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tfpoets.tf_runtime import import_tensorflow
from tfpoets.training import NetworkOptions, from_scratch


def small_application(size: int, pretrained: bool) -> Any:
    """A stand-in for ResNet50V2, which takes seconds to make."""
    import_tensorflow()
    import keras
    return keras.Sequential([keras.Input((size, size, 3)), keras.layers.Flatten(), keras.layers.Dense(5)])


@pytest.mark.parametrize("architecture", ["lenet", "cifar_cnn", "casting_cnn", "resnet50_v2"])
def test_the_seed_decides_the_first_weights(architecture: str) -> None:
    photos = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    options = NetworkOptions(architecture=architecture)
    one, again, other = (from_scratch(options, 32, seed, small_application).network(photos, False)
                         for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.allclose(one, other)
