"""Photos that are there twice: the same bytes, the same picture, under two labels, or on both sides of the split."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from tfpoets.data import PARTS, TEST, Dataset, Split, connected_groups, hamming_distances, near_duplicate_pairs

from .detector import Evidence
from .findings import Finding
from .neighbours import Neighbours

# Photos nearer to one another than this share of the set's usual nearest distance show one scene. It is no tool for
# re-encoded or resized copies, which a network sees as far apart as other photos: the perceptual hash finds those.
SCENE_FRACTION = 0.15
# More look-alikes than this are not told pair by pair but photo by photo (a burst), and more than this share of the
# set are how the set looks (castings on a plate, digits).
MAX_PAIRED_GROUP = 8
MAX_DATASET_FRACTION = 0.3


class DuplicateDetector:
    """Finds photos that are there twice: label conflicts, leaks, and two findings for each pair."""

    kinds = {"label_conflict": 10, "leak": 20, "exact_duplicate": 70, "near_duplicate": 80}
    measure = None

    def find(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield findings from digests, perceptual hashes and bottlenecks; leaks only where there is a split."""
        dataset, split = evidence.dataset, evidence.dataset.split
        exact = _same_bytes(dataset)
        near = _same_picture(dataset, evidence.neighbours)
        near, bursts = _without_bursts(near, len(dataset.photos))
        for rows in bursts:
            yield from _burst(dataset, rows, split)
        for kind, pairs in (("exact_duplicate", exact), ("near_duplicate", near)):
            for first, second, score in pairs:
                yield from _both(dataset, kind, first, second, score, "is the same picture as")
                if dataset.photos[first].label != dataset.photos[second].label:
                    yield from _both(dataset, "label_conflict", first, second, score,
                                     "has another label than its copy")
                if split is not None and _leaks(split, first, second):
                    yield from _both(dataset, "leak", first, second, score,
                                     f"is in the {PARTS[split.parts[first]]} and {PARTS[split.parts[second]]} parts, "
                                     "with")


def _leaks(split: Split, first: int, second: int) -> bool:
    parts = (split.parts[first], split.parts[second])
    return parts[0] != parts[1] and TEST in parts


def _both(dataset: Dataset, kind: str, first: int, second: int, score: float, says: str) -> Iterator[Finding]:
    for row, other in ((first, second), (second, first)):
        photo, copy = dataset.photos[row], dataset.photos[other]
        yield Finding(kind, photo, score, f"{says} {copy.label}/{copy.name}", copy)


def _same_bytes(dataset: Dataset) -> list[tuple[int, int, float]]:
    first: dict[str, int] = {}
    return [(first[photo.digest], row, 1.0) for row, photo in enumerate(dataset.photos)
            if first.setdefault(photo.digest, row) != row]


def _same_picture(dataset: Dataset, neighbours: Neighbours) -> list[tuple[int, int, float]]:
    """Pairs of different bytes that show one picture, with a score from 0 to 1."""
    hashes = dataset.hashes
    assert hashes is not None
    near = near_duplicate_pairs(hashes)
    shares = 1 - hamming_distances(hashes[near[:, 0]], hashes[near[:, 1]]) / (8 * hashes.shape[1])
    pairs = {(int(a), int(b)): float(share) for (a, b), share in zip(near, shares)}
    distances = 1 - neighbours.similarities
    limit = SCENE_FRACTION * float(np.median(distances[:, 0]))
    for row, place in zip(*np.nonzero(distances < limit)):
        other = int(neighbours.rows[row, place])
        pair = (min(int(row), other), max(int(row), other))
        pairs.setdefault(pair, float(neighbours.similarities[row, place]))
    return [(a, b, score) for (a, b), score in sorted(pairs.items())
            if dataset.photos[a].digest != dataset.photos[b].digest]


def _without_bursts(pairs: list[tuple[int, int, float]], photos: int
                    ) -> tuple[list[tuple[int, int, float]], list[np.ndarray]]:
    """Pairs of small groups of look-alikes, and the rows of each larger group; nothing where the set looks so."""
    group_of = connected_groups(np.array([pair[:2] for pair in pairs], int).reshape(-1, 2), photos)
    sizes = np.bincount(group_of)
    if sizes.max() > max(MAX_DATASET_FRACTION * photos, MAX_PAIRED_GROUP):
        return [], []
    bursts = [np.flatnonzero(group_of == group) for group in np.flatnonzero(sizes > MAX_PAIRED_GROUP)]
    return [pair for pair in pairs if sizes[group_of[pair[0]]] <= MAX_PAIRED_GROUP], bursts


def _burst(dataset: Dataset, rows: np.ndarray, split: Split | None) -> Iterator[Finding]:
    """One row a photo and kind for a group of look-alikes."""
    labels = Counter(dataset.photos[row].label for row in rows)
    usual = labels.most_common(1)[0][0]
    for row in rows:
        photo = dataset.photos[row]
        yield Finding("near_duplicate", photo, len(rows) / len(dataset.photos),
                      f"is one of {len(rows)} photos that look alike")
        if photo.label != usual:
            yield Finding("label_conflict", photo, labels[usual] / len(rows),
                          f"looks like {labels[usual]} photos of {usual}")
        if split is not None and split.parts[row] == TEST and (split.parts[rows] != TEST).any():
            yield Finding("leak", photo, float((split.parts[rows] != TEST).mean()),
                          f"is in the {PARTS[TEST]} part, and {int((split.parts[rows] != TEST).sum())} photos that "
                          "look like it are not")
