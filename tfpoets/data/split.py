"""Split photos into training, validation and test by the hashes of their contents."""
from __future__ import annotations

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tfpoets.errors import DataError, OptionError, check_range

from .dataset import Dataset, Photo
from .duplicates import DuplicatePairs, find_duplicates
from .part_names import PARTS, TEST, TRAINING, VALIDATION
from .photo_groups import find_groups

log = logging.getLogger(__name__)

# A dataset with hundreds of small classes can have a note for each of them.
MAX_LOGGED_NOTES = 5

# The range of hash values, [low, high), of each part except training.
HashRanges = Mapping[int, tuple[float, float]]


@dataclass(frozen=True)
class SplitOptions:
    """Options for the split.

    Attributes:
        testing_percentage: The percentage of the photos that is reserved for the final test.
        validation_percentage: The percentage of the photos that is used to choose the L2 strength, the temperature
            and the number of epochs.
        seed: The seed of the hashes; a different seed gives a different split.
    """

    testing_percentage: float = 10.0
    validation_percentage: float = 10.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("testing_percentage", "validation_percentage"):
            check_range(name, getattr(self, name), minimum=0, below=100)
        check_range("seed", self.seed, integer=True)
        if self.testing_percentage + self.validation_percentage >= 100:
            raise OptionError(f"`testing_percentage`={self.testing_percentage:g} and `validation_percentage`="
                              f"{self.validation_percentage:g} leave no photos for training.",
                              "Choose smaller values.")


@dataclass(frozen=True)
class Split:
    """The assignment of photos to parts: training, validation and test.

    Attributes:
        parts: int8 [n], the part that each photo is in: TRAINING, VALIDATION or TEST.
        seed: The seed of the hashes.
        digest: The BLAKE2b-128 hash of the sorted pairs (photo digest, part); equal digests mean equal splits.
        groups: int64 [n], the number of each photo's group. Photos of one group (same content, near duplicates) are in
            the same part. The numbers do not depend on file names.
        notes: Sentences about moved photos, and about look-alikes that were not kept together.
        duplicates: The pairs of photos that show the same picture; None for a split that was not made by
            `split_photos`.
    """

    parts: np.ndarray
    seed: int
    digest: str
    groups: np.ndarray
    notes: tuple[str, ...] = field(default=())
    duplicates: DuplicatePairs | None = None

    def rows(self, part: int) -> np.ndarray:
        """Return the row numbers of the photos in one part: int64 [photos in the part]."""
        return np.flatnonzero(self.parts == part)

    def seen_digests(self, photos: Sequence[Photo]) -> set[str]:
        """Return the digests of the photos that training uses: those in the training and validation parts.

        Args:
            photos: The photos of the dataset.
        """
        return {photo.digest for photo, part in zip(photos, self.parts) if part != TEST}

    def select(self, photos: Sequence[Photo], mask: np.ndarray) -> Split:
        """Return the split of the photos for which `mask`, bool [n], is true.

        Args:
            photos: The photos of the dataset.
            mask: Which of them to select.
        """
        remaining = [photo for photo, keep in zip(photos, mask) if keep]
        return replace(self, parts=self.parts[mask], groups=self.groups[mask],
                       digest=_split_digest(remaining, self.parts[mask]),
                       duplicates=self.duplicates and self.duplicates.select(photos, mask))

    def counts(self) -> dict[str, int]:
        """Return the number of photos in each part, by the name of the part."""
        return {name: int((self.parts == part).sum()) for part, name in enumerate(PARTS)}


@dataclass
class _Group:
    """Photos that must be in the same part: same content, near duplicates, or the same `Photo.group`.

    Attributes:
        hash_value: The hash of the smallest digest in the group, in [0, 1).
        part: The part of the split.
        labels: The labels of the photos.
    """

    hash_value: float
    part: int
    labels: frozenset[str]


def split_photos(dataset: Dataset, options: SplitOptions = SplitOptions()) -> Dataset:
    """Split photos into training, validation and test by the hashes of their contents.

    For given percentages, the part that a photo is assigned to depends only on its bytes and the seed. Moving the
    folder, renaming or relabelling photos, or adding others does not change it, with two exceptions, which are
    reported as notes: near duplicates (and photos with the same `Photo.group`) are in the part of the one with the
    smallest digest; and if a class has no photo in a part, the photo or group whose hash is nearest to that part
    is moved there.

    If any photos are reserved for the test or the validation part (`Photo.part`), they make up that part, and the
    others are split into the remaining parts.

    Args:
        dataset: Photos with their digests and perceptual hashes.
        options: The percentages and the seed. The test part is at the low end of the hash values and the validation
            part at the high end, so that changing one percentage does not affect the photos of the other part.

    Returns:
        The dataset with its split.

    Raises:
        DataError: A class has fewer distinct photos than there are parts, so that one part would be empty.
    """
    reserved = reserved_parts(dataset)
    is_reserved = reserved != TRAINING
    if not is_reserved.any():
        check_class_sizes(dataset, options)
        return replace(dataset, split=_split(dataset, find_duplicates(dataset), options))
    return replace(dataset, split=_split_with_reserved(dataset, reserved, options))


def reserved_parts(dataset: Dataset) -> np.ndarray:
    """Return the part that each photo is reserved for, whatever its hash: int8 [n]; TRAINING if it is not reserved."""
    return np.array([PARTS.index(photo.part) if photo.part else TRAINING for photo in dataset.photos], np.int8)


def check_class_sizes(dataset: Dataset, options: SplitOptions) -> None:
    """Check that each class has enough photos to split.

    Photos that are reserved for a part do not count. If the photos have not been read yet, every file counts as a
    distinct photo. Calling this before reading them reports the error early.

    Raises:
        DataError: A class has too few photos, or there are fewer than two classes.
    """
    reserved = reserved_parts(dataset)
    options = _options_for_unreserved(reserved, options)
    dataset = dataset.select(reserved == TRAINING)
    parts = [PARTS[part] for part in (TRAINING, *_hash_ranges(options))]
    distinct: dict[str, set[str]] = {label: set() for label in dataset.labels}
    for photo in dataset.photos:
        distinct[photo.label].add(photo.digest or photo.uri)
    if len(distinct) < 2:
        raise DataError("Fewer than two classes have readable photos; a classifier needs at least two.")
    for label, digests in distinct.items():
        if len(digests) < len(parts):
            raise DataError(f"The class {label} has too few photos: {len(digests)} different ones can be read, but "
                            f"at least {len(parts)} are needed, one each for {', '.join(parts)}.",
                            "Add photos to it, or leave the class out.")


def _split(dataset: Dataset, duplicates: DuplicatePairs, options: SplitOptions) -> Split:
    """Split photos none of which are reserved for a part."""
    ranges, seed = _hash_ranges(options), options.seed
    nonempty_parts = [TRAINING, *ranges]
    group_names, notes = find_groups(dataset, duplicates, len(nonempty_parts))
    groups = _make_groups(dataset, group_names, ranges, seed)
    n_moved = sum(name != photo.digest and groups[name].part != _part_for(_hash_value(photo.digest, seed), ranges)
                  for photo, name in zip(dataset.photos, group_names))
    if n_moved:
        notes.append("1 photo is a near duplicate or variant of another and was moved to the same part."
                     if n_moved == 1 else
                     f"{n_moved} photos are near duplicates or variants of others and were moved to the same part.")
    notes += _fill_empty_parts(dataset.labels, groups, nonempty_parts, ranges)
    _log_notes(notes)
    parts = np.array([groups[name].part for name in group_names], np.int8)
    by_hash = sorted(groups, key=lambda name: groups[name].hash_value)
    numbers = {name: number for number, name in enumerate(by_hash)}
    return Split(parts, seed, _split_digest(dataset.photos, parts),
                 np.array([numbers[name] for name in group_names], np.int64), tuple(notes), duplicates)


def _split_with_reserved(dataset: Dataset, reserved: np.ndarray, options: SplitOptions) -> Split:
    """Return a split in which some photos are in the parts that they are reserved for.

    Args:
        dataset: The photos.
        reserved: int8 [n], the part of each reserved photo; TRAINING for the others.
        options: The percentages and the seed.
    """
    free = reserved == TRAINING
    unreserved, options_for_unreserved = dataset.select(free), _options_for_unreserved(reserved, options)
    check_class_sizes(unreserved, options_for_unreserved)
    duplicates = find_duplicates(dataset)
    # If pairs were left out, the photos of some of them may be connected through reserved photos only.
    among_unreserved = (duplicates.select(dataset.photos, free) if duplicates.are_complete
                        else find_duplicates(unreserved))
    others = _split(unreserved, among_unreserved, options_for_unreserved)
    parts = reserved.copy()
    parts[free] = others.parts
    groups = np.unique(find_groups(dataset, duplicates, 2)[0], return_inverse=True)[1].astype(np.int64)
    notes = (*others.notes, *_divided_groups_note(dataset.photos, parts))
    return Split(parts, options.seed, _split_digest(dataset.photos, parts), groups, notes, duplicates)


def _divided_groups_note(photos: Sequence[Photo], parts: np.ndarray) -> list[str]:
    """Return a note about groups that the reserved parts divide, and log it; an empty list if there are none."""
    parts_of_group: dict[str, set[int]] = defaultdict(set)
    for photo, part in zip(photos, parts):
        if photo.group:
            parts_of_group[photo.group].add(int(part))
    n_divided = sum(len(group_parts) > 1 for group_parts in parts_of_group.values())
    if not n_divided:
        return []
    note = (f"Groups with photos in several parts: {n_divided}. The parts were given with the photos, so they were "
            "not changed, but the test metrics are too optimistic.")
    log.warning("Split: %s", note)
    return [note]


def _options_for_unreserved(reserved: np.ndarray, options: SplitOptions) -> SplitOptions:
    """Return the options for the photos that are not reserved: a part that has reserved photos gets no others."""
    return replace(options, testing_percentage=0 if (reserved == TEST).any() else options.testing_percentage,
                   validation_percentage=0 if (reserved == VALIDATION).any() else options.validation_percentage)


def _log_notes(notes: Sequence[str]) -> None:
    for note in notes[:MAX_LOGGED_NOTES]:
        log.info("Split: %s", note)
    if len(notes) > MAX_LOGGED_NOTES:
        log.info("Split: %d more notes; the report lists all of them.", len(notes) - MAX_LOGGED_NOTES)


def _hash_ranges(options: SplitOptions) -> HashRanges:
    """Return the hash ranges of validation and test, without those that are empty."""
    ranges = {TEST: (0.0, options.testing_percentage / 100),
              VALIDATION: (1 - options.validation_percentage / 100, 1.0)}
    return {part: (low, high) for part, (low, high) in ranges.items() if high > low}


def _hash_value(digest: str, seed: int) -> float:
    """Return the BLAKE2b hash of the seed and a digest as a fraction, [0, 1)."""
    hashed = hashlib.blake2b(f"{seed}/{digest}".encode(), digest_size=8).digest()
    return int.from_bytes(hashed, "big") / 2 ** 64


def _part_for(hash_value: float, ranges: HashRanges) -> int:
    return next((part for part, (low, high) in ranges.items() if low <= hash_value < high), TRAINING)


def _make_groups(dataset: Dataset, group_names: list[str], ranges: HashRanges, seed: int) -> dict[str, _Group]:
    """Return the groups by name, each in the part that its hash selects."""
    labels: dict[str, set[str]] = defaultdict(set)
    for photo, name in zip(dataset.photos, group_names):
        labels[name].add(photo.label)
    groups = {}
    for name in sorted(labels):
        hash_value = _hash_value(name, seed)
        groups[name] = _Group(hash_value, _part_for(hash_value, ranges), frozenset(labels[name]))
    return groups


def _fill_empty_parts(labels: Sequence[str], groups: Mapping[str, _Group], parts: Sequence[int], ranges: HashRanges
                      ) -> list[str]:
    """Move groups so that every class has a photo in every part; return a note for each move."""
    notes = []
    # Training is the range between test and validation.
    ranges = {TRAINING: (ranges.get(TEST, (0, 0))[1], ranges.get(VALIDATION, (1, 1))[0]), **ranges}
    groups_of: dict[str, list[_Group]] = defaultdict(list)
    for group in groups.values():
        for label in group.labels:
            groups_of[label].append(group)
    # The number of groups of each class in each part.
    counts = Counter((label, group.part) for label, members in groups_of.items() for group in members)
    for label in labels:
        for part in parts:
            if counts[label, part]:
                continue
            low, high = ranges[part]
            # Every class of a group that is moved must have another group in the same part. Groups of this class alone
            # are preferred: moving others could leave a part of another class empty.
            nearest = min((group for group in groups_of[label]
                           if all(counts[other, group.part] > 1 for other in group.labels)),
                          key=lambda group: (len(group.labels),
                                             max(low - group.hash_value, group.hash_value - high, 0)), default=None)
            if nearest is None:
                raise DataError(f"The class {label} has too few independent photos for the {PARTS[part]} part: photos "
                                "of one group, and photos that are also in another class, must stay together.",
                                "Add photos to it, or leave the class out.")
            counts.subtract((other, nearest.part) for other in nearest.labels)
            nearest.part = part
            counts.update((other, part) for other in nearest.labels)
            notes.append(f"{label} had no photo in the {PARTS[part]} part; the photo or group with the nearest hash "
                         "was moved there.")
    return notes


def _split_digest(photos: Sequence[Photo], parts: np.ndarray) -> str:
    lines = sorted({f"{photo.digest} {PARTS[part]}\n" for photo, part in zip(photos, parts)})
    return hashlib.blake2b("".join(lines).encode(), digest_size=16).hexdigest()
