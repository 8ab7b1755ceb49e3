"""A detector of duplicates: identical files, and files that show the same picture."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from tfpoets.data import PARTS, TEST, Dataset, Split, connected_groups, find_duplicates

from .detector import Evidence
from .findings import Finding

# Larger groups of near duplicates are reported photo by photo (as a burst) instead of pair by pair.
MAX_PAIRED_GROUP = 8
# If a group contains a larger fraction of the dataset, no near duplicates are reported, because different photos look
# alike (castings on a plate, digits).
MAX_DATASET_FRACTION = 0.3

# Two rows of the dataset and the similarity of their photos, at most 1.
Pair = tuple[int, int, float]


class DuplicateDetector:
    """Finds duplicates, including those with different labels and in different parts of the split."""

    kinds = {"label_conflict": 10, "leak": 20, "exact_duplicate": 70, "near_duplicate": 80}
    measure = None

    def find(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield findings from digests, perceptual hashes and bottlenecks, and leaks if the dataset is split."""
        dataset, split = evidence.dataset, evidence.dataset.split
        near_duplicates, bursts = _find_near_duplicates(dataset)
        for rows in bursts:
            yield from _burst_findings(dataset, rows, split)
        for kind, pairs in (("exact_duplicate", _find_exact_duplicates(dataset)), ("near_duplicate", near_duplicates)):
            for pair in pairs:
                yield from _pair_findings(dataset, kind, pair)


def _pair_findings(dataset: Dataset, kind: str, pair: Pair) -> Iterator[Finding]:
    """Yield each kind of finding twice, once for each photo of the pair."""
    first, second, score = pair
    split = dataset.split
    for row, other_row in ((first, second), (second, first)):
        photo, other = dataset.photos[row], dataset.photos[other_row]
        other_name = f"{other.label}/{other.name}"
        yield Finding(kind, photo, score, f"shows the same picture as {other_name}", other)
        if photo.label != other.label:
            yield Finding("label_conflict", photo, score, f"has a different label than its duplicate {other_name}",
                          other)
        if split is not None and _leaks(split, row, other_row):
            yield Finding("leak", photo, score,
                          f"is in the {PARTS[split.parts[row]]} part, but its duplicate {other_name} is in the "
                          f"{PARTS[split.parts[other_row]]} part", other)


def _leaks(split: Split, first: int, second: int) -> bool:
    parts = (split.parts[first], split.parts[second])
    return parts[0] != parts[1] and TEST in parts


def _find_exact_duplicates(dataset: Dataset) -> list[Pair]:
    first_row: dict[str, int] = {}
    return [(first_row[photo.digest], row, 1.0) for row, photo in enumerate(dataset.photos)
            if first_row.setdefault(photo.digest, row) != row]


def _find_near_duplicates(dataset: Dataset) -> tuple[list[Pair], list[np.ndarray]]:
    """Return different files that show the same picture; nothing if too many photos look alike.

    Returns:
        The pairs in small groups, in order of their rows.
        The rows of each larger group.
    """
    found = (dataset.split and dataset.split.duplicates) or find_duplicates(dataset)
    pairs = np.concatenate([found.by_hash, found.by_bottleneck])
    scores = np.concatenate([found.hash_similarities, found.bottleneck_similarities])
    n_photos = len(dataset.photos)
    group_of_row = connected_groups(pairs, n_photos)
    sizes = np.bincount(group_of_row)
    if sizes.max() > max(MAX_DATASET_FRACTION * n_photos, MAX_PAIRED_GROUP):
        return [], []
    order, ends = np.argsort(group_of_row, kind="stable"), np.cumsum(sizes)
    bursts = [order[ends[group] - sizes[group]:ends[group]] for group in np.flatnonzero(sizes > MAX_PAIRED_GROUP)]
    is_small = sizes[group_of_row[pairs[:, 0]]] <= MAX_PAIRED_GROUP
    return sorted((first, second, score) for (first, second), score in
                  zip(pairs[is_small].tolist(), scores[is_small].tolist())), bursts


def _burst_findings(dataset: Dataset, rows: np.ndarray, split: Split | None) -> Iterator[Finding]:
    """Yield each kind of finding at most once per photo of a group of near duplicates."""
    label_counts = Counter(dataset.photos[row].label for row in rows)
    majority, count = label_counts.most_common(1)[0]
    n_outside_test = 0 if split is None else int((split.parts[rows] != TEST).sum())
    for row in rows:
        photo = dataset.photos[row]
        yield Finding("near_duplicate", photo, len(rows) / len(dataset.photos),
                      f"is one of {len(rows)} photos that look alike")
        if photo.label != majority:
            yield Finding("label_conflict", photo, count / len(rows),
                          f"looks the same as {count} photos labelled {majority}")
        if split is not None and split.parts[row] == TEST and n_outside_test:
            yield Finding("leak", photo, n_outside_test / len(rows),
                          f"is in the {PARTS[TEST]} part, but {n_outside_test} photos that look like it are not")
