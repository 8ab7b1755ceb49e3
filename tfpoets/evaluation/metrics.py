"""How good a classifier is, and how sure that can be known: arrays in, figures out."""
from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .cross_entropy import MIN_PROBABILITY, cross_entropy

Z_95 = 1.959963984540054  # the 97.5 % point of the normal distribution
# Bins of equal width over the confidence, as Guo et al. 2017 (arXiv 1706.04599) and most after them take.
CALIBRATION_BINS = 15
# An interval wider than this tells little.
WIDE_INTERVAL = 0.15


@dataclass(frozen=True)
class ClassMetrics:
    """Figures of one class.

    Attributes:
        support: photos that are of it.
        answered: photos that were said to be of it.
        correct: both.
    """

    support: int
    answered: int
    correct: int

    @property
    def recall(self) -> float | None:
        """Share of its photos that were recognised, 0 to 1; None where it has none."""
        return self.correct / self.support if self.support else None

    @property
    def precision(self) -> float | None:
        """Share of the answers for it that were right, 0 to 1; None where nothing was said to be of it."""
        return self.correct / self.answered if self.answered else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None where the class is neither there nor answered."""
        return 2 * self.correct / (self.support + self.answered) if self.support + self.answered else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % Wilson interval of the recall."""
        return wilson_interval(self.correct, self.support) if self.support else None

    @property
    def precision_interval(self) -> tuple[float, float] | None:
        """95 % Wilson interval of the precision."""
        return wilson_interval(self.correct, self.answered) if self.answered else None

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {"precision": self.precision, "precision_interval": self.precision_interval, "recall": self.recall,
                "recall_interval": self.interval, "f1": self.f1, "support": self.support}


@dataclass(frozen=True, eq=False)
class Metrics:
    """Figures of one evaluation.

    Attributes:
        count: photos evaluated.
        correct: of them, those whose most probable class is the true one.
        cross_entropy: mean negative natural logarithm of the true class's probability.
        cross_entropy_error: standard error of that mean; nan of one photo.
        expected_calibration_error: by how much the confidence of an answer is off, on average, 0 to 1.
        confusion: int64 [classes, classes]: photos by true class (rows) and answer (columns).
        ranks: int64 [classes]: photos by how many classes were more probable than the true one.
        majority: index of the most frequent class.
        majority_accuracy: what always answering that class would reach.
    """

    count: int
    correct: int
    cross_entropy: float
    cross_entropy_error: float
    expected_calibration_error: float
    majority: int
    majority_accuracy: float
    confusion: np.ndarray = field(repr=False)
    ranks: np.ndarray = field(repr=False)

    @property
    def accuracy(self) -> float:
        """Share of correct answers, 0 to 1."""
        return self.correct / self.count

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy."""
        return wilson_interval(self.correct, self.count)

    @property
    def per_class(self) -> tuple[ClassMetrics, ...]:
        """Figures of each class, in label order."""
        return tuple(ClassMetrics(int(self.confusion[index].sum()), int(self.confusion[:, index].sum()),
                                  int(self.confusion[index, index])) for index in range(len(self.confusion)))

    def top_k(self, k: int) -> float:
        """Share of photos whose true class is among the k most probable, 0 to 1."""
        return float(self.ranks[:k].sum() / self.count)

    def most_confused(self, most: int) -> list[tuple[int, int, int]]:
        """(true class, answer, photos) of the commonest wrong answers, at most `most`, the commonest first."""
        wrong = self.confusion.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        places = [np.unravel_index(place, wrong.shape) for place in order]
        return [(int(true), int(answer), int(wrong[true, answer])) for true, answer in places if wrong[true, answer]]

    def caution(self) -> str:
        """One sentence where the photos are too few to tell much, else nothing."""
        low, high = self.interval
        if self.majority_accuracy == 1:
            return "All photos are of one class, so this says nothing of the others."
        if high < self.majority_accuracy:
            return "This is worse than always giving the same answer."
        if low <= self.majority_accuracy:
            return (f"{self.count} photos are too few to tell whether this is better than always giving the same "
                    "answer.")
        if high - low > WIDE_INTERVAL:
            return (f"{self.count} photos say little: on new ones the accuracy may be anything from {low:.0%} to "
                    f"{high:.0%}.")
        return ""

    def to_dict(self, labels: list[str] | tuple[str, ...]) -> dict[str, Any]:
        """As JSON takes it."""
        return {"accuracy": self.accuracy, "interval": list(self.interval), "count": self.count,
                "cross_entropy": self.cross_entropy,
                "cross_entropy_error": self.cross_entropy_error if self.count > 1 else None,
                "expected_calibration_error": self.expected_calibration_error,
                "top_k": {str(k): self.top_k(k) for k in (1, 3, 5) if k <= len(labels)},
                "per_class": {label: each.to_dict() for label, each in zip(labels, self.per_class)},
                "confusion_matrix": self.confusion.tolist(), "labels": list(labels)}


def evaluate(probabilities: np.ndarray, classes: np.ndarray) -> Metrics:
    """Compares answers with the truth.

    Args:
        probabilities: float [photos, classes], rows summing to 1.
        classes: int [photos], the true class of each; at least one photo.
    """
    if len(classes) == 0:
        raise ValueError("there are no photos to evaluate")
    width = probabilities.shape[1]
    answers = probabilities.argmax(1)
    counts = np.bincount(classes, minlength=width)
    true = probabilities[np.arange(len(classes)), classes][:, None]
    confusion = np.bincount(classes * width + answers, minlength=width * width).reshape(width, width)
    # A true class that ties with others stands where argmax would put it: behind those of smaller index.
    index = np.arange(width)[None]
    ahead = (probabilities > true) | ((probabilities == true) & (index < classes[:, None]))
    losses = cross_entropy(np.log(np.maximum(probabilities.astype(np.float64), MIN_PROBABILITY)), classes)
    return Metrics(count=len(classes), correct=int((answers == classes).sum()),
                   cross_entropy=max(0.0, float(losses.mean())),
                   cross_entropy_error=_standard_error(losses),
                   expected_calibration_error=calibration_error(probabilities.max(1), answers == classes),
                   majority=int(counts.argmax()), majority_accuracy=float(counts.max() / len(classes)),
                   confusion=confusion.astype(np.int64), ranks=np.bincount(ahead.sum(1), minlength=width))


def _standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else math.nan


@dataclass(frozen=True)
class CalibrationBin:
    """Answers of about the same confidence: how many, their mean confidence, and the share of right ones."""

    count: int
    confidence: float
    accuracy: float


def calibration_bins(confidences: np.ndarray, correct: np.ndarray, bins: int = CALIBRATION_BINS
                     ) -> tuple[CalibrationBin, ...]:
    """Answers by confidence, in bins of equal width, empty ones left out (a reliability diagram).

    Args:
        confidences: float [photos], the probability of each answer.
        correct: bool [photos].
    """
    numbers = np.minimum((confidences * bins).astype(int), bins - 1)
    return tuple(CalibrationBin(int(inside.sum()), float(confidences[inside].mean()), float(correct[inside].mean()))
                 for number in range(bins) if (inside := numbers == number).any())


def calibration_error(confidences: np.ndarray, correct: np.ndarray) -> float:
    """Expected calibration error (Naeini et al. 2015): mean over photos of |confidence - accuracy| of their bin."""
    return sum(each.count * abs(each.confidence - each.accuracy)
               for each in calibration_bins(confidences, correct)) / len(confidences)


def wilson_interval(correct: int, count: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927): sound for few photos and for shares near 0 and 1.

    Args:
        correct: how many of `count` came out right.
        z: the normal distribution's point for the wanted coverage.

    Returns:
        Lower and upper end, within [0, 1].
    """
    share = correct / count
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, centre - half), min(1.0, centre + half)
