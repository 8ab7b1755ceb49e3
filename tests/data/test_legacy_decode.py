"""Version 0 of the pixel contract resizes photos exactly as TensorFlow 1 does."""
from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tfpoets.data import load_full_size, load_legacy_pixels, resize_bilinear
from tfpoets.errors import PhotoError
from tfpoets.tf_runtime import import_tensorflow


@pytest.mark.parametrize("size, target", [((333, 500), (224, 224)), ((50, 37), (128, 299)), ((1, 1), (5, 7)),
                                          ((128, 128), (128, 128)), ((1200, 901), (160, 192))])
def test_resizing_is_identical_to_that_of_tensorflow_1(size: tuple[int, int], target: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    expected = import_tensorflow().compat.v1.image.resize_bilinear(pixels[None].astype(np.float32), target).numpy()[0]
    assert np.array_equal(resize_bilinear(pixels, *target), expected)


def test_a_photo_is_decoded_at_full_size_and_upright() -> None:
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (900, 1300, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90, exif=exif)
    whole = load_full_size(file.getvalue())
    assert whole.shape == (1300, 900, 3) and whole.dtype == np.uint8
    decoded = np.asarray(Image.open(io.BytesIO(file.getvalue())))
    assert np.array_equal(whole, np.rot90(decoded, -1))
    assert np.array_equal(load_legacy_pixels(file.getvalue(), 64, 32), resize_bilinear(whole, 64, 32))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_at_full_size_is_turned_upright_from_every_orientation(orientation: int) -> None:
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (600, 70, 3), dtype=np.uint8))
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    picture.save(file, "PNG", exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(file)))
    assert np.array_equal(load_full_size(file.getvalue()), upright)


def test_unreadable_files_give_the_same_reasons(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="there is no such file"):
        load_legacy_pixels(tmp_path / "missing.jpg", 8, 8)
    with pytest.raises(PhotoError, match="the file is empty"):
        load_full_size(b"")
