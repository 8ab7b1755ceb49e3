"""The part that a photo is assigned to is stable and depends on its content; every class has photos in every part."""
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


def make_dataset(*photos: Photo) -> Dataset:
    ordered = sorted(photos, key=lambda photo: (photo.label, photo.name))
    return Dataset("p", tuple(sorted({photo.label for photo in photos})), tuple(ordered))


def make_photos(label: str, count: int, start: int = 0) -> list[Photo]:
    return [Photo(f"{label}/{n}.jpg", label, digest(f"{label}{n}")) for n in range(start, start + count)]


def make_hashes(dataset: Dataset) -> np.ndarray:
    """Return perceptual hashes that are far apart for different contents and equal for equal contents."""
    return np.stack([np.frombuffer(hashlib.blake2b(photo.digest.encode(), digest_size=HASH_BYTES).digest(), np.uint8)
                     for photo in dataset.photos]).copy()


def split(dataset: Dataset, hashes: np.ndarray | None = None, **options) -> Split:
    hashes = make_hashes(dataset) if hashes is None else hashes
    result = split_photos(replace(dataset, hashes=hashes), SplitOptions(**options)).split
    assert result is not None
    return result


def parts_by_digest(dataset: Dataset, result: Split) -> dict[str, int]:
    return {photo.digest: int(part) for photo, part in zip(dataset.photos, result.parts)}


BIG = make_dataset(*make_photos("a", 1000), *make_photos("b", 1000))


def test_the_parts_have_the_requested_sizes() -> None:
    counts = split(BIG, testing_percentage=20, validation_percentage=5).counts()
    assert counts["test"] == pytest.approx(400, abs=60) and counts["validation"] == pytest.approx(100, abs=35)


def test_the_split_depends_on_the_seed() -> None:
    assert split(BIG).digest == split(BIG).digest != split(BIG, seed=1).digest


def test_moving_renaming_and_relabelling_photos_does_not_change_their_part() -> None:
    before = parts_by_digest(BIG, split(BIG))
    moved = make_dataset(*(replace(photo, uri=f"elsewhere/{photo.label}/x{photo.name}")
                           for photo in BIG.photos))
    assert parts_by_digest(moved, split(moved)) == before
    relabelled = make_dataset(*BIG.photos[:1500], *(replace(photo, label="a") for photo in BIG.photos[1500:]))
    assert parts_by_digest(relabelled, split(relabelled)) == before


def test_adding_photos_does_not_change_the_part_of_others() -> None:
    before = parts_by_digest(BIG, split(BIG))
    more = make_dataset(*BIG.photos, *make_photos("a", 500, start=5000), *make_photos("c", 50))
    after = parts_by_digest(more, split(more))
    assert {key: after[key] for key in before} == before


def test_the_validation_percentage_does_not_change_the_test_photos() -> None:
    small, large = (split(BIG, validation_percentage=percentage).rows(TEST).tolist() for percentage in (5, 40))
    assert small == large


@pytest.mark.parametrize("seed", range(40))
def test_five_classes_of_twenty_photos_can_always_be_split(seed: int) -> None:
    dataset = make_dataset(*(photo for label in "abcde" for photo in make_photos(label, 20)))
    result = split(dataset, seed=seed)
    for label in range(5):
        assert set(result.parts[dataset.targets == label]) == {TRAINING, VALIDATION, TEST}


@pytest.mark.parametrize("seed", range(20))
def test_three_photos_are_enough_for_three_parts(seed: int) -> None:
    dataset = make_dataset(*make_photos("a", 3), *make_photos("b", 3))
    assert split(dataset, seed=seed).parts.reshape(2, 3).sum(1).tolist() == [3, 3]


def test_the_photo_with_the_nearest_hash_is_moved_to_an_empty_part() -> None:
    dataset = make_dataset(*make_photos("a", 4), *make_photos("b", 400))
    seed = next(seed for seed in range(100)
                if "a had no photo in the test part" in " ".join(split(dataset, seed=seed).notes))
    result = split(dataset, seed=seed)
    assert (result.parts[:4] == TEST).sum() == 1
    # As the percentage grows, the photo that was moved is the first one whose own hash selects the test part.
    for percentage in range(11, 100):
        wider = split(dataset, seed=seed, testing_percentage=percentage, validation_percentage=0)
        if "a had no photo in the test part" not in " ".join(wider.notes):
            assert wider.parts[:4][result.parts[:4] == TEST].tolist() == [TEST]
            break


def test_a_class_with_too_few_photos_is_refused() -> None:
    with pytest.raises(TfpoetsError, match="class b has too few photos: 2 different"):
        split(make_dataset(*make_photos("a", 9), *make_photos("b", 2)))
    duplicates = [Photo(f"b/copy{n}.jpg", "b", digest("same")) for n in range(9)]
    with pytest.raises(TfpoetsError, match="class b has too few photos: 1 different"):
        split(make_dataset(*make_photos("a", 9), *duplicates))


def test_parts_with_a_percentage_of_0_are_empty() -> None:
    result = split(BIG, testing_percentage=0, validation_percentage=0)
    assert set(result.parts) == {TRAINING}
    assert split(make_dataset(*make_photos("a", 1), *make_photos("b", 1)), testing_percentage=0,
                 validation_percentage=0).counts()[PARTS[TRAINING]] == 2


def test_files_with_the_same_bytes_share_a_part_even_if_their_labels_differ() -> None:
    same = [Photo(f"{label}/same.jpg", label, digest(f"same{n}")) for n in range(50) for label in "ab"]
    dataset = make_dataset(*make_photos("a", 50), *make_photos("b", 50), *same)
    parts: dict[str, set] = {}
    for photo, part in zip(dataset.photos, split(dataset).parts):
        parts.setdefault(photo.digest, set()).add(int(part))
    assert all(len(digest_parts) == 1 for digest_parts in parts.values())


def near_duplicate_hashes(dataset: Dataset, groups: list[list[int]], bits: int = 10) -> np.ndarray:
    """Return perceptual hashes in which the members of each group differ from its first member in a few bits."""
    hashes = make_hashes(dataset)
    rng = np.random.default_rng(0)
    for first, *others in groups:
        for other in others:
            flips = np.zeros(8 * HASH_BYTES, bool)
            flips[rng.choice(8 * HASH_BYTES, bits, replace=False)] = True
            hashes[other] = hashes[first] ^ np.packbits(flips)
    return hashes


def test_near_duplicates_share_a_part_and_moved_photos_are_counted() -> None:
    groups = [[3 * n, 3 * n + 1, 3 * n + 2] for n in range(300)]
    result = split(BIG, near_duplicate_hashes(BIG, groups))
    assert all(len(set(result.parts[group])) == 1 for group in groups)
    assert len({int(result.parts[group[0]]) for group in groups}) == 3
    alone = split(BIG)
    moved = int((alone.parts != result.parts).sum())
    assert any(f"{moved} photos are near duplicates" in note for note in result.notes)


def test_a_class_whose_photos_look_alike_is_not_one_group() -> None:
    dataset = make_dataset(*make_photos("a", 100), *make_photos("b", 100))
    hashes = near_duplicate_hashes(dataset, [list(range(100))], bits=4)
    result = split(dataset, hashes)
    assert np.array_equal(result.parts, split(dataset).parts)
    assert any("100 photos look alike" in note for note in result.notes)


def test_nohash_variants_stay_together() -> None:
    variants = [Photo(f"a/object{n}_nohash_{v}.jpg", "a", digest(f"{n}/{v}"), group=f"object{n}")
                for n in range(100) for v in "xyz"]
    dataset = make_dataset(*variants, *make_photos("b", 100))
    parts = split(dataset).parts[:300].reshape(100, 3)
    assert (parts == parts[:, :1]).all() and len(set(parts[:, 0])) == 3


def test_a_class_whose_photos_all_look_the_same_is_still_split() -> None:
    dataset = make_dataset(*make_photos("a", 4), *make_photos("b", 50))
    result = split(dataset, near_duplicate_hashes(dataset, [[0, 1, 2, 3]], bits=3))
    assert set(result.parts[:4]) == {TRAINING, VALIDATION, TEST}
    assert any("test metrics of this class are too optimistic" in note for note in result.notes)


def test_a_large_burst_with_equal_hashes_is_in_one_part() -> None:
    dataset = make_dataset(*make_photos("a", 8000), *make_photos("b", 100))
    hashes = make_hashes(dataset)
    burst = np.random.default_rng(0).choice(8000, 600, replace=False)
    hashes[burst] = hashes[burst[0]]
    result = split(dataset, hashes)
    assert len(set(result.parts[burst])) == 1
    assert any("600 photos have the same perceptual hash as others, in a group" in note for note in result.notes)


def test_equal_hashes_stay_together_in_a_group_that_is_too_large() -> None:
    dataset = make_dataset(*make_photos("a", 100), *make_photos("b", 100))
    hashes = near_duplicate_hashes(dataset, [list(range(60))], bits=4)
    for row in range(1, 60, 2):
        hashes[row] = hashes[row - 1]
    result = split(dataset, hashes, testing_percentage=30, validation_percentage=30)
    assert (result.parts[0:60:2] == result.parts[1:60:2]).all() and len(set(result.parts[:60])) == 3
    assert any("60 photos look alike" in note and "except those with equal perceptual hashes" in note
               for note in result.notes)


def test_equal_hashes_are_divided_only_if_a_class_has_too_few_others() -> None:
    dataset = make_dataset(*make_photos("a", 6), *make_photos("b", 50))
    hashes = near_duplicate_hashes(dataset, [[0, 1, 2, 3, 4, 5]], bits=3)
    hashes[1] = hashes[0]
    result = split(dataset, hashes)
    assert result.parts[0] == result.parts[1] and set(result.parts[:6]) == {TRAINING, VALIDATION, TEST}
    hashes[:6] = hashes[0]
    assert set(split(dataset, hashes).parts[:6]) == {TRAINING, VALIDATION, TEST}


@pytest.mark.parametrize("seed", range(5))
def test_groups_of_several_classes_leave_no_part_empty(seed: int) -> None:
    rng = np.random.default_rng(seed)
    photos = [Photo(f"{row}.jpg", f"class{label:03}", digest(f"{row}"), group=f"group{rng.integers(700)}")
              for row, label in enumerate(rng.integers(0, 100, 1200))]
    dataset = make_dataset(*photos)
    result = split(dataset, seed=seed)
    found = np.unique(np.stack([dataset.targets, result.parts], axis=1), axis=0)
    assert len(found) == 3 * dataset.n_classes
    assert any("had no photo in the test part" in note for note in result.notes)


def test_percentages_that_leave_no_training_photos_are_refused() -> None:
    with pytest.raises(TfpoetsError, match="leave no photos for training"):
        split(BIG, testing_percentage=60, validation_percentage=40)
