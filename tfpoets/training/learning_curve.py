"""Measure a learning curve: train heads on some of the photos, and test all of them on the same test photos.

A curve of 8 sizes and 5 draws requires 35 heads, since the head for all photos exists already. Each is solved in a
fraction of a second: they share the principal axes, and each fit starts from the one with fewer photos. The L2
strength is the one that was chosen for all photos, scaled in proportion to 1 / n, so that the weight of each photo
relative to the penalty stays the same. With a constant strength, heads for a few photos are up to 6 points less
accurate, which would make the curve look too steep.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from tfpoets.data import Examples
from tfpoets.evaluation import (Z_95, CurvePoint, Forecast, PowerLaw, choose_classes, log_softmax, standard_error)
from tfpoets.graphs import PROBABILITIES

from .lbfgs import LBFGSFit
from .logistic_regression import LogisticObjective, compute_principal_axes, predict_log_proba, solve
from .row_blocks import ManyBlocks
from .trainers import head_outputs

# The tolerance for `solve`. With 1e-4, no accuracy differs by more than the chance of a draw.
CURVE_TOLERANCE = 1e-2
# The number of added photos of a class for which the gain is estimated.
MORE_PHOTOS = 10
# With fewer photos than this in all or per class, or fewer test photos, a curve would be noise.
MIN_PHOTOS, MIN_PHOTOS_PER_CLASS, MIN_TEST_PHOTOS = 40, 6, 20
# The smallest draws contain at least this many photos per class on average.
MIN_DRAWN_PER_CLASS = 2


@dataclass(frozen=True, eq=False)
class CurveOptions:
    """How a learning curve is measured.

    Attributes:
        sizes: The number of sizes, from a fraction of the photos to all of them.
        smallest: The smallest size, as a fraction of the photos.
        draws: The number of draws of each size except the largest.
        class_draws: The number of draws of half the photos of each class.
        max_classes: With more classes, the gain from more photos of each class is not measured.
        balanced: Whether all classes have the same total weight in training.
        costs: The costs of the answers, float64 [n_classes, n_classes], or None for the most probable classes.
    """

    sizes: int = 8
    smallest: float = 0.09
    draws: int = 5
    class_draws: int = 5
    max_classes: int = 100
    balanced: bool = False
    costs: np.ndarray | None = None


QUICK_CURVE = CurveOptions(sizes=4, smallest=0.125, draws=2, class_draws=1, max_classes=12)


@dataclass(frozen=True)
class ClassGain:
    """What ten more training photos of one class are expected to gain.

    Attributes:
        photos: The number of training photos of the class.
        accuracy: The gain in accuracy on all test photos, as a fraction.
        interval: The 95% interval of that gain.
        recall: The gain in recall of the class, as a fraction; None without test photos of the class.
    """

    photos: int
    accuracy: float
    interval: tuple[float, float]
    recall: float | None


@dataclass(frozen=True)
class LearningCurve:
    """A measured learning curve.

    Attributes:
        points: The accuracy for each number of training photos, in ascending order. The last point is for all photos.
        law: The power law fitted to the points.
        n_test: The number of test photos.
        class_gains: The gain from ten more photos of each class, in label order; empty if it was not measured.
    """

    points: tuple[CurvePoint, ...]
    law: PowerLaw
    n_test: int
    class_gains: tuple[ClassGain, ...] = ()

    @property
    def now(self) -> float:
        """The accuracy with all training photos, 0 to 1."""
        return self.points[-1].accuracy

    @cached_property
    def doubled(self) -> Forecast:
        """The forecast for twice as many training photos."""
        return self.law.forecast(2 * self.points[-1].size)

    @property
    def best_class(self) -> int | None:
        """The index of the class that gains most, or None if no gain is distinguishable from chance.

        Since it is the best of all classes, its gain must exceed 0 by the quantile for 5% over the number of classes
        (Bonferroni).
        """
        if not self.class_gains:
            return None
        from scipy.special import ndtri  # imported here because label_image starts without SciPy
        best = int(np.argmax([gain.accuracy for gain in self.class_gains]))
        gain = self.class_gains[best]
        half_width = (gain.interval[1] - gain.accuracy) * ndtri(1 - 0.025 / len(self.class_gains)) / Z_95
        return best if gain.accuracy > half_width else None

    def to_dict(self, labels: Sequence[str]) -> dict[str, Any]:
        """Return the curve for JSON."""
        best, doubled = self.best_class, self.doubled
        return {"points": [{"photos": point.size, "accuracies": list(point.accuracies)} for point in self.points],
                "test_photos": self.n_test, "exponent": self.law.exponent, "accuracy": self.now,
                "forecast": {"photos": doubled.size, "accuracy": doubled.accuracy, "interval": list(doubled.interval)},
                "ten_more_photos": {label: {"photos": gain.photos, "gain": gain.accuracy,
                                            "gain_interval": list(gain.interval), "recall_gain": gain.recall}
                                    for label, gain in zip(labels, self.class_gains)},
                "best_class": None if best is None else labels[best]}


def explain_missing_curve(train: Examples, test: Examples) -> str:
    """Return a sentence on why there are too few photos for a learning curve, or "" if there are enough."""
    minimum = max(MIN_PHOTOS, MIN_PHOTOS_PER_CLASS * train.n_classes)
    if len(train) < minimum:
        return f"No learning curve: it needs at least {minimum} training photos, and there are {len(train)}."
    if len(test) < MIN_TEST_PHOTOS:
        return f"No learning curve: it needs at least {MIN_TEST_PHOTOS} test photos, and there are {len(test)}."
    return ""


def measure_learning_curve(train: Examples, test: Examples, fit: LBFGSFit,
                           groups: tuple[np.ndarray, np.ndarray | None], options: CurveOptions = CurveOptions()
                           ) -> LearningCurve:
    """Measure the accuracy for several numbers of training photos, and what more photos of each class would gain.

    Args:
        train: All photos that the head was trained on.
        test: The test photos.
        fit: The head that was trained on all photos, whose accuracy is the last point, with its L2 strength.
        groups: The number of each training photo's group, int64 [n_train], since a group is drawn as a whole; and that
            of each test photo, int64 [n_test], or None if the test photos are independent.
        options: How many heads to train, and how.
    """
    train_groups, test_groups = groups
    sizes = _sizes(len(train), train.n_classes, options)
    probabilities = head_outputs(fit.head, test.X)[PROBABILITIES]
    final = float((choose_classes(probabilities, options.costs) == test.y).mean())
    with threadpool_limits(1, user_api="blas"):  # as in `fit_head`
        heads = _SubsetHeads(train, test, fit, options)
        draws = [heads.accuracies(_draw_order(train.y, train_groups, rng), sizes)
                 for rng in _generators(0, options.draws)]
        points = (*(CurvePoint(size, accuracies) for size, accuracies in zip(sizes, zip(*draws))),
                  CurvePoint(len(train), (final,)))
        law = PowerLaw(points, len(test))
        changes: list[np.ndarray] = []
        if train.n_classes <= options.max_classes:
            changes = [heads.changes_without_halves(train_groups, rng)
                       for rng in _generators(1, options.class_draws)]
    gains = [_class_gain(change, test, test_groups, label, int((train.y == label).sum()), law.exponent)
             for label, change in enumerate(np.mean(changes, axis=0))] if changes else ()
    return LearningCurve(points, law, len(test), tuple(gains))


class _SubsetHeads:
    """Heads for subsets of the training photos, all in the principal axes of all training photos.

    Args:
        train, test, fit, options: As in `measure_learning_curve`.
    """

    def __init__(self, train: Examples, test: Examples, fit: LBFGSFit, options: CurveOptions):
        self._axes = compute_principal_axes(train.X, train.n_classes)
        self._test_X = self._axes.transform(test.X)
        self._train, self._test, self._fit, self._options = train, test, fit, options

    def _solve(self, rows: np.ndarray, initial_coef: np.ndarray, factors: np.ndarray | None = None) -> np.ndarray:
        """Return the coefficients for some of the training photos.

        Args:
            rows: int64 [n], the photos.
            initial_coef: The coefficients to start from.
            factors: float64 [n], by which the weights of these photos are multiplied, or None.
        """
        train = self._train
        if factors is None and isinstance(self._axes.X, ManyBlocks):
            rows = np.sort(rows)  # so that a file is read in order
        objective = LogisticObjective(self._axes.X[rows], train.y[rows], train.n_classes, self._options.balanced,
                                      train.X.shape[1])
        if factors is not None:
            weights = objective.sample_weight * factors
            objective.sample_weight = weights / weights.sum()
        return solve(objective, self._fit.l2 * len(train) / len(rows), initial_coef, CURVE_TOLERANCE)[0]

    def _correct(self, coef: np.ndarray) -> np.ndarray:
        """Return which test photos are classified correctly: bool [n_test]."""
        logits = predict_log_proba(self._test_X, coef) / self._fit.head.temperature
        return choose_classes(np.exp(log_softmax(logits)), self._options.costs) == self._test.y

    def accuracies(self, order: np.ndarray, sizes: Sequence[int]) -> tuple[float, ...]:
        """Return the accuracy with the first photos of an order, for each number of photos in ascending order."""
        coef = np.zeros((self._train.n_classes, self._axes.X.shape[1] + 1))
        accuracies = []
        for size in sizes:
            coef = self._solve(order[:size], coef)
            accuracies.append(float(self._correct(coef).mean()))
        return tuple(accuracies)

    def changes_without_halves(self, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return what half of the photos of each class contribute to each test photo.

        The other half of the class gets the weight of both. Otherwise the class would become rare in the training
        photos, and part of the loss in accuracy would be due to that instead of the smaller number of photos.

        Returns:
            float64 [n_classes, n_test], 1 if the test photo is classified correctly only with the photos, -1 if only
            without them, and 0 otherwise.
        """
        y = self._train.y
        complete = self._solve(np.arange(len(y)), self._axes.to_coef(self._fit.head))
        is_correct = self._correct(complete).astype(float)
        order = _draw_order(y, groups, rng)
        changes = []
        for label in range(self._train.n_classes):
            of_class = order[y[order] == label]
            rows = np.setdiff1d(np.arange(len(y)), of_class[:len(of_class) // 2])
            factors = np.where(y[rows] == label, len(of_class) / (y[rows] == label).sum(), 1.0)
            changes.append(is_correct - self._correct(self._solve(rows, complete, factors)))
        return np.array(changes)


def _generators(seed: int, count: int) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, number]) for number in range(count)]


def _sizes(n_train: int, n_classes: int, options: CurveOptions) -> list[int]:
    """Return the sizes of the draws, in equal ratios up to all photos, which are not included."""
    smallest = max(options.smallest * n_train, MIN_DRAWN_PER_CLASS * n_classes)
    sizes = np.geomspace(smallest, n_train, options.sizes)[:-1]
    return sorted({round(size) for size in sizes})


def _draw_order(y: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the photos in a random order, int64 [n], that keeps groups together and mixes the classes evenly."""
    numbers = np.unique(groups, return_inverse=True)[1]
    first_rows = np.unique(numbers, return_index=True)[1]
    shuffled = rng.permutation(len(first_rows))
    # The position of each group among those of its class, as a fraction with a random offset.
    positions = np.empty(len(first_rows))
    for label in np.unique(y):
        of_class = shuffled[y[first_rows[shuffled]] == label]
        positions[of_class] = (np.arange(len(of_class)) + rng.random(len(of_class))) / max(len(of_class), 1)
    return np.lexsort((numbers, positions[numbers]))


def _class_gain(change: np.ndarray, test: Examples, test_groups: np.ndarray | None, label: int, photos: int,
                exponent: float) -> ClassGain:
    """Convert the contribution of the second half of a class to the gain from more photos, by the power law.

    If the error that the photos of a class can remove is proportional to n ** -exponent, the second half has removed
    (2 ** exponent - 1) of it.

    Args:
        change: float64 [n_test], the mean contribution of the second half to each test photo.
        test: The test photos.
        test_groups: The number of each test photo's group, or None.
        label: The class.
        photos: The number of its training photos.
        exponent: The exponent of the power law.
    """
    factor = (1 - (1 + MORE_PHOTOS / photos) ** -exponent) / (2 ** exponent - 1)
    gain, half_width = factor * float(change.mean()), factor * Z_95 * standard_error(change, test_groups)
    own = change[test.y == label]
    return ClassGain(photos, gain, (gain - half_width, gain + half_width),
                     factor * float(own.mean()) if len(own) else None)
