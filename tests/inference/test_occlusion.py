"""Occlusion maps show which part of a photo a prediction depends on."""
from __future__ import annotations

import numpy as np

from tfpoets.inference import Classifier, occlusion_maps
from tfpoets.inference.classifier import PhotoInput


class CornerEngine:
    """An engine with two outputs, the first of which is the brightness of the upper right corner."""

    name, batch_size = "stub", 1

    def open(self):
        def run(photos: np.ndarray) -> np.ndarray:
            brightness = photos[:, :8, -8:].mean(axis=(1, 2, 3))
            return np.stack([brightness, 1 - brightness], axis=1).astype(np.float32)
        return run


def test_the_map_is_high_at_the_part_that_determines_the_prediction_and_zero_elsewhere() -> None:
    classifier = Classifier(["bright corner", "other"], PhotoInput(28, 56), CornerEngine())
    photos = np.full((3, 28, 56, 3), 255, np.uint8)
    photos[2] = 127
    first, second, gray = occlusion_maps(classifier, photos, np.array([0, 1, 0]))
    assert first.shape == (6, 6)
    assert first[0, 5] > 0.4 and first.argmax() == 5
    assert np.abs(first[3:]).max() < 1e-6 and np.abs(first[:, :3]).max() < 1e-6
    assert np.allclose(second, -first, atol=1e-6) and np.abs(gray).max() < 1e-6
    assert (photos[:2] == 255).all()
