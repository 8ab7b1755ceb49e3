"""A score of how different a photo is from the training photos, in NumPy and as TensorFlow operations.

It is the sum of two scores, each standardized over the validation photos:

- neighbours: 1 - the mean cosine similarity to the nearest training bottlenecks (Sun et al. 2022, arXiv 2204.06507).
  It detects photos of something entirely different.
- relative Mahalanobis distance: the distance to the nearest class mean, minus the distance to the overall mean (Ren et
  al. 2021, arXiv 2106.09022). It detects photos of another class of the same kind.

Where the standardized neighbours score is positive, half its square is added, because a photo unlike all training
photos is unknown, whichever class it is closest to. tests/benchmarks/RESULTS.md compares this score with either one
alone, the largest probability, and the energy.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from tfpoets.data import Examples
from tfpoets.evaluation import rows_by_class
from tfpoets.graphs import UNKNOWN_SCOPE, UNKNOWN_SCORE
from tfpoets.tf_runtime import import_tensorflow

from .trainers import Head

MAX_NEIGHBOURS = 3
# With more classes than this, every class has the same number of references: MAX_NEIGHBOURS, or as many as
# MAX_REFERENCE_BYTES allow, but at least one.
MAX_REFERENCES = 2000
MAX_REFERENCE_BYTES = 1 << 26
# The mean variance within the classes, times this, is added to all variances, because a few photos are not enough to
# estimate the covariance of 1,280 features.
SHRINKAGE = 3.0
# The number of float32 or float64 values that are computed at once. Smaller blocks would change the rounding errors.
BLOCK_VALUES = 1 << 26


@dataclass(frozen=True, eq=False)
class UnknownScore:
    """The parameters of the score.

    With x a bottleneck and t = x @ projection - shift:

        neighbours = mean of |x / |x| - r|^2 / 2 over the nearest references r (1 - cosine similarity)
        relative = min(offsets - 2 t) + z @ coupling @ z

    where z = t, or z = x - centre with more than MAX_REFERENCES classes, for which a matrix of all pairs of classes
    would be too large.

    Attributes:
        references: float32 [n_references, depth], training bottlenecks of length 1.
        projection: float32 [depth, n_classes].
        shift: float32 [n_classes].
        offsets: float32 [n_classes].
        coupling: float32 [n_classes, n_classes], or [depth, depth] with a centre.
        centre: float32 [depth], the mean of the training bottlenecks, or None.
        means: The means of neighbours and relative over the validation photos.
        scales: The standard deviations of neighbours and relative over the validation photos.
        threshold: The score above which a photo is called unknown.
        coverage: The fraction of the validation photos that must not exceed the threshold, 0 to 1.
    """

    references: np.ndarray
    projection: np.ndarray
    shift: np.ndarray
    offsets: np.ndarray
    coupling: np.ndarray
    centre: np.ndarray | None = None
    means: tuple[float, float] = (0.0, 0.0)
    scales: tuple[float, float] = (1.0, 1.0)
    threshold: float = 0.0
    coverage: float = 1.0

    @property
    def n_neighbours(self) -> int:
        """The number of nearest references to compare with."""
        return min(MAX_NEIGHBOURS, len(self.references))

    def raw_scores(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return neighbours and relative, before standardization: float32 [n, depth] to float32 [n] each."""
        widest = max(len(self.references), len(self.offsets), self.n_neighbours * X.shape[1])
        blocks = [self._raw_block(X[rows]) for rows in _blocks(len(X), widest)]
        neighbours, relative = (np.concatenate(values) for values in zip(*blocks))
        return neighbours, relative

    def _raw_block(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        unit = _normalize(X)
        nearest = np.argpartition(unit @ self.references.T, -self.n_neighbours, axis=1)[:, -self.n_neighbours:]
        # Not 1 - cosine, which would be nothing but rounding error in float32 for very similar photos.
        differences = unit[:, None] - self.references[nearest]
        projected = X @ self.projection - self.shift
        centred = projected if self.centre is None else X - self.centre
        relative = (self.offsets - 2 * projected).min(axis=1) + np.sum(centred @ self.coupling * centred, axis=1)
        return np.square(differences).sum(axis=2).mean(axis=1) / 2, relative

    def scores(self, X: np.ndarray) -> np.ndarray:
        """Return the scores, larger for photos less like the training photos: float32 [n, depth] to float32 [n]."""
        neighbours, relative = ((score - np.float32(mean)) / np.float32(scale) for score, mean, scale in
                                zip(self.raw_scores(X), self.means, self.scales))
        return neighbours + np.square(np.maximum(neighbours, 0)) / 2 + relative

    def add_to_graph(self, bottleneck: Any) -> Any:
        """Add `scores` to the current TensorFlow graph: float32 [n, depth] to [n]."""
        tensorflow = import_tensorflow()
        with tensorflow.name_scope(UNKNOWN_SCOPE):
            length = tensorflow.sqrt(tensorflow.reduce_sum(bottleneck * bottleneck, axis=1, keepdims=True))
            unit = bottleneck / tensorflow.maximum(length, 1e-6)
            references = tensorflow.constant(self.references)
            cosines = tensorflow.matmul(unit, references, transpose_b=True)
            nearest = tensorflow.math.top_k(cosines, self.n_neighbours).indices
            differences = unit[:, None] - tensorflow.gather(references, nearest)
            neighbours = tensorflow.reduce_mean(tensorflow.reduce_sum(differences * differences, axis=2), axis=1) / 2
            projected = tensorflow.matmul(bottleneck, tensorflow.constant(self.projection)) - self.shift
            centred = projected if self.centre is None else bottleneck - self.centre
            coupled = tensorflow.matmul(centred, tensorflow.constant(self.coupling))
            relative = (tensorflow.reduce_min(self.offsets - 2 * projected, axis=1)
                        + tensorflow.reduce_sum(coupled * centred, axis=1))
            neighbours, relative = ((score - mean) / scale for score, mean, scale in
                                    zip((neighbours, relative), self.means, self.scales))
            total = neighbours + tensorflow.square(tensorflow.nn.relu(neighbours)) / 2 + relative
        return tensorflow.identity(total, name=UNKNOWN_SCORE)


@dataclass(frozen=True, eq=False)
class RejectingHead:
    """A head with a reject option, which also returns the unknown score of each photo.

    Attributes:
        head: The head that returns the probabilities.
        unknown_score: The score and its threshold.
    """

    head: Head
    unknown_score: UnknownScore

    def outputs(self, X: np.ndarray) -> dict[str, np.ndarray]:
        """Return the head's outputs and `unknown_score`: float32 [n, depth] to float32 [n]."""
        return {**self.head.outputs(X), UNKNOWN_SCORE: self.unknown_score.scores(X)}

    def add_to_graph(self, bottleneck: Any, output_name: str) -> dict[str, Any]:
        """Add the same computation to the current TensorFlow graph; see `Head`."""
        outputs = self.head.add_to_graph(bottleneck, output_name)
        return {**outputs, UNKNOWN_SCORE: self.unknown_score.add_to_graph(bottleneck)}


def fit_unknown_score(train: Examples, validation: Examples, coverage: float) -> UnknownScore:
    """Fit the score to the training photos, and its scale and threshold to the validation photos.

    Args:
        train: Training examples, with at least one of each class.
        validation: Validation examples, at least one.
        coverage: The fraction of the validation photos that must not be called unknown, 0 to 1.
    """
    with threadpool_limits(1, user_api="blas"):  # makes the sums independent of the number of cores
        raw = UnknownScore(_select_references(train.X, train.y), *_mahalanobis_terms(train.X, train.y))
        neighbours, relative = raw.raw_scores(validation.X)
        standardized = replace(raw, means=(float(neighbours.mean()), float(relative.mean())),
                               scales=(_scale(neighbours), _scale(relative)), coverage=coverage)
        threshold = float(np.quantile(standardized.scores(validation.X), coverage, method="higher"))
    return replace(standardized, threshold=threshold)


def _scale(values: np.ndarray) -> float:
    return float(values.std()) or 1.0


def _normalize(X: np.ndarray) -> np.ndarray:
    return X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), np.float32(1e-6))


def _blocks(count: int, width: int) -> Iterator[slice]:
    """Yield slices of rows with at most BLOCK_VALUES values each; one slice for an array without rows."""
    step = max(1, BLOCK_VALUES // width)
    for start in range(0, max(1, count), step):
        yield slice(start, start + step)


def _select_references(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the bottlenecks of all photos, or of MAX_REFERENCES with equal numbers per class as far as possible.

    The references of a class are evenly spaced over its rows. Of more than MAX_REFERENCES classes, each has up to
    MAX_NEIGHBOURS references.
    """
    counts = np.bincount(y)
    if len(counts) > MAX_REFERENCES:
        return _central_references(X, y, len(counts))
    selected = []
    remaining, smallest_first = MAX_REFERENCES, np.argsort(counts, kind="stable")
    for position, label in enumerate(smallest_first):
        rows = np.flatnonzero(y == label)
        count = max(1, min(len(rows), remaining // (len(smallest_first) - position)))
        selected.append(rows[np.linspace(0, len(rows) - 1, count).astype(int)])
        remaining -= count
    return _normalize(X[np.sort(np.concatenate(selected))[:MAX_REFERENCES]]).astype(np.float32)


def _central_references(X: np.ndarray, y: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the same number of references of each class, fewer only of classes with fewer photos.

    They are evenly spaced over the photos of the class by the distance to its mean, starting with the nearest.
    """
    affordable = MAX_REFERENCE_BYTES // (n_classes * X.shape[1] * X.itemsize)
    per_class, selected = min(MAX_NEIGHBOURS, max(1, affordable)), []
    for rows in rows_by_class(y, n_classes):
        unit = _normalize(X[rows])
        order = np.argsort(np.square(unit - unit.mean(axis=0)).sum(axis=1), kind="stable")
        count = min(per_class, len(rows))
        selected.append(unit[order[np.arange(count) * len(rows) // count]])
    return np.concatenate(selected).astype(np.float32)


def _mahalanobis_terms(X: np.ndarray, y: np.ndarray
                       ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Return projection, shift, offsets, coupling and centre of the relative Mahalanobis distance.

    Let W be the shrunken covariance within the classes and B = m.T @ m the covariance between them, where the rows of
    m are the centered class means times the square roots of the class frequencies. By the Woodbury identity

        inv(W) - inv(W + B) = inv(W) m.T inv(1 + m inv(W) m.T) m inv(W),

    so the difference between the two distances depends on x only through x @ inv(W) @ (class means). With more than
    MAX_REFERENCES classes, the coupling is the left side.
    """
    from scipy.linalg import solve
    counts, overall_mean = np.bincount(y), X.mean(axis=0, dtype=np.float64)
    means = np.stack([X[rows].astype(np.float64).mean(axis=0) for rows in rows_by_class(y, len(counts))])
    within = np.zeros((X.shape[1], X.shape[1]))
    for rows in _blocks(len(X), X.shape[1]):
        residuals = X[rows].astype(np.float64) - means[y[rows]]
        within += residuals.T @ residuals
    within /= len(X)
    means = means - overall_mean
    # With one photo per class there is no variance within the classes, so the variance between them sets the scale.
    total_variance = np.trace(within) or np.trace(means.T @ means) or 1.0
    within[np.diag_indices_from(within)] += SHRINKAGE * total_variance / len(within)
    projection = solve(within, means.T, assume_a="pos")
    root_frequencies = np.sqrt(counts / len(X))
    if len(counts) > MAX_REFERENCES:
        weighted = means * root_frequencies[:, None]
        coupling, centre = np.linalg.inv(within) - np.linalg.inv(within + weighted.T @ weighted), overall_mean
    else:
        inner = np.eye(len(counts)) + (means * root_frequencies[:, None]) @ projection * root_frequencies
        coupling = np.linalg.inv(inner) * root_frequencies[:, None] * root_frequencies
        centre = None
    terms = (projection, overall_mean @ projection, np.sum(projection * means.T, axis=0), (coupling + coupling.T) / 2)
    projection, shift, offsets, coupling = (term.astype(np.float32) for term in terms)
    return projection, shift, offsets, coupling, None if centre is None else centre.astype(np.float32)
