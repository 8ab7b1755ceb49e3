"""Evaluate a classifier: accuracy and related metrics, with their uncertainty."""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .confusion import ConfusionMatrix, rows_by_class
from .costs import choose_classes
from .cross_entropy import MIN_PROBABILITY
from .intervals import proportion_interval, standard_error

# The number of bins of equal width over the confidence: the value of Guo et al. 2017 (arXiv 1706.04599), which most
# later work uses as well.
CALIBRATION_BINS = 15
# A warning is given if the interval of the accuracy is wider than this.
WIDE_INTERVAL = 0.15
# The number of probabilities that are compared at once.
BLOCK_VALUES = 1 << 22


@dataclass(frozen=True)
class ClassMetrics:
    """Metrics of one class.

    Attributes:
        support: The number of photos of the class.
        predicted: The number of photos for which the class was predicted.
        correct: The number of photos of the class for which it was predicted.
        recall_interval: The 95% interval of the recall, by `proportion_interval`; None without photos of the class.
        precision_interval: The same for the precision; None if the class was never predicted.
    """

    support: int
    predicted: int
    correct: int
    recall_interval: tuple[float, float] | None
    precision_interval: tuple[float, float] | None

    @property
    def recall(self) -> float | None:
        """The fraction of the photos of the class for which it was predicted, 0 to 1; None without such photos."""
        return self.correct / self.support if self.support else None

    @property
    def precision(self) -> float | None:
        """The fraction of the predictions of the class that are right, 0 to 1; None if it was never predicted."""
        return self.correct / self.predicted if self.predicted else None

    @property
    def f1(self) -> float | None:
        """The harmonic mean of precision and recall; None if the class has no photos and was never predicted."""
        return 2 * self.correct / (self.support + self.predicted) if self.support + self.predicted else None

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics for JSON."""
        return {"precision": self.precision, "precision_interval": self.precision_interval, "recall": self.recall,
                "recall_interval": self.recall_interval, "f1": self.f1, "support": self.support}


@dataclass(frozen=True)
class AverageMetrics:
    """The means of a metric over the classes, as in scikit-learn's `classification_report`.

    Classes without photos that were never predicted are left out. A precision or recall that is undefined counts as 0.

    Attributes:
        precision: The mean precision, 0 to 1.
        recall: The mean recall, 0 to 1.
        f1: The mean F1, 0 to 1.
        support: The number of photos of all classes.
    """

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, eq=False)
class Metrics:
    """Metrics of one evaluation.

    Attributes:
        count: The number of photos.
        correct: The number of photos whose answer, the most probable class or the least costly one, is right.
        cross_entropy: The mean negative natural logarithm of the probability of the true class.
        cross_entropy_standard_error: The standard error of that mean; NaN for a single photo or group.
        expected_calibration_error: The mean absolute difference between the confidence and the accuracy of a bin,
            weighted by its number of photos, 0 to 1.
        majority: The index of the most frequent true class.
        majority_accuracy: The accuracy of always predicting that class.
        confusion: The number of photos by true class and predicted class.
        rank_counts: int64 [n_classes], the number of photos by the rank of the true class: how many classes are more
            probable.
        y: int64 [count], the true class of each photo.
        predicted: int64 [count], the predicted class of each photo.
        groups: int64 [count], the number of each photo's group (frames of one video, for instance); None if the photos
            are independent. The intervals are clustered by group.
    """

    count: int
    correct: int
    cross_entropy: float
    cross_entropy_standard_error: float
    expected_calibration_error: float
    majority: int
    majority_accuracy: float
    confusion: ConfusionMatrix = field(repr=False)
    rank_counts: np.ndarray = field(repr=False)
    y: np.ndarray = field(repr=False)
    predicted: np.ndarray = field(repr=False)
    groups: np.ndarray | None = field(repr=False, default=None)

    @property
    def accuracy(self) -> float:
        """The fraction of correct predictions, 0 to 1."""
        return self.correct / self.count

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of the accuracy, by `proportion_interval`: Wilson's, or clustered by group."""
        return proportion_interval(self.predicted == self.y, self.groups)

    @property
    def n_groups(self) -> int | None:
        """The number of groups of photos, or None if the photos are independent."""
        return None if self.groups is None else len(np.unique(self.groups))

    def format_count(self, noun: str = "") -> str:
        """Return the number of photos, followed by `noun` and the number of groups if there are any."""
        groups = {None: "", 1: " in 1 group"}.get(self.n_groups, f" in {self.n_groups} groups")
        return f"{self.count}{noun}{groups}"

    @cached_property
    def per_class(self) -> tuple[ClassMetrics, ...]:
        """The metrics of each class, in label order."""
        n_classes = self.confusion.n_classes
        return tuple(map(self._class_metrics, rows_by_class(self.y, n_classes),
                         rows_by_class(self.predicted, n_classes)))

    @cached_property
    def macro_average(self) -> AverageMetrics:
        """The means over the classes, in which every class counts the same."""
        return self._average([1 if row.support or row.predicted else 0 for row in self.per_class])

    @cached_property
    def weighted_average(self) -> AverageMetrics:
        """The means over the classes, weighted by their numbers of photos. The mean recall is the accuracy."""
        return self._average([row.support for row in self.per_class])

    def _average(self, weights: Sequence[int]) -> AverageMetrics:
        """Return the weighted means of the metrics of the classes."""
        precision, recall, f1 = (float(np.average(values, weights=weights)) for values in zip(
            *((row.precision or 0.0, row.recall or 0.0, row.f1 or 0.0) for row in self.per_class)))
        return AverageMetrics(precision, recall, f1, self.count)

    def _class_metrics(self, rows: np.ndarray, predicted: np.ndarray) -> ClassMetrics:
        """Return the metrics of a class from the rows of its photos and of its predictions."""
        return ClassMetrics(len(rows), len(predicted), int((self.predicted[rows] == self.y[rows]).sum()),
                            self._interval_among(rows) if len(rows) else None,
                            self._interval_among(predicted) if len(predicted) else None)

    def _interval_among(self, rows: np.ndarray) -> tuple[float, float]:
        """Return the interval of the accuracy on some of the photos: bool [count] or int64 [n]."""
        groups = None if self.groups is None else self.groups[rows]
        return proportion_interval(self.predicted[rows] == self.y[rows], groups)

    def accuracy_among(self, rows: np.ndarray) -> tuple[float | None, tuple[float, float] | None]:
        """Return the accuracy on some of the photos and its 95% interval, or None for both if there are none.

        Args:
            rows: bool [count], which photos.
        """
        if not rows.any():
            return None, None
        return float((self.predicted == self.y)[rows].mean()), self._interval_among(rows)

    def top_k(self, k: int) -> float:
        """Return the fraction of photos whose true class is among the k most probable, 0 to 1; costs are ignored."""
        return float(self.rank_counts[:k].sum() / self.count)

    def most_confused(self, limit: int) -> list[tuple[int, int, int]]:
        """Return the most frequent errors as (true class, predicted class, number of photos), the most frequent first.

        Args:
            limit: The maximum number of errors to return.
        """
        return self.confusion.most_confused(limit)

    def caution(self) -> str:
        """Return a sentence that warns of too few photos or a useless classifier; empty if there is no reason to."""
        low, high = self.interval
        photos = self.format_count(" photos")
        if self.majority_accuracy == 1:
            return "All photos are of one class, so this says nothing about the others."
        if high < self.majority_accuracy:
            return "This is worse than always predicting the most frequent class."
        if low <= self.majority_accuracy and high - low <= WIDE_INTERVAL:
            return (f"On new photos the accuracy is {high:.1%} at most, hardly better than always predicting the most "
                    "frequent class.")
        if low <= self.majority_accuracy:
            return (f"{photos} are too few to tell whether this is better than always predicting the most "
                    "frequent class.")
        if high - low > WIDE_INTERVAL:
            return (f"{photos} are a small sample: on new photos the accuracy may be anywhere from "
                    f"{low:.0%} to {high:.0%}.")
        return ""

    def to_dict(self, labels: list[str] | tuple[str, ...]) -> dict[str, Any]:
        """Return the metrics for JSON."""
        return {"accuracy": self.accuracy, "interval": list(self.interval), "count": self.count,
                "groups": self.n_groups, "cross_entropy": self.cross_entropy,
                "cross_entropy_error": None if math.isnan(self.cross_entropy_standard_error) else
                self.cross_entropy_standard_error,
                "expected_calibration_error": self.expected_calibration_error,
                "top_k": {str(k): self.top_k(k) for k in (1, 3, 5) if k <= len(labels)},
                "per_class": {label: metrics.to_dict() for label, metrics in zip(labels, self.per_class)},
                "macro_average": asdict(self.macro_average), "weighted_average": asdict(self.weighted_average),
                **self.confusion.to_dict(), "labels": list(labels)}


def evaluate(probabilities: np.ndarray, y: np.ndarray, groups: np.ndarray | None = None,
             costs: np.ndarray | None = None) -> Metrics:
    """Evaluate predicted probabilities, and the answers that follow from them, against the true classes.

    Args:
        probabilities: float [n, n_classes]; each row sums to 1.
        y: int64 [n], the true classes.
        groups: int64 [n], the number of each photo's group, if the photos are not independent (frames of videos,
            several photos of each object); None if they are.
        costs: float64 [n_classes, n_classes], for answers with the lowest expected cost; see `choose_classes`.

    Raises:
        ValueError: There are no photos.
    """
    if len(y) == 0:
        raise ValueError("there are no photos to evaluate")
    n_classes = probabilities.shape[1]
    predicted = choose_classes(probabilities, costs)
    counts = np.bincount(y, minlength=n_classes)
    ranks = _ranks(probabilities, y)
    losses = -np.log(np.maximum(probabilities[np.arange(len(y)), y].astype(np.float64), MIN_PROBABILITY))
    return Metrics(count=len(y), correct=int((predicted == y).sum()),
                   cross_entropy=max(0.0, float(losses.mean())),
                   cross_entropy_standard_error=standard_error(losses, groups),
                   expected_calibration_error=calibration_error(probabilities[np.arange(len(y)), predicted],
                                                                predicted == y),
                   majority=int(counts.argmax()), majority_accuracy=float(counts.max() / len(y)),
                   confusion=ConfusionMatrix.from_predictions(y, predicted, n_classes),
                   rank_counts=np.bincount(ranks, minlength=n_classes),
                   y=y, predicted=predicted, groups=groups)


def _ranks(probabilities: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return how many classes are ranked above the true one: float [n, n_classes] and int64 [n] to int64 [n].

    Ties are ranked as argmax breaks them: the class with the smaller index comes first. The comparisons are made in
    blocks of rows, which bounds their memory.
    """
    index, step = np.arange(probabilities.shape[1])[None], max(1, BLOCK_VALUES // probabilities.shape[1])
    ranks = np.empty(len(y), np.int64)
    for start in range(0, len(y), step):
        rows, classes = probabilities[start:start + step], y[start:start + step, None]
        true_probabilities = np.take_along_axis(rows, classes, axis=1)
        ranks[start:start + step] = ((rows > true_probabilities)
                                     | ((rows == true_probabilities) & (index < classes))).sum(1)
    return ranks


@dataclass(frozen=True)
class CalibrationBin:
    """Predictions of about the same confidence.

    Attributes:
        count: The number of predictions.
        confidence: Their mean confidence, 0 to 1.
        accuracy: The fraction of them that is correct, 0 to 1.
    """

    count: int
    confidence: float
    accuracy: float


def calibration_bins(confidences: np.ndarray, correct: np.ndarray, n_bins: int = CALIBRATION_BINS
                     ) -> tuple[CalibrationBin, ...]:
    """Group predictions into bins of equal width by confidence, as in a reliability diagram; omit empty bins.

    Args:
        confidences: float [n], the probability of each predicted class.
        correct: bool [n], whether each prediction is correct.
        n_bins: The number of bins from 0 to 1.
    """
    bin_numbers = np.minimum((confidences * n_bins).astype(int), n_bins - 1)
    return tuple(CalibrationBin(int(in_bin.sum()), float(confidences[in_bin].mean()), float(correct[in_bin].mean()))
                 for number in range(n_bins) if (in_bin := bin_numbers == number).any())


def calibration_error(confidences: np.ndarray, correct: np.ndarray) -> float:
    """Return the expected calibration error (Naeini et al. 2015).

    That is the mean over all photos of |confidence - accuracy| of their bin.

    Args:
        confidences: float [n], the probability of each predicted class.
        correct: bool [n], whether each prediction is correct.
    """
    return sum(bin_.count * abs(bin_.confidence - bin_.accuracy)
               for bin_ in calibration_bins(confidences, correct)) / len(confidences)
