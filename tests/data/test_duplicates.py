"""Pairs of photos of the same picture are found by their hashes and bottlenecks, and stay in the same part."""
from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from tfpoets.data import (HASH_BYTES, TEST, Dataset, Photo, SplitOptions, assign_folds, find_duplicates, group_numbers,
                          split_photos)


def make_dataset(X: np.ndarray, names: list[str] | None = None) -> Dataset:
    """Return photos of two classes with these bottlenecks, and with hashes that are far apart."""
    names = names or [f"{row}" for row in range(len(X))]
    digests = [hashlib.blake2b(name.encode(), digest_size=16).hexdigest() for name in names]
    hashes = np.stack([np.frombuffer(hashlib.blake2b(digest.encode(), digest_size=HASH_BYTES).digest(), np.uint8)
                       for digest in digests])
    photos = [Photo(f"{'ab'[row % 2]}/{row}.jpg", "ab"[row % 2], digest) for row, digest in enumerate(digests)]
    return Dataset("photos", ("a", "b"), tuple(photos), hashes.copy(), X)


def in_digest_order(n_photos: int) -> np.ndarray:
    """Return the rows of `make_dataset` in the order of their digests: int64 [n_photos]."""
    return np.argsort([photo.digest for photo in make_dataset(np.zeros((n_photos, 1), np.float32)).photos])


def around(center: np.ndarray, n_photos: int) -> np.ndarray:
    """Return bottlenecks that are similar to `center` but not to each other, in orthogonal directions from it."""
    random = np.random.default_rng(2).standard_normal((len(center), n_photos + 1))
    random[:, 0] = center
    directions = np.linalg.qr(random)[0].T[1:]
    return (center + 0.44 * np.linalg.norm(center) * directions).astype(np.float32)


def planted(n_photos: int, n_pairs: int, depth: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return random bottlenecks, the last of which are close to randomly chosen others, and the pairs of rows."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_photos, depth)).astype(np.float32)
    rows = rng.choice(n_photos - n_pairs, n_pairs, replace=False)
    X[n_photos - n_pairs:] = X[rows] + 0.2 * rng.standard_normal((n_pairs, depth))
    return X, np.stack([rows, np.arange(n_photos - n_pairs, n_photos)], axis=1)


@pytest.mark.parametrize("n_photos", [60, 900, 5000])
def test_exactly_the_planted_pairs_of_similar_bottlenecks_are_found(n_photos: int) -> None:
    X, pairs = planted(n_photos, n_photos // 10)
    found = find_duplicates(make_dataset(X))
    assert sorted(found.by_bottleneck.tolist()) == sorted(pairs.tolist()) and not len(found.by_hash)
    assert (found.bottleneck_similarities > 0.9).all()


def test_a_pair_that_is_similar_in_both_ways_is_listed_once() -> None:
    X, pairs = planted(100, 10)
    dataset = make_dataset(X)
    for first, second in pairs[:5]:
        dataset.hashes[second] = dataset.hashes[first]
    found = find_duplicates(dataset)
    assert sorted(found.by_hash.tolist()) == sorted(pairs[:5].tolist()) and (found.hash_similarities == 1).all()
    assert sorted(found.by_bottleneck.tolist()) == sorted(pairs[5:].tolist())


def test_without_bottlenecks_only_the_hashes_are_compared() -> None:
    dataset = replace(make_dataset(np.zeros((20, 0), np.float32)), X=None)
    dataset.hashes[7] = dataset.hashes[3]
    assert find_duplicates(dataset).by_hash.tolist() == [[3, 7]]


def test_many_identical_bottlenecks_give_few_pairs_that_connect_all_of_them() -> None:
    X, _ = planted(1200, 5)
    X[:400] = X[0]
    found = find_duplicates(make_dataset(X))
    assert len(found.by_bottleneck) <= 100 * 400
    assert set(found.by_bottleneck.ravel()) >= set(range(400))


@pytest.mark.parametrize("rows", [np.r_[0:299, 1999], in_digest_order(2000)[:300]],
                         ids=["first and last row", "smallest digests"])
def test_a_pair_among_hundreds_of_photos_that_are_merely_similar_is_found(rows: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    X = planted(2000, 0, 256)[0]
    X[rows] = rng.standard_normal(256) + 0.42 * rng.standard_normal((300, 256))
    X[rows[-1]] = X[rows[0]] + 0.03 * rng.standard_normal(256)
    assert find_duplicates(make_dataset(X)).by_bottleneck.tolist() == [sorted([rows[0], rows[-1]])]


def test_all_photos_similar_to_one_photo_are_paired_with_it_if_nothing_else_connects_them() -> None:
    X, order = planted(2000, 0, 400)[0], in_digest_order(2000)
    X[order[1:151]] = around(X[order[0]], 150)
    found = find_duplicates(make_dataset(X))
    assert sorted(found.by_bottleneck.tolist()) == sorted(sorted([order[0], other]) for other in order[1:151])
    assert found.bottleneck_similarities == pytest.approx(0.9, abs=0.02)


def test_the_pairs_do_not_depend_on_the_order_of_the_photos() -> None:
    X = planted(700, 30)[0]
    X[:300] = X[0] + 0.1 * np.random.default_rng(1).standard_normal((300, 200))
    dataset, order = make_dataset(X), np.random.default_rng(2).permutation(700)
    assert dataset.hashes is not None
    dataset.hashes[400:410] = dataset.hashes[390:400]
    shuffled = replace(dataset, photos=tuple(dataset.photos[row] for row in order), hashes=dataset.hashes[order],
                       X=X[order])
    results = []
    for photos, found in ((each.photos, find_duplicates(each)) for each in (dataset, shuffled)):
        pairs = [frozenset(photos[row].digest for row in pair)
                 for pair in [*found.by_hash.tolist(), *found.by_bottleneck.tolist()]]
        results.append(dict(zip(pairs, [*found.hash_similarities, *found.bottleneck_similarities])))
        assert not found.are_complete and len(found.by_hash) == 10
    assert results[0] == results[1]


def test_a_selection_of_photos_has_the_pairs_among_them() -> None:
    X, pairs = planted(300, 60)
    dataset = split_photos(make_dataset(X))
    mask = np.random.default_rng(3).random(300) < 0.6
    split = dataset.select(mask).split
    expected = [(np.cumsum(mask) - 1)[pair].tolist() for pair in pairs if mask[pair].all()]
    assert split and split.duplicates and len(expected) > 10
    assert sorted(split.duplicates.by_bottleneck.tolist()) == sorted(expected)
    assert (split.duplicates.bottleneck_similarities > 0.9).all() and not len(split.duplicates.by_hash)


@pytest.mark.parametrize("seed", range(3))
def test_photos_of_one_picture_stay_together_if_a_copy_of_one_of_them_is_reserved(seed: int) -> None:
    X, pairs = planted(400, 40)
    names = [f"{row}" for row in range(400)] + [f"{row}" for row in pairs[:, 0]]
    dataset = make_dataset(np.concatenate([X, X[pairs[:, 0]]]), names)
    # The first of the identical files is reserved, and the others are paired with the planted photos.
    dataset = replace(dataset, photos=tuple(replace(photo, part="test" if row in pairs[:, 0] else "")
                                            for row, photo in enumerate(dataset.photos)))
    split = split_photos(dataset, SplitOptions(0, 50, seed)).split
    assert split and (split.parts[pairs[:, 1]] == split.parts[400:]).all() and len(set(split.parts[400:])) == 2


def test_photos_that_a_reserved_photo_connects_stay_connected_without_it() -> None:
    X, order = planted(5200, 0, 400)[0], in_digest_order(5200)
    X[order[1]] = X[order[0]] + 0.02 * np.random.default_rng(1).standard_normal(400)
    # Photos that are similar to the first two, and more of them than can be paired with the second one.
    similar = order[2:127]
    X[similar] = around(X[order[0]], 125)
    dataset = make_dataset(X)
    dataset = replace(dataset, photos=tuple(replace(photo, part="test" if row == order[0] else "")
                                            for row, photo in enumerate(dataset.photos)))
    split = split_photos(dataset, SplitOptions(0, 50)).split
    assert split and (split.parts[similar] == split.parts[order[1]]).all()


@pytest.mark.parametrize("seed", range(5))
def test_photos_of_the_same_picture_are_in_the_same_part_and_fold(seed: int) -> None:
    X, pairs = planted(400, 40)
    dataset = split_photos(make_dataset(X), SplitOptions(30, 30, seed))
    assert dataset.split
    parts, folds = dataset.split.parts, assign_folds(dataset, 5)
    assert (parts[pairs[:, 0]] == parts[pairs[:, 1]]).all() and len(set(parts[pairs[:, 0]])) == 3
    assert (folds[pairs[:, 0]] == folds[pairs[:, 1]]).all()


def test_bottlenecks_do_not_change_the_split_of_photos_that_are_all_different() -> None:
    dataset = make_dataset(planted(400, 0)[0])
    splits = [split_photos(replace(dataset, X=X)).split for X in (None, dataset.X, planted(400, 0, seed=1)[0])]
    assert len({split.digest for split in splits if split}) == 1


def test_similar_bottlenecks_do_not_separate_photos_that_the_hashes_keep_together() -> None:
    X, _ = planted(200, 0)
    X[:60] = X[0] + 0.1 * np.random.default_rng(1).standard_normal((60, 200))
    dataset = make_dataset(X)
    for row in range(1, 60, 2):
        dataset.hashes[row] = dataset.hashes[row - 1]
    split = split_photos(dataset, SplitOptions(40, 20)).split
    assert split and (split.parts[0:60:2] == split.parts[1:60:2]).all() and len(set(split.parts[:60])) == 3
    assert any("60 photos look alike" in note for note in split.notes)


def test_each_photo_without_a_group_is_a_group_of_its_own() -> None:
    photos = [Photo(f"{name}.jpg", "a", group=group) for name, group in zip("abcdef", ("x", "", "y", "x", "", "y"))]
    assert group_numbers(photos).tolist() == [0, 1, 2, 0, 3, 2]
    assert group_numbers(photos[1:2]) is None and group_numbers([]) is None


def test_a_group_is_in_one_part_and_in_one_fold() -> None:
    dataset = make_dataset(planted(300, 0)[0])
    dataset = replace(dataset, photos=tuple(replace(photo, group=f"video{row // 20}")
                                            for row, photo in enumerate(dataset.photos)))
    dataset = split_photos(dataset, SplitOptions(30, 30))
    assert dataset.split and len(dataset.rows(TEST))
    for values in (dataset.split.parts, assign_folds(dataset, 3)):
        assert (values.reshape(15, 20) == values.reshape(15, 20)[:, :1]).all()
