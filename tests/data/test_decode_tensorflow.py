"""The TensorFlow operations give the same pixels as the decoder."""
from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tfpoets.data import decode_tensor, load_pixels
from tfpoets.tf_runtime import import_tensorflow


@pytest.mark.parametrize("size", [(500, 333), (1400, 1401), (2811, 2605), (40, 20)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_pixels_are_those_of_load_pixels(size: tuple[int, int], kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1] // 20 + 1, size[0] // 20 + 1, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(file, kind)
    decoded = decode_tensor(import_tensorflow().constant([file.getvalue()]), (224, 300)).numpy()[0] * 255
    difference = np.abs(decoded - load_pixels(file.getvalue(), 224, 300))
    assert difference.max() < 1.5 and difference.mean() < 0.1
