"""Re-encoded and resized copies of a photo are near duplicates; different photos are not."""
from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfpoets.data import (HASH_BYTES, HASH_HEIGHT, HASH_WIDTH, connected_groups, hamming_distances, load_pixels,
                          near_duplicate_pairs, perceptual_hash)
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
    pairs, _ = near_duplicate_pairs(np.stack(list(flower_hashes.values())))
    assert [(paths[a].name, paths[b].name) for a, b in pairs if paths[a].name != paths[b].name] == []


def flip_bits(hashes: np.ndarray, n_bits: int, seed: int = 0) -> np.ndarray:
    """Return hashes in which `n_bits` randomly chosen bits of each differ."""
    rng = np.random.default_rng(seed)
    flips = np.zeros((len(hashes), 8 * HASH_BYTES), bool)
    for row in flips:
        row[rng.choice(8 * HASH_BYTES, n_bits, replace=False)] = True
    return hashes ^ np.packbits(flips, axis=1)


def random_hashes(n_photos: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n_photos, HASH_BYTES), np.uint8)


def groups_of(hashes: np.ndarray) -> np.ndarray:
    return connected_groups(near_duplicate_pairs(hashes)[0], len(hashes))


@pytest.fixture
def compare_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the keys for few hashes as well."""
    monkeypatch.setattr("tfpoets.data.hash_groups.MAX_EXHAUSTIVE", 0)


@pytest.fixture
def compare_few(compare_all: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat all keys as if too many hashes agreed in them."""
    monkeypatch.setattr("tfpoets.data.hash_groups.MAX_COMPARISONS", 0)


@pytest.mark.parametrize("max_bits, max_exhaustive", [(31, 1000), (24, 0), (31, 0)])
def test_the_pairs_are_those_of_comparing_all_photos(max_bits: int, max_exhaustive: int,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfpoets.data.hash_groups.MAX_EXHAUSTIVE", max_exhaustive)
    hashes = random_hashes(300)
    for row in range(100, 200):  # near duplicates at every distance around the threshold
        hashes[row] = flip_bits(hashes[row - 100:row - 99], row % 50, row)
    first, second = np.triu_indices(300, 1)
    near = hamming_distances(hashes[first], hashes[second]) <= max_bits
    pairs, is_complete = near_duplicate_pairs(hashes, max_bits)
    assert pairs.tolist() == np.stack([first[near], second[near]], 1).tolist() and is_complete
    assert 40 < near.sum() < 100


def test_equal_hashes_are_one_group_whatever_their_number() -> None:
    hashes = np.zeros((100_000, HASH_BYTES), np.uint8)
    pairs, is_complete = near_duplicate_pairs(hashes)
    assert len(pairs) == 99_999 and not is_complete and connected_groups(pairs, 100_000).max() == 0


@pytest.mark.parametrize("distance", [24, 25])
def test_two_bursts_are_one_group_if_one_photo_of_each_is_near(distance: int, compare_all: None) -> None:
    bursts = random_hashes(600).reshape(2, 300, HASH_BYTES)
    for burst in bursts:  # all photos of a burst are near its first one
        burst[:] = flip_bits(np.repeat(burst[:1], 300, axis=0), 3)
    between = flip_bits(bursts[0, -1:], 20, 1)
    bursts[1, -1] = flip_bits(between, distance, 2)[0]
    hashes = np.concatenate([*bursts, between, random_hashes(2600)[600:]])
    groups = groups_of(hashes)
    assert len(set(groups[:300])) == 1 and len(set(groups[300:599])) == 1 and groups[0] != groups[300]
    assert groups[600] == groups[0] and (groups[599] == groups[0]) == (distance <= NEAR_DUPLICATE_BITS)


def test_nearly_all_duplicates_are_found_if_all_keys_are_crowded(compare_few: None) -> None:
    probabilities = np.where(np.random.default_rng(0).permutation(8 * HASH_BYTES) < 80, 0.5, 0.05)
    hashes = np.packbits(np.random.default_rng(1).random((8000, 8 * HASH_BYTES)) < probabilities, axis=1)
    hashes[:500] = flip_bits(hashes[4000:4500], 14)
    groups = groups_of(hashes)
    assert (groups[:500] == groups[4000:4500]).mean() > 0.99 and len(np.unique(groups)) > 7400


def test_bursts_stay_whole_if_all_keys_are_crowded(compare_few: None) -> None:
    groups = groups_of(flip_bits(np.repeat(random_hashes(10), 400, axis=0), 10))
    assert np.array_equal(np.unique(groups, return_index=True)[1], 400 * np.arange(10))


def test_in_large_groups_some_pairs_connect_all_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = np.concatenate([flip_bits(np.repeat(random_hashes(1), 200, axis=0), 5), random_hashes(50)[1:]])
    hashes[-1] = hashes[-2]
    all_pairs, is_complete = near_duplicate_pairs(hashes)
    assert is_complete and len(all_pairs) == 200 * 199 / 2 + 1
    monkeypatch.setattr("tfpoets.data.near_duplicates.MAX_LISTED_PAIRS", 100)
    pairs, is_complete = near_duplicate_pairs(hashes)
    assert not is_complete and len(pairs) == 200 and set(map(tuple, pairs)) <= set(map(tuple, all_pairs))
    assert np.array_equal(connected_groups(pairs, 249), connected_groups(all_pairs, 249))


def test_the_groups_do_not_depend_on_the_order_of_the_photos(compare_few: None) -> None:
    hashes = flip_bits(np.repeat(random_hashes(60), 20, axis=0), 12)
    order = np.random.default_rng(3).permutation(len(hashes))
    groups, shuffled = groups_of(hashes), groups_of(hashes[order])
    n_both = len(np.unique(np.stack([groups[order], shuffled], axis=1), axis=0))
    assert n_both == groups.max() + 1 == shuffled.max() + 1


def test_the_hash_of_a_plain_photo_with_noise_is_zero() -> None:
    noise = np.random.default_rng(0).normal(128, 3, (HASH_HEIGHT, HASH_WIDTH, 3))
    assert perceptual_hash(noise.astype(np.uint8)) == bytes(HASH_BYTES)
