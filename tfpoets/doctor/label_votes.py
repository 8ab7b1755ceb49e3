"""Judge the labels of large datasets, whose photos and classes are too many for a probability of each class and photo.

Only the classes of a photo's neighbours, that of its label and the one that a head considers most probable are
candidates. They are few, so time and memory are proportional to the number of photos, whatever the number of classes.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from tfpoets.training import LinearHead
from tfpoets.training.logistic_regression import LogisticObjective, compute_principal_axes, solve

from .neighbours import Neighbours

# The classes with the most votes that are candidates for a photo, besides its label and the head's class.
VOTED_CANDIDATES = 8
# A head is trained on a sample of at most this many photos, in which small classes are better represented.
MAX_HEAD_PHOTOS = 20_000
# No heads are trained if a sample has more scores (photos times classes) than this: the time grows with their number.
MAX_HEAD_SCORES = 5_000_000
# Without a head, the votes alone are the probabilities. This is added to the votes, divided among all classes.
TOTAL_SMOOTHING = 0.1
# The tolerance for `solve`. With this one, the probabilities are accurate to about 0.01.
TOLERANCE = 1e-3
# The number of photos that are judged at a time, and the number of scores of the head that are computed at a time.
BLOCK_ROWS, BLOCK_SCORES = 8192, 4_000_000


@dataclass(frozen=True)
class VoteRules:
    """The constants of wrong_labels.py that apply here as well, under the same names."""

    l2: float
    head_weight: float
    max_voters: int
    sharpness: float
    smoothing: float


@dataclass(frozen=True, eq=False)
class Candidates:
    """The classes that each photo may show.

    Attributes:
        classes: int32 [n_photos, n_candidates], the class of the label first; -1 for none.
        probabilities: float32 [n_photos, n_candidates], 0 for none.
    """

    classes: np.ndarray
    probabilities: np.ndarray


class LabelJudge:
    """Computes the probabilities of the candidates for one or more sets of trusted photos.

    Args:
        X: float32 [n_photos, depth], the bottlenecks; may be a memory map.
        y: int64 [n_photos], the targets.
        groups: int64 [n_photos], equal for near duplicates, which do not vote on each other's labels. A head does not
            judge photos of the groups that it was trained on.
        neighbours: The neighbours of the photos.
        rules: The constants.
    """

    def __init__(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray, neighbours: Neighbours,  # noqa: PLR0913
                 rules: VoteRules):
        self._X, self._y, self._groups, self._neighbours, self._rules = X, y, groups, neighbours, rules
        self._n_classes = int(y.max()) + 1
        self._half_of_row = np.unique(groups, return_inverse=True)[1] % 2

    @property
    def uses_heads(self) -> bool:
        """Whether heads are trained; otherwise, only the neighbours vote."""
        return min(len(self._y), MAX_HEAD_PHOTOS) * self._n_classes <= MAX_HEAD_SCORES

    def judge(self, trusted: np.ndarray) -> Candidates:
        """Return the candidates according to the trusted photos, bool [n_photos]."""
        heads = [self._fit(trusted & (self._half_of_row != half)) for half in (0, 1)] if self.uses_heads else []
        n_candidates = 1 + VOTED_CANDIDATES + bool(heads)
        classes = np.full((len(self._y), n_candidates), -1, np.int32)
        probabilities = np.zeros((len(self._y), n_candidates), np.float32)
        with threadpool_limits(1, user_api="blas"):
            for rows in self._blocks():
                block_classes, votes = self._count_votes(rows, trusted)
                smoothing = self._rules.smoothing if heads else TOTAL_SMOOTHING / self._n_classes
                values = (votes + smoothing) / (1 + smoothing * self._n_classes)
                if heads:
                    scores = np.empty((len(rows), self._n_classes), np.float32)
                    for half, head in enumerate(heads):
                        mask = self._half_of_row[rows] == half
                        scores[mask] = 1 / self._n_classes if head is None else head.probabilities(self._X[rows[mask]])
                    block_classes, values = self._combine(block_classes, values, scores)
                values[block_classes < 0] = 0
                classes[rows], probabilities[rows] = block_classes, values
        return Candidates(classes, probabilities)

    def _blocks(self) -> Iterator[np.ndarray]:
        size = min(BLOCK_ROWS, max(1, BLOCK_SCORES // self._n_classes)) if self.uses_heads else BLOCK_ROWS
        yield from np.split(np.arange(len(self._y)), range(size, len(self._y), size))

    def _fit(self, mask: np.ndarray) -> LinearHead | None:
        """Return a head that is trained on a sample of the photos for which `mask` is true; None without photos."""
        rows = sample_rows(self._y, mask, MAX_HEAD_PHOTOS)
        if not len(rows):
            return None
        with threadpool_limits(1, user_api="blas"):
            axes = compute_principal_axes(self._X[rows].astype(np.float32))
            objective = LogisticObjective(axes.X, self._y[rows], self._n_classes, False, self._X.shape[1])
            initial_coef = np.zeros((self._n_classes, axes.X.shape[1] + 1))
            return axes.to_head(solve(objective, self._rules.l2, initial_coef, TOLERANCE)[0], 1.0)

    def _count_votes(self, rows: np.ndarray, trusted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the candidates and their fractions of the votes: int64 and float64 [rows, 1 + VOTED_CANDIDATES]."""
        voters, y = self._neighbours.rows[rows], self._y[rows]
        may_vote = trusted[voters] & (self._groups[voters] != self._groups[rows][:, np.newaxis])
        may_vote[:, 1:] &= voters[:, 1:] != voters[:, :-1]
        may_vote &= np.cumsum(may_vote, axis=1) <= self._rules.max_voters
        similarities = np.maximum(self._neighbours.similarities[rows].astype(np.float64), -1)
        weights = np.where(may_vote, np.exp(self._rules.sharpness * similarities), 0)
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
        order = np.argsort(self._y[voters], axis=1, kind="stable")
        classes = np.take_along_axis(self._y[voters], order, axis=1)
        weights = np.take_along_axis(weights, order, axis=1)
        # The votes for a class are added up at the first of its neighbours.
        is_first = np.ones(classes.shape, bool)
        is_first[:, 1:] = classes[:, 1:] != classes[:, :-1]
        first = np.maximum.accumulate(np.where(is_first, np.arange(classes.shape[1]), 0), axis=1)
        flat = (first + np.arange(len(rows))[:, np.newaxis] * classes.shape[1]).ravel()
        votes = np.bincount(flat, weights.ravel(), minlength=flat.size).reshape(classes.shape)
        is_label = classes == y[:, np.newaxis]
        label_votes = np.where(is_label, votes, 0).sum(axis=1)
        votes[is_label | (votes == 0)] = -1  # the label has a column of its own
        columns = np.argsort(-votes, axis=1, kind="stable")[:, :VOTED_CANDIDATES]
        votes, classes = (np.take_along_axis(values, columns, axis=1) for values in (votes, classes))
        classes[votes < 0] = -1
        padding = ((0, 0), (0, VOTED_CANDIDATES - classes.shape[1]))
        classes, votes = np.pad(classes, padding, constant_values=-1), np.pad(np.maximum(votes, 0), padding)
        return np.column_stack([y, classes]), np.column_stack([label_votes, votes])

    def _combine(self, classes: np.ndarray, votes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Combine the votes with the probabilities of the head, and add its most probable class to the candidates.

        Args:
            classes: int64 [rows, n_candidates], -1 for none.
            votes: float64 [rows, n_candidates], the smoothed fractions of the votes.
            scores: float32 [rows, n_classes], the probabilities; overwritten.

        Returns:
            The classes and probabilities, int64 and float64 [rows, n_candidates + 1].
        """
        weight, rules = self._rules.head_weight, self._rules
        top = scores.argmax(axis=1)
        top[(classes == top[:, np.newaxis]).any(axis=1)] = -1
        no_votes = rules.smoothing / (1 + rules.smoothing * self._n_classes)
        classes = np.column_stack([classes, top])
        votes = np.column_stack([votes, np.full(len(top), no_votes)]) ** (1 - weight)
        np.power(scores, np.float32(weight), out=scores)
        total = scores.sum(axis=1, dtype=np.float64)
        factors = np.take_along_axis(scores, np.maximum(classes, 0), axis=1).astype(np.float64)
        factors[classes < 0] = 0
        no_votes **= 1 - weight
        total = total * no_votes + (factors * (votes - no_votes)).sum(axis=1)
        return classes, factors * votes / np.maximum(total, 1e-300)[:, np.newaxis]


def sample_rows(y: np.ndarray, mask: np.ndarray, max_rows: int) -> np.ndarray:
    """Return at most `max_rows` of the rows for which `mask` is true, in ascending order.

    All photos of the smallest classes are among them, and equally many of each larger class.

    Args:
        y: int64 [n], the targets.
        mask: bool [n].
        max_rows: The maximum number of rows.
    """
    rows = np.flatnonzero(mask)
    if len(rows) <= max_rows:
        return rows
    rows = np.random.default_rng(0).permutation(rows)
    rows = rows[np.argsort(y[rows], kind="stable")]
    counts = np.bincount(y[rows])
    rank = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    # The largest number per class with which the sample is small enough.
    n_chosen = np.cumsum(np.bincount(rank))
    per_class = max(1, int(np.searchsorted(n_chosen, max_rows, side="right")))
    return np.sort(rows[rank < per_class])[:max_rows]
