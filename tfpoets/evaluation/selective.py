"""Selective accuracy: a classifier that leaves the photos it is least certain of to a person."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .intervals import proportion_interval, wilson_interval
from .metrics import Metrics

# A threshold is chosen so that the accuracy above it is at least the target with a confidence of 80%: a one-sided
# bound, at this quantile of the normal distribution. The lowest threshold that reaches the target on the photos that
# it is chosen on misses it on about half of all sets of new photos. The confidence is that of each single threshold.
# Because the lowest of many is chosen, the accuracy on new photos is below the target more often: in simulations, in
# 23 to 29% of the cases with 300 photos, and in 24 to 44% with 100. With a confidence of 90% for each threshold, 300
# photos are too few for a target of 99%.
TARGET_Z = 0.8416212335729143
# The fractions of photos with an answer for which the accuracy is listed.
COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)


@dataclass(frozen=True)
class SelectiveMetrics:
    """Metrics of the answers of a classifier that does not answer for some photos.

    Attributes:
        count: The number of photos.
        answered: The number of photos with an answer.
        correct: The number of correct answers.
        coverage_interval: The 95% interval of the fraction of photos with an answer, by `proportion_interval`.
        accuracy_interval: The same for the fraction of correct answers; None without answers.
    """

    count: int
    answered: int
    correct: int
    coverage_interval: tuple[float, float]
    accuracy_interval: tuple[float, float] | None

    @property
    def coverage(self) -> float:
        """The fraction of photos with an answer, 0 to 1."""
        return self.answered / self.count

    @property
    def accuracy(self) -> float | None:
        """The fraction of correct answers, 0 to 1; None without answers."""
        return self.correct / self.answered if self.answered else None

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics for JSON."""
        return {"count": self.count, "answered": self.answered, "coverage": self.coverage,
                "coverage_interval": self.coverage_interval, "accuracy": self.accuracy,
                "accuracy_interval": self.accuracy_interval}


def evaluate_answered(is_answered: np.ndarray, correct: np.ndarray, groups: np.ndarray | None = None
                      ) -> SelectiveMetrics:
    """Evaluate the answers for some of the photos.

    Args:
        is_answered: bool [n], whether the classifier answers, for at least one photo.
        correct: bool [n], whether its answer is, or would be, correct.
        groups: int64 [n], the number of each photo's group, or None if the photos are independent.
    """
    accuracy_interval = None
    if is_answered.any():
        accuracy_interval = proportion_interval(correct[is_answered], None if groups is None else groups[is_answered])
    return SelectiveMetrics(len(correct), int(is_answered.sum()), int((is_answered & correct).sum()),
                            proportion_interval(is_answered, groups), accuracy_interval)


@dataclass(frozen=True, eq=False)
class CoverageCurve:
    """The accuracy of the most confident answers, against the fraction of photos that get one.

    Photos with equal confidence are answered together. See Geifman & El-Yaniv 2017 (arXiv 1705.08500), who call one
    minus this accuracy the selective risk.

    Attributes:
        thresholds: float64 [points], the smallest confidences that are answered, in descending order.
        answered: int64 [points], the number of answers.
        correct: int64 [points], the number of correct ones.
        confidences: float [count], the confidence of each photo's answer.
    """

    thresholds: np.ndarray
    answered: np.ndarray
    correct: np.ndarray
    confidences: np.ndarray

    @property
    def count(self) -> int:
        """The number of photos."""
        return len(self.confidences)

    @property
    def coverage(self) -> np.ndarray:
        """The fractions of photos with an answer: float64 [points], in ascending order."""
        return self.answered / self.count

    @property
    def accuracy(self) -> np.ndarray:
        """The fractions of correct answers: float64 [points]."""
        return self.correct / self.answered

    def threshold_for_coverage(self, coverage: float) -> float:
        """Return the highest threshold with at least this coverage, which is above 0."""
        return float(self.thresholds[np.searchsorted(self.answered, coverage * self.count - 1e-9)])

    def threshold_for_accuracy(self, target: float, trials_per_photo: float = 1.0) -> float | None:
        """Return the lowest threshold above which the accuracy is at least `target` with a confidence of 80%.

        The confidence is that of each threshold; that of the lowest one that is found is lower (see TARGET_Z).

        Args:
            target: The accuracy, 0 to 1.
            trials_per_photo: How many independent trials each photo is worth; less than 1 for grouped photos.

        Returns:
            The threshold, or None if there is none: the photos are too few, or the classifier is not accurate enough.
        """
        bounds = np.array([wilson_interval(correct * trials_per_photo, answered * trials_per_photo, TARGET_Z)[0]
                           for correct, answered in zip(self.correct, self.answered)])
        reached = np.flatnonzero(bounds >= target)
        return float(self.thresholds[reached[-1]]) if len(reached) else None


def coverage_curve(confidences: np.ndarray, correct: np.ndarray) -> CoverageCurve:
    """Return the accuracy for every coverage.

    Args:
        confidences: float [n], the probability of each answer, for at least one photo.
        correct: bool [n], whether each answer is correct.
    """
    order = np.argsort(-confidences, kind="stable")
    ordered = confidences[order].astype(np.float64)
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    return CoverageCurve(ordered[last], last + 1, np.cumsum(correct[order])[last].astype(np.int64),
                         confidences)


def coverage_of(probabilities: np.ndarray, metrics: Metrics) -> CoverageCurve:
    """Return the accuracy for every coverage of evaluated answers.

    Args:
        probabilities: float [n, n_classes], the probabilities of the evaluated photos.
        metrics: The metrics of the answers.
    """
    return coverage_curve(probabilities[np.arange(metrics.count), metrics.predicted], metrics.predicted == metrics.y)


def answered_at(curve: CoverageCurve, metrics: Metrics, coverage: float) -> SelectiveMetrics:
    """Return the metrics of the most certain answers.

    Args:
        curve: The result of `coverage_of`.
        metrics: The metrics of all answers.
        coverage: The fraction of photos with an answer.
    """
    return evaluate_answered(curve.confidences >= curve.threshold_for_coverage(coverage),
                             metrics.predicted == metrics.y, metrics.groups)
