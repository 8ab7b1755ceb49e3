"""Networks before training: the seed determines the initial weights."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tfpoets.tf_runtime import import_tensorflow
from tfpoets.training import NetworkOptions, build_from_scratch


def build_small_network(size: int, pretrained: bool) -> Any:
    """Build a small network to use instead of ResNet50V2, which takes seconds to build."""
    import_tensorflow()
    import keras
    return keras.Sequential([keras.Input((size, size, 3)), keras.layers.Flatten(), keras.layers.Dense(5)])


@pytest.mark.parametrize("architecture", ["lenet", "cifar_cnn", "casting_cnn", "resnet50_v2"])
def test_the_seed_determines_the_initial_weights(architecture: str) -> None:
    photos = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    options = NetworkOptions(architecture=architecture)
    first, same_seed, other_seed = (build_from_scratch(options, 32, seed, build_small_network).network(photos, False)
                                    for seed in (1, 1, 2))
    assert np.array_equal(first, same_seed) and not np.allclose(first, other_seed)
