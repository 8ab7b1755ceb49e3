"""Batch normalisation updates its moving averages only in training mode."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tfpoets.errors import TfpoetsError
from tfpoets.extractors import ExtractorOptions, load_network
from tfpoets.tf_runtime import import_tensorflow

BRIGHT = np.full((4, 128, 128, 3), 0.9, np.float32)


@pytest.mark.parametrize("handle", ["module", "efficientnet_lite0"])
def test_only_training_updates_the_moving_averages(handle: str, shared_data: Path, tmp_path: Path) -> None:
    module = str(shared_data / "modules" / "mobilenet_v1_025_128") if handle == "module" else handle
    network = load_network(ExtractorOptions(module, tmp_path, 128))
    pixels = BRIGHT + np.random.default_rng(0).normal(0, 0.05, BRIGHT.shape).astype(np.float32)
    run = import_tensorflow().function(network)
    first, second = run(pixels).numpy(), run(pixels).numpy()
    assert np.array_equal(first, second)
    run(pixels, training=True)
    assert np.abs(run(pixels).numpy() - first).max() > 1e-3


def test_a_module_that_was_saved_only_for_inference_cannot_be_trained(tiny_module: Path, tmp_path: Path) -> None:
    network = load_network(ExtractorOptions(str(tiny_module), tmp_path))
    with pytest.raises(TfpoetsError, match="its batch normalisation cannot be trained"):
        network(BRIGHT[:, :32, :32], training=True)
