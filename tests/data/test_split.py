"""A photo's part is decided by its content, stays where it is, and no class goes without."""
from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from tfpoets.data import (HASH_BYTES, PARTS, TEST, TRAINING, VALIDATION, Dataset, Photo, Split, SplitOptions,
                          split_photos)
from tfpoets.errors import TfpoetsError


def digest(content: str) -> str:
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def dataset_of(*photos: Photo) -> Dataset:
    ordered = sorted(photos, key=lambda photo: (photo.label, photo.name))
    return Dataset("p", tuple(sorted({photo.label for photo in photos})), tuple(ordered))


def photos_of(label: str, count: int, start: int = 0) -> list[Photo]:
    return [Photo(f"{label}/{n}.jpg", label, digest(f"{label}{n}")) for n in range(start, start + count)]


def hashes_of(dataset: Dataset) -> np.ndarray:
    """Looks that are far apart for different contents and equal for equal ones."""
    return np.stack([np.frombuffer(hashlib.blake2b(photo.digest.encode(), digest_size=HASH_BYTES).digest(), np.uint8)
                     for photo in dataset.photos]).copy()


def split(dataset: Dataset, hashes: np.ndarray | None = None, **options) -> Split:
    hashes = hashes_of(dataset) if hashes is None else hashes
    result = split_photos(replace(dataset, hashes=hashes), SplitOptions(**options)).split
    assert result is not None
    return result


def parts_by_digest(dataset: Dataset, result: Split) -> dict[str, int]:
    return {photo.digest: int(part) for photo, part in zip(dataset.photos, result.parts)}


BIG = dataset_of(*photos_of("a", 1000), *photos_of("b", 1000))


def test_the_shares_are_those_asked_for() -> None:
    counts = split(BIG, testing_percentage=20, validation_percentage=5).counts()
    assert counts["test"] == pytest.approx(400, abs=60) and counts["validation"] == pytest.approx(100, abs=35)


def test_another_seed_is_another_split_and_the_same_seed_the_same() -> None:
    assert split(BIG).digest == split(BIG).digest != split(BIG, seed=1).digest


def test_moving_renaming_and_relabelling_move_no_photo() -> None:
    before = parts_by_digest(BIG, split(BIG))
    moved = dataset_of(*(replace(photo, uri=f"elsewhere/{photo.label}/x{photo.name}")
                      for photo in BIG.photos))
    assert parts_by_digest(moved, split(moved)) == before
    relabelled = dataset_of(*BIG.photos[:1500], *(replace(photo, label="a") for photo in BIG.photos[1500:]))
    assert parts_by_digest(relabelled, split(relabelled)) == before


def test_adding_photos_moves_none() -> None:
    before = parts_by_digest(BIG, split(BIG))
    more = dataset_of(*BIG.photos, *photos_of("a", 500, start=5000), *photos_of("c", 50))
    after = parts_by_digest(more, split(more))
    assert {key: after[key] for key in before} == before


def test_the_validation_share_moves_no_test_photo() -> None:
    small, large = (split(BIG, validation_percentage=share).rows(TEST).tolist() for share in (5, 40))
    assert small == large


@pytest.mark.parametrize("seed", range(40))
def test_five_classes_of_twenty_never_fail(seed: int) -> None:
    dataset = dataset_of(*(photo for label in "abcde" for photo in photos_of(label, 20)))
    result = split(dataset, seed=seed)
    for label in range(5):
        assert set(result.parts[dataset.targets == label]) == {TRAINING, VALIDATION, TEST}


@pytest.mark.parametrize("seed", range(20))
def test_three_photos_are_enough_for_three_parts(seed: int) -> None:
    dataset = dataset_of(*photos_of("a", 3), *photos_of("b", 3))
    assert split(dataset, seed=seed).parts.reshape(2, 3).sum(1).tolist() == [3, 3]


def test_a_repaired_class_gives_up_the_photo_whose_hash_lies_nearest_and_says_so() -> None:
    dataset = dataset_of(*photos_of("a", 4), *photos_of("b", 400))
    seed = next(seed for seed in range(100)
                if "a had no photo in the test part" in " ".join(split(dataset, seed=seed).notes))
    result = split(dataset, seed=seed)
    assert (result.parts[:4] == TEST).sum() == 1
    # With a larger share, the photo that the repair chose is the first that belongs there on its own.
    for share in range(11, 100):
        wider = split(dataset, seed=seed, testing_percentage=share, validation_percentage=0)
        if "a had no photo in the test part" not in " ".join(wider.notes):
            assert wider.parts[:4][result.parts[:4] == TEST].tolist() == [TEST]
            break


def test_a_class_with_too_few_photos_is_named() -> None:
    with pytest.raises(TfpoetsError, match="class b has too few photos: 2 different"):
        split(dataset_of(*photos_of("a", 9), *photos_of("b", 2)))
    twice = [Photo(f"b/copy{n}.jpg", "b", digest("same")) for n in range(9)]
    with pytest.raises(TfpoetsError, match="class b has too few photos: 1 different"):
        split(dataset_of(*photos_of("a", 9), *twice))


def test_parts_that_are_not_asked_for_stay_empty() -> None:
    result = split(BIG, testing_percentage=0, validation_percentage=0)
    assert set(result.parts) == {TRAINING}
    assert split(dataset_of(*photos_of("a", 1), *photos_of("b", 1)), testing_percentage=0,
                 validation_percentage=0).counts()[PARTS[TRAINING]] == 2


def test_equal_bytes_share_a_part_even_under_two_labels() -> None:
    same = [Photo(f"{label}/same.jpg", label, digest(f"same{n}")) for n in range(50) for label in "ab"]
    dataset = dataset_of(*photos_of("a", 50), *photos_of("b", 50), *same)
    parts: dict[str, set] = {}
    for photo, part in zip(dataset.photos, split(dataset).parts):
        parts.setdefault(photo.digest, set()).add(int(part))
    assert all(len(found) == 1 for found in parts.values())


def near_duplicates(dataset: Dataset, groups: list[list[int]], bits: int = 10) -> np.ndarray:
    """Looks in which each group's members differ from its first in a few bits."""
    hashes = hashes_of(dataset)
    random = np.random.default_rng(0)
    for first, *others in groups:
        for other in others:
            flips = np.zeros(8 * HASH_BYTES, bool)
            flips[random.choice(8 * HASH_BYTES, bits, replace=False)] = True
            hashes[other] = hashes[first] ^ np.packbits(flips)
    return hashes


def test_near_duplicates_share_a_part_and_those_that_moved_are_counted() -> None:
    groups = [[3 * n, 3 * n + 1, 3 * n + 2] for n in range(300)]
    result = split(BIG, near_duplicates(BIG, groups))
    assert all(len(set(result.parts[group])) == 1 for group in groups)
    assert len({int(result.parts[group[0]]) for group in groups}) == 3
    alone = split(BIG)
    moved = int((alone.parts != result.parts).sum())
    assert any(f"{moved} photos are near duplicates" in note for note in result.notes)


def test_a_whole_set_that_looks_alike_is_not_one_group() -> None:
    dataset = dataset_of(*photos_of("a", 100), *photos_of("b", 100))
    hashes = near_duplicates(dataset, [list(range(100))], bits=4)
    result = split(dataset, hashes)
    assert np.array_equal(result.parts, split(dataset).parts)
    assert any("100 photos look alike" in note for note in result.notes)


def test_nohash_variants_stay_together() -> None:
    variants = [Photo(f"a/object{n}_nohash_{v}.jpg", "a", digest(f"{n}/{v}"), group=f"object{n}")
                for n in range(100) for v in "xyz"]
    dataset = dataset_of(*variants, *photos_of("b", 100))
    parts = split(dataset).parts[:300].reshape(100, 3)
    assert (parts == parts[:, :1]).all() and len(set(parts[:, 0])) == 3


def test_a_class_whose_photos_all_look_the_same_is_still_split() -> None:
    dataset = dataset_of(*photos_of("a", 4), *photos_of("b", 50))
    result = split(dataset, near_duplicates(dataset, [[0, 1, 2, 3]], bits=3))
    assert set(result.parts[:4]) == {TRAINING, VALIDATION, TEST}
    assert any("test figures are too optimistic" in note for note in result.notes)


def test_percentages_that_leave_no_training_photo_are_refused() -> None:
    with pytest.raises(TfpoetsError, match="leave no photos for training"):
        split(BIG, testing_percentage=60, validation_percentage=40)
