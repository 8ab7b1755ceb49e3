"""The networks that are trained from scratch: what options change, and which photos they take."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tfpoets.errors import OptionError, TrainingError
from tfpoets.extractors import ExtractorOptions
from tfpoets.networks import ARCHITECTURES, CONVNETS, RESNET, ResNet50V2, build_network, check_network_options
from tfpoets.training import InitialNetwork, NetworkOptions


def build(name: str, size: int = 32, **options: Any) -> InitialNetwork:
    return build_network(NetworkOptions(architecture=name, **options), ExtractorOptions(image_size=size), 3)


@pytest.fixture
def small_resnet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the layers of ResNet50V2, which take seconds to build."""
    def build_application(name: str, size: int, *args: Any) -> Any:
        from keras import Input, Sequential, layers
        return Sequential([Input((size, size, 3)), layers.Flatten(), layers.Dense(5)])
    monkeypatch.setattr("tfpoets.networks.resnet50_v2.build_application", build_application)


@pytest.mark.usefixtures("small_resnet")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_seed_determines_the_initial_weights(name: str) -> None:
    photos = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    first, same_seed, other_seed = (build(name, seed=seed).network(photos, False) for seed in (1, 1, 2))
    assert np.array_equal(first, same_seed) and not np.allclose(first, other_seed)


@pytest.mark.parametrize("name", CONVNETS)
def test_a_grayscale_network_ignores_colours(name: str) -> None:
    red, gray = np.zeros((2, 1, 32, 32, 3), np.float32)
    red[..., 0] = 1.0
    gray[...] = 0.299
    network = build(name, color_mode="grayscale").network
    np.testing.assert_allclose(network(red, False).numpy(), network(gray, False).numpy(), atol=1e-5)


@pytest.mark.parametrize(("name", "size"), [("lenet", 3), ("small_cnn", 7), ("casting_cnn", 7), ("cifar_cnn", 15)])
def test_an_input_too_small_for_the_blocks_is_refused(name: str, size: int) -> None:
    build(name, size + 1)
    with pytest.raises(TrainingError, match=f"does not take photos of {size} x {size} pixels: it needs at least"):
        build(name, size)


def test_dropout_changes_features_in_training_only() -> None:
    photos = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    plain, dropout = build("lenet").network, build("lenet", dropout=0.5).network
    assert np.allclose(plain(photos, True), plain(photos, False))
    assert not np.allclose(dropout(photos, True), dropout(photos, False))


@pytest.mark.parametrize(("options", "message"), [
    ({"architecture": "lenett"}, "lenet"),
    ({"architecture": "lenet", "weights": "imagenet"}, f"only available for `architecture`={RESNET}"),
    ({"architecture": RESNET, "color_mode": "grayscale"}, f"not available for `architecture`={RESNET}")])
def test_options_that_a_network_does_not_have_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        check_network_options(NetworkOptions(**options))


@pytest.mark.usefixtures("small_resnet")
def test_resnet_ends_with_one_output_for_each_class() -> None:
    assert ResNet50V2().build(32, 32, 4).output_shape == (None, 4)
