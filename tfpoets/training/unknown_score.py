"""How unlike the training photos a photo is: a score that every exported form computes, too.

Two scores together, each counted in standard deviations over the validation photos:

- neighbours: 1 - mean cosine to the nearest training bottlenecks (Sun et al. 2022, arXiv 2204.06507). It tells
  photos of something else altogether.
- relative Mahalanobis distance: to the nearest class mean, less the distance to the mean of all (Ren et al. 2021,
  arXiv 2106.09022). It tells photos of one more class of the same kind.

Above its mean the neighbours' part counts its square as well: what is like no training photo is unknown, whatever
class it leans to. tests/benchmarks/RESULTS.md compares this with each alone, the largest probability, and energy.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from tfpoets.data import Examples
from tfpoets.graphs import UNKNOWN_SCOPE, UNKNOWN_SCORE
from tfpoets.tf_runtime import import_tensorflow

from .trainers import Head

NEAREST = 3
MAX_REFERENCES = 2000
# Of the mean variance inside the classes, added to all: few photos say little about 1,280 features.
SHRINKAGE = 3.0


@dataclass(frozen=True, eq=False)
class UnknownScore:
    """Constants of the score; a photo whose score lies above the threshold is called unknown.

    With x a bottleneck and t = x @ projection - shift:

        neighbours = mean of |x / |x| - r|^2 / 2 over the NEAREST references r: one minus the cosine
        relative = min(offsets - 2 t) + t @ coupling @ t

    Attributes:
        references: float32 [at most MAX_REFERENCES, depth], training bottlenecks of length 1.
        projection: float32 [depth, classes].
        shift: float32 [classes].
        offsets: float32 [classes].
        coupling: float32 [classes, classes].
        means, spreads: of neighbours and relative over the validation photos.
        threshold: the score that `coverage` of the validation photos do not pass.
        coverage: 0 to 1.
    """

    references: np.ndarray
    projection: np.ndarray
    shift: np.ndarray
    offsets: np.ndarray
    coupling: np.ndarray
    means: tuple[float, float] = (0.0, 0.0)
    spreads: tuple[float, float] = (1.0, 1.0)
    threshold: float = 0.0
    coverage: float = 1.0

    @property
    def nearest(self) -> int:
        """How many neighbours count."""
        return min(NEAREST, len(self.references))

    def parts(self, bottlenecks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Float32 [n, depth] to neighbours and relative as above, float32 [n] each."""
        unit = _unit(bottlenecks)
        nearest = np.argpartition(unit @ self.references.T, -self.nearest, axis=1)[:, -self.nearest:]
        # The difference, not 1 - cosine: of photos that are much alike, float32 would leave nothing but noise.
        gaps = unit[:, None] - self.references[nearest]
        projected = bottlenecks @ self.projection - self.shift
        relative = (self.offsets - 2 * projected).min(axis=1) + np.sum(projected @ self.coupling * projected, axis=1)
        return np.square(gaps).sum(axis=2).mean(axis=1) / 2, relative

    def scores(self, bottlenecks: np.ndarray) -> np.ndarray:
        """Float32 [n, depth] to float32 [n]: the larger, the less like the training photos."""
        neighbours, relative = ((part - np.float32(mean)) / np.float32(spread) for part, mean, spread in
                                zip(self.parts(bottlenecks), self.means, self.spreads))
        return neighbours + np.square(np.maximum(neighbours, 0)) / 2 + relative

    def add_to_graph(self, bottleneck: Any) -> Any:
        """Add `scores` as operations to the TensorFlow graph that is being built: float32 [n, depth] to [n]."""
        tensorflow = import_tensorflow()
        with tensorflow.name_scope(UNKNOWN_SCOPE):
            length = tensorflow.sqrt(tensorflow.reduce_sum(bottleneck * bottleneck, axis=1, keepdims=True))
            unit = bottleneck / tensorflow.maximum(length, 1e-6)
            references = tensorflow.constant(self.references)
            cosines = tensorflow.matmul(unit, references, transpose_b=True)
            nearest = tensorflow.math.top_k(cosines, self.nearest).indices
            gaps = unit[:, None] - tensorflow.gather(references, nearest)
            neighbours = tensorflow.reduce_mean(tensorflow.reduce_sum(gaps * gaps, axis=2), axis=1) / 2
            projected = tensorflow.matmul(bottleneck, tensorflow.constant(self.projection)) - self.shift
            coupled = tensorflow.matmul(projected, tensorflow.constant(self.coupling))
            relative = (tensorflow.reduce_min(self.offsets - 2 * projected, axis=1)
                        + tensorflow.reduce_sum(coupled * projected, axis=1))
            neighbours, relative = ((part - mean) / spread for part, mean, spread in
                                    zip((neighbours, relative), self.means, self.spreads))
            total = neighbours + tensorflow.square(tensorflow.nn.relu(neighbours)) / 2 + relative
        return tensorflow.identity(total, name=UNKNOWN_SCORE)


@dataclass(frozen=True, eq=False)
class RejectingHead:
    """A head that can also say that a photo is like no training photo.

    Attributes:
        head: what gives the probabilities.
        unknown: the score, and the threshold beyond which a photo is called unknown.
    """

    head: Head
    unknown: UnknownScore

    def outputs(self, X: np.ndarray) -> dict[str, np.ndarray]:
        """Return the head's outputs and `unknown_score`: float32 [n, depth] to float32 [n]."""
        return {**self.head.outputs(X), UNKNOWN_SCORE: self.unknown.scores(X)}

    def add_to_graph(self, bottleneck: Any, output_name: str) -> dict[str, Any]:
        """Add the same operations to the TensorFlow graph that is being built; see `Head`."""
        outputs = self.head.add_to_graph(bottleneck, output_name)
        return {**outputs, UNKNOWN_SCORE: self.unknown.add_to_graph(bottleneck)}


def fit_unknown_score(train: Examples, validation: Examples, coverage: float) -> UnknownScore:
    """Fits the score to training photos and its threshold to validation photos.

    Args:
        train: at least one photo of each class.
        validation: at least one photo of the classes, not among the others.
        coverage: share of the validation photos, 0 to 1, that shall not be called unknown: at least as many are not.
    """
    with threadpool_limits(1, user_api="blas"):  # the same sums on any number of cores
        unscaled = UnknownScore(_references(train.X, train.y),
                                *_discriminants(train.X.astype(np.float64), train.y))
        parts = unscaled.parts(validation.X)
        scaled = UnknownScore(
            unscaled.references, unscaled.projection, unscaled.shift, unscaled.offsets, unscaled.coupling,
            means=(float(parts[0].mean()), float(parts[1].mean())),
            spreads=(_spread(parts[0]), _spread(parts[1])), coverage=coverage)
        threshold = float(np.quantile(scaled.scores(validation.X), coverage, method="higher"))
    return UnknownScore(**{**vars(scaled), "threshold": threshold})


def _spread(values: np.ndarray) -> float:
    return float(values.std()) or 1.0


def _unit(bottlenecks: np.ndarray) -> np.ndarray:
    return bottlenecks / np.maximum(np.linalg.norm(bottlenecks, axis=1, keepdims=True), np.float32(1e-6))


def _references(train_x: np.ndarray, train_y: np.ndarray) -> np.ndarray:
    """All photos, or as many of every class as there is room for, evenly spread over its rows."""
    rows = []
    room, smallest_first = MAX_REFERENCES, np.argsort(np.bincount(train_y), kind="stable")
    for place, label in enumerate(smallest_first):
        members = np.flatnonzero(train_y == label)
        share = max(1, min(len(members), room // (len(smallest_first) - place)))
        rows.append(members[np.linspace(0, len(members) - 1, share).astype(int)])
        room -= share
    return _unit(train_x[np.sort(np.concatenate(rows))[:MAX_REFERENCES]]).astype(np.float32)


def _discriminants(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Projection, shift, offsets and coupling of the relative Mahalanobis distance.

    Let W be the shrunken covariance inside the classes and B = m.T @ m that between them, m being the rows of centred
    class means times the root of their share. By Woodbury's identity

        inv(W) - inv(W + B) = inv(W) m.T inv(1 + m inv(W) m.T) m inv(W),

    so that the difference of the two distances needs x only through x @ inv(W) @ (class means).
    """
    from scipy.linalg import solve
    counts = np.bincount(y)
    centre = x.mean(axis=0)
    means = np.stack([x[y == label].mean(axis=0) for label in range(len(counts))])
    residuals = x - means[y]
    means = means - centre
    within = residuals.T @ residuals / len(x)
    floor = np.trace(within) or np.trace(means.T @ means) or 1.0  # one photo a class varies nowhere
    within[np.diag_indices_from(within)] += SHRINKAGE * floor / len(within)
    projection = solve(within, means.T, assume_a="pos")
    weights = np.sqrt(counts / len(x))
    inner = np.eye(len(counts)) + (means * weights[:, None]) @ projection * weights
    coupling = np.linalg.inv(inner) * weights[:, None] * weights
    found = (projection, centre @ projection, np.sum(projection * means.T, axis=0), (coupling + coupling.T) / 2)
    return tuple(part.astype(np.float32) for part in found)
