"""Re-encoded and resized copies of a photo are near duplicates; different photos are not."""
from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfpoets.data import (HASH_BYTES, HASH_HEIGHT, HASH_WIDTH, hamming_distances, load_pixels, near_duplicate_pairs,
                          perceptual_hash)
from tfpoets.data.near_duplicates import NEAR_DUPLICATE_BITS


def hash_photo(source: Path | bytes) -> np.ndarray:
    return np.frombuffer(perceptual_hash(load_pixels(source, HASH_HEIGHT, HASH_WIDTH)), np.uint8)


def encode(photo: Image.Image, scale: float, quality: int) -> bytes:
    file = io.BytesIO()
    photo.resize((int(photo.width * scale), int(photo.height * scale)), Image.Resampling.LANCZOS).save(
        file, "JPEG", quality=quality)
    return file.getvalue()


@pytest.fixture(scope="module")
def flower_hashes(flowers: Path) -> dict[Path, np.ndarray]:
    return {path: hash_photo(path) for path in sorted(flowers.glob("*/*.jpg"))[::3]}


@pytest.mark.parametrize("scale, quality", [(1, 30), (0.5, 75), (0.3, 75), (1.7, 75), (4, 60)])
def test_re_encoded_and_resized_copies_are_found(flower_hashes: dict[Path, np.ndarray], scale: float,
                                                 quality: int) -> None:
    for path in list(flower_hashes)[::8]:
        with Image.open(path) as photo:
            copy = hash_photo(encode(photo, scale, quality))
        assert hamming_distances(flower_hashes[path], copy) <= NEAR_DUPLICATE_BITS, path.name


def test_different_photos_are_not_near_duplicates(flower_hashes: dict[Path, np.ndarray]) -> None:
    paths = list(flower_hashes)
    pairs = near_duplicate_pairs(np.stack(list(flower_hashes.values())))
    assert [(paths[a].name, paths[b].name) for a, b in pairs if paths[a].name != paths[b].name] == []


def test_banding_finds_the_same_pairs_as_comparing_all_photos() -> None:
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 256, (300, HASH_BYTES), np.uint8)
    for row in range(100, 200):  # near duplicates at every distance around the threshold
        bits = np.zeros(8 * HASH_BYTES, bool)
        bits[rng.choice(8 * HASH_BYTES, int(rng.integers(0, 50)), replace=False)] = True
        hashes[row] = hashes[row - 100] ^ np.packbits(bits)
    first, second = np.triu_indices(300, 1)
    near = hamming_distances(hashes[first], hashes[second]) <= 31
    assert near_duplicate_pairs(hashes, 31).tolist() == np.stack([first[near], second[near]], 1).tolist()
    assert 40 < near.sum() < 100


def test_a_hundred_thousand_plain_photos_give_no_pairs() -> None:
    hashes = np.zeros((100_000, HASH_BYTES), np.uint8)
    assert len(near_duplicate_pairs(hashes)) == 0


def test_the_hash_of_a_plain_photo_with_noise_is_zero() -> None:
    noise = np.random.default_rng(0).normal(128, 3, (HASH_HEIGHT, HASH_WIDTH, 3))
    assert perceptual_hash(noise.astype(np.uint8)) == bytes(HASH_BYTES)
