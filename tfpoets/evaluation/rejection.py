"""Evaluate a classifier that can reject photos, that is, label them as unknown."""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .intervals import Z_95, proportion_interval


@dataclass(frozen=True)
class Rejection:
    """Metrics of the rejection of unknown photos.

    Attributes:
        count: The number of photos of the classifier's classes.
        rejected: How many of these were labelled as unknown.
        correct: How many of the others have the right label.
        unknown_count: The number of unknown photos: photos of none of the classes.
        unknown_rejected: How many of these were labelled as unknown.
        auroc: The area under the ROC curve of the score, unknown photos against photos of the classes: the probability
            that an unknown photo has the higher score. None if there are no unknown photos.
        rejected_interval: The 95% interval of the fraction that was rejected, by `proportion_interval`; None without
            photos.
        accuracy_interval: The same for `accuracy`; None if all were rejected.
        unknown_interval: The same for the fraction of unknown photos that was rejected; None without unknown photos.
    """

    count: int
    rejected: int
    correct: int
    unknown_count: int = 0
    unknown_rejected: int = 0
    auroc: float | None = None
    rejected_interval: tuple[float, float] | None = None
    accuracy_interval: tuple[float, float] | None = None
    unknown_interval: tuple[float, float] | None = None

    @property
    def auroc_interval(self) -> tuple[float, float] | None:
        """The 95% interval of `auroc`, by the variance of Hanley & McNeil 1982; None without unknown photos."""
        if self.auroc is None:
            return None
        # At 0 and 1 the formula gives a variance of 0, so the area is kept away from both by half a pair of photos.
        half_pair = 0.5 / (self.count * self.unknown_count)
        area = min(max(self.auroc, half_pair), 1 - half_pair)
        q1, q2 = area / (2 - area), 2 * area * area / (1 + area)
        variance = (area * (1 - area) + (self.unknown_count - 1) * (q1 - area * area)
                    + (self.count - 1) * (q2 - area * area)) / (self.unknown_count * self.count)
        half_width = Z_95 * max(variance, 0.0) ** 0.5
        return max(0.0, area - half_width), min(1.0, area + half_width)

    @property
    def accepted(self) -> int:
        """The number of photos of the classes that were not rejected."""
        return self.count - self.rejected

    @property
    def accuracy(self) -> float | None:
        """The fraction of accepted photos with the right label, 0 to 1; None if all were rejected."""
        return self.correct / self.accepted if self.accepted else None

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics for JSON, with 95% intervals."""
        return {"count": self.count, "called_unknown": self.rejected,
                "called_unknown_interval": self.rejected_interval,
                "accuracy_of_answered": self.accuracy,
                "accuracy_of_answered_interval": self.accuracy_interval,
                "strangers": self.unknown_count, "strangers_called_unknown": self.unknown_rejected,
                "strangers_called_unknown_interval": self.unknown_interval,
                "auroc": self.auroc, "auroc_interval": self.auroc_interval}


def evaluate_rejection(scores: np.ndarray, correct: np.ndarray, threshold: float,
                       unknown_scores: np.ndarray | None = None, groups: np.ndarray | None = None) -> Rejection:
    """Evaluate the rejection of unknown photos; a photo with a score of NaN is rejected.

    Args:
        scores: float [n], the unknown scores of photos of the classifier's classes.
        correct: bool [n], whether the most probable class is the true one.
        threshold: The score above which a photo is rejected.
        unknown_scores: float [n_unknown], the unknown scores of unknown photos, or None.
        groups: int64 [n], the number of the group of each photo of the classes, or None if they are independent.
    """
    rejected = ~(scores <= threshold)
    known = Rejection(len(scores), int(rejected.sum()), int((correct & ~rejected).sum()),
                      rejected_interval=_interval(rejected, groups),
                      accuracy_interval=_interval(correct[~rejected], None if groups is None else groups[~rejected]))
    if unknown_scores is None or not len(unknown_scores):
        return known
    from sklearn.metrics import roc_auc_score  # imported here, because label_image starts without scikit-learn
    auroc = roc_auc_score(np.repeat([0, 1], [len(scores), len(unknown_scores)]),
                          np.concatenate([scores, unknown_scores]))
    unknown_rejected = ~(unknown_scores <= threshold)
    return replace(known, unknown_count=len(unknown_scores), unknown_rejected=int(unknown_rejected.sum()),
                   auroc=float(auroc), unknown_interval=_interval(unknown_rejected))


def _interval(outcomes: np.ndarray, groups: np.ndarray | None = None) -> tuple[float, float] | None:
    return proportion_interval(outcomes, groups) if len(outcomes) else None
