"""Which photos train, which choose and which test: decided by each photo's content alone."""
from __future__ import annotations

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tfpoets.errors import DataError, OptionError, check_range

from .dataset import Dataset, Photo
from .perceptual_hashes import group_pairs, near_duplicate_pairs

log = logging.getLogger(__name__)

PARTS = ("training", "validation", "test")
TRAINING, VALIDATION, TEST = range(3)
# A group of look-alikes larger than both of these is how this set looks (castings, digits), not a series of copies.
MAX_GROUP_SIZE = 5
MAX_GROUP_FRACTION = 0.05
# Notes that are logged; a set of hundreds of small classes has one for each.
MAX_NOTED = 5


@dataclass(frozen=True)
class SplitOptions:
    """How photos are divided.

    Attributes:
        testing_percentage: share of the photos that is kept for the final test, in percent.
        validation_percentage: share that chooses L2 strength, temperature and epochs, in percent.
        seed: another seed, another split.
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
                              f"{self.validation_percentage:g} leave no photos for training.", "Give smaller ones.")


@dataclass(frozen=True)
class Split:
    """The part that each photo plays.

    Attributes:
        parts: int8 [photos] in dataset order: TRAINING, VALIDATION or TEST.
        seed: what it was made with.
        digest: BLAKE2b-128 of every (photo digest, part) in sorted order: equal digests mean equal splits.
        groups: int64 [photos]: photos that must share a part (same content, look-alikes) have the same number; the
            numbers follow the order of the groups' smallest hashes, so that they too depend on contents alone.
        notes: sentences about photos that are not where their own content would have put them.
    """

    parts: np.ndarray
    seed: int
    digest: str
    groups: np.ndarray
    notes: tuple[str, ...] = field(default=())

    def rows(self, part: int) -> np.ndarray:
        """Return the rows of a part in dataset order: int64 [photos of the part]."""
        return np.flatnonzero(self.parts == part)

    def known(self, photos: Sequence[Photo]) -> set[str]:
        """Return the digests of the photos that train or choose; the others are new to what is trained."""
        return {photo.digest for photo, part in zip(photos, self.parts) if part != TEST}

    def select(self, photos: Sequence[Photo], mask: np.ndarray) -> Split:
        """Return the split of some of the photos: those where bool [photos] is true."""
        remaining = [photo for photo, keep in zip(photos, mask) if keep]
        return replace(self, parts=self.parts[mask], groups=self.groups[mask],
                       digest=_split_digest(remaining, self.parts[mask]))

    def counts(self) -> dict[str, int]:
        """How many photos each part has."""
        return {name: int((self.parts == part).sum()) for part, name in enumerate(PARTS)}


@dataclass
class _Unit:
    """Photos that must share a part: one content, or one group of look-alikes."""

    position: float  # in [0, 1): the smallest digest's hash
    part: int
    labels: frozenset[str]


def split_photos(dataset: Dataset, options: SplitOptions = SplitOptions()) -> Dataset:
    """Split photos into training, validation and test by hashes of their contents.

    A photo's part depends on its bytes and the seed alone: moving the folder, renaming or re-labelling a photo moves
    none, and adding others moves none, but for two exceptions that the notes tell: near duplicates (and photos of one
    group) follow the one with the smallest digest, and a class with no photo in a wanted part gives up the one whose
    hash lies nearest to that part.

    Where some photos are kept for the test (`Photo.part`), these are the test, and the others are split into training
    and validation.

    Args:
        dataset: photos with their digests and perceptual hashes.
        options: the test gets the low end of the hash space and the validation the high end, so that neither
            percentage moves the other's photos.

    Returns:
        The dataset with its split.

    Raises:
        DataError: a class has fewer distinct photos than there are parts, so that one part would be empty.
    """
    tests = reserved_for_test(dataset)
    split = _split_with_tests(dataset, tests, options) if tests.any() else _split(dataset, options)
    return replace(dataset, split=split)


def reserved_for_test(dataset: Dataset) -> np.ndarray:
    """Return bool [photos]: which of the photos are kept for the test, whatever their hashes."""
    return np.array([photo.part == PARTS[TEST] for photo in dataset.photos], bool)


def _split(dataset: Dataset, options: SplitOptions) -> Split:
    check_class_sizes(dataset, options)
    shares, seed = _shares(options), options.seed
    wanted = [TRAINING, *shares]
    group_of, notes = _groups(dataset, len(wanted))
    units, own_part = _units(dataset, group_of, shares, seed)
    joined = sum(units[group].part != part for group, part in zip(group_of, own_part))
    if joined:
        notes.append("1 photo is a near duplicate of another and follows it to its part of the split." if joined == 1
                     else f"{joined} photos are near duplicates of others and follow them to their part of the split.")
    notes += _repair(dataset.labels, units, wanted, shares)
    parts = np.array([units[group].part for group in group_of], np.int8)
    for note in notes[:MAX_NOTED]:
        log.info("Split: %s", note)
    if len(notes) > MAX_NOTED:
        log.info("Split: and %d more such notes; the report has all.", len(notes) - MAX_NOTED)
    rank = {group: number for number, group in enumerate(sorted(units, key=lambda group: _position(group, seed)))}
    groups = np.array([rank[group] for group in group_of], np.int64)
    return Split(parts, seed, _split_digest(dataset.photos, parts), groups, tuple(notes))


def _split_with_tests(dataset: Dataset, tests: np.ndarray, options: SplitOptions) -> Split:
    """The split where it is known which photos test (bool [photos])."""
    rest = _split(dataset.select(~tests), replace(options, testing_percentage=0))
    parts = np.full(len(dataset.photos), TEST, np.int8)
    parts[~tests] = rest.parts
    groups = np.unique(_groups(dataset, 2)[0], return_inverse=True)[1].astype(np.int64)
    return Split(parts, options.seed, _split_digest(dataset.photos, parts), groups, rest.notes)


def check_class_sizes(dataset: Dataset, options: SplitOptions) -> None:
    """Raises the DataError that `split_photos` would raise for too few photos.

    May be asked before photos have been read, to save a person the wait; then every file counts as a photo.
    """
    parts = [PARTS[part] for part in (TRAINING, *_shares(options))]
    distinct: dict[str, set[str]] = {label: set() for label in dataset.labels}
    for photo in dataset.photos:
        distinct[photo.label].add(photo.digest or photo.uri)
    if len(distinct) < 2:
        raise DataError("Photos of fewer than two classes can be read; a classifier needs at least two.")
    for label, digests in distinct.items():
        if len(digests) < len(parts):
            raise DataError(f"The class {label} has too few photos: {len(digests)} different ones that can be read, "
                            f"and at least {len(parts)} are needed, one each for {', '.join(parts)}.",
                            "Add photos to it, or take its folder away.")


def _shares(options: SplitOptions) -> dict[int, tuple[float, float]]:
    """The ranges of the hash space of the parts that are asked for, training apart."""
    shares = {TEST: (0.0, options.testing_percentage / 100),
              VALIDATION: (1 - options.validation_percentage / 100, 1.0)}
    return {part: (low, high) for part, (low, high) in shares.items() if high > low}


def _groups(dataset: Dataset, parts: int) -> tuple[list[str], list[str]]:
    """For each photo the smallest digest of the group it belongs to, and what is to be said about groups."""
    notes: list[str] = []
    hashes = dataset.hashes
    if hashes is None:
        raise ValueError("the photos have no perceptual hashes: they have not been read")
    digests = [photo.digest for photo in dataset.photos]
    same_content, first_rows = _pairs_of_equal(digests)
    variants, _ = _pairs_of_equal([photo.group or photo.uri for photo in dataset.photos])
    alike = first_rows[near_duplicate_pairs(hashes[first_rows])] if len(first_rows) else variants
    alike = _small_groups_only(dataset, alike, notes)
    alike = _leave_enough_groups(dataset, same_content, variants, alike, parts, notes)
    numbers = group_pairs(np.concatenate([same_content, variants, alike]), len(digests))
    smallest: dict[int, str] = {}
    for number, digest in zip(numbers, digests):
        smallest[number] = min(digest, smallest.get(number, digest))
    return [smallest[number] for number in numbers], notes


def _pairs_of_equal(keys: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (first row, later row) of equal keys: int64 [pairs, 2]; and the first row of each key: int64 [keys]."""
    first: dict[str, int] = {}
    pairs = [(first.setdefault(key, row), row) for row, key in enumerate(keys)]
    return (np.array([pair for pair in pairs if pair[0] != pair[1]], np.int64).reshape(-1, 2),
            np.array(sorted(first.values()), np.int64))


def _small_groups_only(dataset: Dataset, pairs: np.ndarray, notes: list[str]) -> np.ndarray:
    """Leaves out the pairs of groups so large that they show how this set looks, and says so."""
    if not len(pairs):
        return pairs
    numbers = group_pairs(pairs, len(dataset.photos))
    sizes = np.bincount(numbers)
    class_sizes = dataset.counts()
    limits = np.array([max(MAX_GROUP_SIZE, MAX_GROUP_FRACTION * class_sizes[photo.label]) for photo in dataset.photos])
    limit_of = np.zeros(len(sizes))
    np.maximum.at(limit_of, numbers, limits)
    large = (sizes > limit_of) & (sizes > 1)
    if large.any():
        notes.append(f"{sizes[large].sum()} photos look alike in {large.sum()} groups too large to be copies of one "
                     "another: this is how the set looks, and they are split one by one.")
    return pairs[~large[numbers[pairs[:, 0]]]]


def _leave_enough_groups(dataset: Dataset, same_content: np.ndarray, variants: np.ndarray, alike: np.ndarray,
                         parts: int, notes: list[str]) -> np.ndarray:
    """Does without near-duplicate groups in a class that they would leave with fewer groups than parts."""
    numbers = group_pairs(np.concatenate([same_content, variants, alike]), len(dataset.photos))
    groups: dict[str, set[int]] = defaultdict(set)
    for photo, number in zip(dataset.photos, numbers):
        groups[photo.label].add(int(number))
    for label in (label for label, members in groups.items() if len(members) < parts):
        notes.append(f"nearly all photos of {label} look the same, so that its near duplicates had to be divided "
                     "between training and test: its test figures flatter.")
        photos = dataset.photos
        inside = np.array([label in (photos[a].label, photos[b].label) for a, b in alike], bool)
        alike = alike[~inside.reshape(len(alike))]
    return alike


def _position(digest: str, seed: int) -> float:
    """Where a content lies in the hash space, [0, 1): BLAKE2b of seed and digest."""
    hashed = hashlib.blake2b(f"{seed}/{digest}".encode(), digest_size=8).digest()
    return int.from_bytes(hashed, "big") / 2 ** 64


def _part_at(position: float, shares: dict[int, tuple[float, float]]) -> int:
    return next((part for part, (low, high) in shares.items() if low <= position < high), TRAINING)


def _units(dataset: Dataset, group_of: list[str], shares: dict, seed: int) -> tuple[dict[str, _Unit], list[int]]:
    """The units by their group's smallest digest, and the part that each photo's own content points to."""
    labels: dict[str, set[str]] = defaultdict(set)
    for photo, group in zip(dataset.photos, group_of):
        labels[group].add(photo.label)
    units = {}
    for group in sorted(labels):
        position = _position(group, seed)
        units[group] = _Unit(position, _part_at(position, shares), frozenset(labels[group]))
    return units, [_part_at(_position(photo.digest, seed), shares) for photo in dataset.photos]


def _repair(labels: tuple[str, ...], units: dict[str, _Unit], wanted: list[int], shares: dict) -> list[str]:
    """Gives every class a photo in every wanted part, by moving the unit whose hash lies nearest to that part."""
    notes = []
    for label in labels:
        own = [unit for unit in units.values() if label in unit.labels]
        for part in wanted:
            if any(unit.part == part for unit in own):
                continue
            low, high = shares.get(part, (shares.get(TEST, (0, 0))[1], shares.get(VALIDATION, (1, 1))[0]))
            # Units of this class alone come first: moving another could empty a part of its other class.
            nearest = min((unit for unit in own if _can_leave(unit, label, units)),
                          key=lambda unit: (len(unit.labels), max(low - unit.position, unit.position - high, 0)),
                          default=None)
            if nearest is None:
                raise DataError(f"The class {label} has too few independent photos to give one to the {PARTS[part]} "
                                "part: photos that are also in another class, or variants by _nohash_, stay together.",
                                "Add photos to it, or take its folder away.")
            nearest.part = part
            notes.append(f"{label} had no photo in the {PARTS[part]} part; the one whose hash lies nearest was moved "
                         "there.")
    return notes


def _can_leave(unit: _Unit, label: str, units: dict[str, _Unit]) -> bool:
    """Whether every class of the unit keeps another in the part that it would leave."""
    counts = Counter(name for other in units.values() if other.part == unit.part for name in other.labels)
    return all(counts[name] > 1 for name in unit.labels)


def _split_digest(photos: Sequence[Photo], parts: np.ndarray) -> str:
    lines = sorted({f"{photo.digest} {PARTS[part]}\n" for photo, part in zip(photos, parts)})
    return hashlib.blake2b("".join(lines).encode(), digest_size=16).hexdigest()
