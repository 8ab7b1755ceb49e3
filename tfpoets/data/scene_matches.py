"""Find test photos that show the same scene as a training photo: frames of one video, or photos of a burst."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .dataset import Dataset
from .neighbour_index import MAX_EXACT_ROWS, UnitVectors, multiply_in_blocks
from .split import TEST

# The number of photos near a test photo is extrapolated from the distances to two neighbours of high rank. The ranks
# are fractions of the number of training photos of the class. The smallest result of all RANK_PAIRS is used, because a
# scene may contain up to half of the photos of a class, and then a pair is useless if only one of its neighbours shows
# the scene.
RANKS = (0.3, 0.4, 0.6, 0.9)
RANK_PAIRS = ((0, 2), (1, 2), (2, 3))
# The classes of real datasets that were examined have an intrinsic dimension of 2 to 6. Two distant neighbours that
# show one scene are about equally far away, which would give a much higher estimate.
MAX_DIMENSION = 8.0
# A test photo certainly shows the same scene as a training photo if fewer training photos than this would be as near
# by chance. In datasets with many such photos, those below the second limit probably show repeated scenes as well.
MAX_EXPECTED_IF_CERTAIN, MAX_EXPECTED = 0.01, 0.1
# The accuracy is considered too high if at least this many test photos certainly show a repeated scene, and they make
# up this fraction of all; or a smaller fraction of all, but a large one of the test photos of a class. These limits
# and those above were chosen with tests/benchmarks/repeated_scenes.py.
MIN_CERTAIN, MIN_FRACTION = 3, 0.15
MIN_FRACTION_IF_IN_CLASS, MIN_CLASS_FRACTION = 0.03, 0.3
# Test photos of classes with fewer training photos are not compared.
MIN_CLASS_PHOTOS = 6
# At most this many similarities are computed, which takes about 2 s, or those of MIN_COMPARED test photos. The test
# photos with the smallest digests are compared.
MAX_SIMILARITIES, MIN_COMPARED = 30_000_000, 300
# The number of similarities that are computed at a time, which takes 40 MB; with more than MAX_EXACT_ROWS training
# photos, those of COMPARED_AT_ONCE test photos, since the bottlenecks are then read again each time.
CHUNK_SIMILARITIES, COMPARED_AT_ONCE = 10_000_000, 100


@dataclass(frozen=True, eq=False)
class SceneMatches:
    """The test photos that were compared with the training photos.

    Attributes:
        rows: int64 [n], the rows of the compared test photos in the dataset.
        nearest: int64 [n], the row of the most similar training or validation photo of each.
        y: int64 [n], the class of each.
        expected: float64 [n], the number of training photos of its class that would be expected to be as near as the
            nearest one if the photos of the class were independent.
    """

    rows: np.ndarray
    nearest: np.ndarray
    y: np.ndarray
    expected: np.ndarray

    @property
    def repeated(self) -> np.ndarray:
        """Whether each test photo probably shows the same scene as a training photo: bool [n].

        This is valid only if `are_frequent`.
        """
        return self.expected < MAX_EXPECTED

    @property
    def are_frequent(self) -> bool:
        """Whether so many test photos show the same scene as a training photo that the accuracy is too high."""
        return are_frequent(self.expected < MAX_EXPECTED_IF_CERTAIN, self.y)


def are_frequent(repeated: np.ndarray, y: np.ndarray) -> bool:
    """Return whether repeated scenes make the accuracy on all test photos, or on those of a class, too high.

    Args:
        repeated: bool [n], whether each test photo shows the same scene as a training photo.
        y: int64 [n], the class of each.
    """
    counts = np.bincount(y[repeated], minlength=y.max() + 1)
    in_class = counts / np.maximum(np.bincount(y), 1) >= MIN_CLASS_FRACTION
    has_class = bool((in_class & (counts >= MIN_CERTAIN)).any()) and repeated.mean() >= MIN_FRACTION_IF_IN_CLASS
    return bool(repeated.sum() >= MIN_CERTAIN and (repeated.mean() >= MIN_FRACTION or has_class))


def find_scene_matches(dataset: Dataset) -> SceneMatches | None:
    """Find test photos that are more similar to a training photo than photos of the same class usually are.

    In a class without repeated scenes, the number of photos within a distance of a photo grows smoothly, by a power of
    the distance (the intrinsic dimension; Levina & Bickel 2004). From the distances to neighbours of high rank, the
    number of training photos at most as far away as the nearest one is extrapolated. It is about 1 for independent
    photos, even if all of them are alike, such as castings or digits. It is far smaller if training photos show the
    same scene. Since only ratios of distances count, this does not depend on the extractor's scale.

    A class with a single scene cannot be distinguished from a class of photos that are alike by nature, and is not
    found. A class of several kinds of photos, each of them alike by nature (digits and castings), is mistaken for a
    class with several scenes.

    Args:
        dataset: Photos with their split. Validation photos count as training photos.

    Returns:
        The compared test photos, or None if there are no bottlenecks, no test photos, or too few training photos.
    """
    if dataset.X is None or dataset.split is None:
        return None
    is_test, y = dataset.split.parts == TEST, dataset.targets
    n_training = np.bincount(y[~is_test], minlength=dataset.n_classes)
    rows = np.flatnonzero(is_test & (n_training[y] >= MIN_CLASS_PHOTOS))
    training = np.flatnonzero(~is_test)
    if not len(rows):
        return None
    digests = np.array([dataset.photos[row].digest for row in rows])
    n_compared = MIN_COMPARED if len(training) > MAX_EXACT_ROWS else 1
    rows = rows[np.sort(np.argsort(digests, kind="stable")[:max(n_compared, MAX_SIMILARITIES // len(training))])]
    training = training[np.argsort(y[training], kind="stable")]
    nearest, distances = _compare(dataset.X, rows, training, y)
    return SceneMatches(rows, nearest, y[rows], _expected_numbers(distances, n_training[y[rows]]))


def _compare(X: np.ndarray, rows: np.ndarray, training: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compare test photos with training photos, which are sorted by class.

    Returns:
        int64 [rows], the row of the nearest training photo of any class.
        float64 [rows, 5], the distance (1 - cosine) to it, and to the neighbours of RANKS in the class of the photo.
    """
    from threadpoolctl import threadpool_limits  # imported here, because label_image starts without it
    center = X.mean(axis=0)
    test_unit, train_unit = UnitVectors(X, rows, center), UnitVectors(X, training, center)
    columns = train_unit if len(training) > MAX_EXACT_ROWS else train_unit[:]
    nearest, distances = np.empty(len(rows), np.int64), np.empty((len(rows), 1 + len(RANKS)))
    with threadpool_limits(1, user_api="blas"):
        for chunk in _chunks(y[rows], len(training)):
            chunk_distances = 1 - (test_unit[chunk] @ columns.T if isinstance(columns, np.ndarray)
                                   else multiply_in_blocks(test_unit[chunk], columns))
            nearest[chunk] = chunk_distances.argmin(axis=1)
            distances[chunk, 0] = chunk_distances.min(axis=1)
            for label in np.unique(y[rows[chunk]]):
                start, stop = np.searchsorted(y[training], [label, label + 1])
                ranks = [int(_rank(fraction, stop - start)) - 1 for fraction in RANKS]
                members = y[rows[chunk]] == label
                distances[chunk[members], 1:] = np.partition(chunk_distances[members, start:stop], ranks, axis=1
                                                             )[:, ranks]
    return training[nearest], np.maximum(distances, 1e-9)


def _chunks(y: np.ndarray, n_training: int) -> list[np.ndarray]:
    """Return the test photos, of the classes `y`, that are compared at a time: of one class, unless there are many."""
    if n_training > MAX_EXACT_ROWS:
        return np.split(np.arange(len(y)), range(COMPARED_AT_ONCE, len(y), COMPARED_AT_ONCE))
    n_rows = max(1, CHUNK_SIMILARITIES // n_training)
    return [chunk for label in np.unique(y) for members in [np.flatnonzero(y == label)]
            for chunk in np.split(members, range(n_rows, len(members), n_rows))]


def _rank(fraction: float, count: np.ndarray | int) -> np.ndarray:
    return np.maximum(np.round(fraction * np.asarray(count)), 1).astype(int)


def _expected_numbers(distances: np.ndarray, n_training: np.ndarray) -> np.ndarray:
    """Return how many training photos are expected within the distance to the nearest one: float64 [n].

    Args:
        distances: float64 [n, 5], from `_compare`.
        n_training: int64 [n], the number of training photos of the class of each photo.
    """
    ranks = [_rank(fraction, n_training) for fraction in RANKS]
    expected = np.full(len(distances), np.inf)
    for near, far in RANK_PAIRS:
        near_distances, far_distances = distances[:, 1 + near], distances[:, 1 + far]
        growth = np.log(ranks[far] / ranks[near]) / np.log(np.maximum(far_distances / near_distances, 1 + 1e-4))
        dimension = min(float(np.median(growth)), MAX_DIMENSION)
        expected = np.minimum(expected, ranks[near] * (distances[:, 0] / near_distances) ** dimension)
    return expected
