"""How good a classifier is that may also answer `unknown`: arrays in, figures out."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .metrics import Z_95, wilson_interval


@dataclass(frozen=True)
class Rejection:
    """Figures of the reject option.

    Attributes:
        count: photos of the classifier's classes.
        rejected: of them, those that were called unknown.
        correct: of the others, those whose label is right.
        unknown_count: photos of none of its classes.
        unknown_rejected: of them, those that were called unknown.
        auroc: area under the ROC curve of the score, strangers against photos of the classes (the chance that a
            stranger has the higher score); None without strangers.
    """

    count: int
    rejected: int
    correct: int
    unknown_count: int = 0
    unknown_rejected: int = 0
    auroc: float | None = None

    @property
    def auroc_interval(self) -> tuple[float, float] | None:
        """95 % interval of the area by the variance of Hanley & McNeil 1982; None without strangers."""
        if self.auroc is None:
            return None
        # At 0 and 1 their variance is 0: it is taken half a pair away from there.
        half_pair = 0.5 / (self.count * self.unknown_count)
        area = min(max(self.auroc, half_pair), 1 - half_pair)
        first, second = area / (2 - area), 2 * area * area / (1 + area)
        variance = (area * (1 - area) + (self.unknown_count - 1) * (first - area * area)
                    + (self.count - 1) * (second - area * area)) / (self.unknown_count * self.count)
        half = Z_95 * max(variance, 0.0) ** 0.5
        return max(0.0, area - half), min(1.0, area + half)

    @property
    def answered(self) -> int:
        """Photos of the classes that were given a label."""
        return self.count - self.rejected

    @property
    def accuracy(self) -> float | None:
        """Share of right labels among those given, 0 to 1; None where none was."""
        return self.correct / self.answered if self.answered else None

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it; intervals are of 95 %, by Wilson, or as `auroc_interval`."""
        return {"count": self.count, "called_unknown": self.rejected,
                "called_unknown_interval": _interval(self.rejected, self.count),
                "accuracy_of_answered": self.accuracy,
                "accuracy_of_answered_interval": _interval(self.correct, self.answered),
                "strangers": self.unknown_count, "strangers_called_unknown": self.unknown_rejected,
                "strangers_called_unknown_interval": _interval(self.unknown_rejected, self.unknown_count),
                "auroc": self.auroc, "auroc_interval": self.auroc_interval}


def _interval(count: int, total: int) -> tuple[float, float] | None:
    return wilson_interval(count, total) if total else None


def evaluate_unknown(scores: np.ndarray, correct: np.ndarray, threshold: float,
                     unknown_scores: np.ndarray | None = None) -> Rejection:
    """Counts what is called unknown.

    Args:
        scores: float [photos], of photos of the classifier's classes.
        correct: bool [photos], whether the likeliest label is the right one.
        threshold: what lies above it is called unknown.
        unknown_scores: float [strangers], of photos of none of the classes, or None.
    """
    rejected = ~(scores <= threshold)
    known = Rejection(len(scores), int(rejected.sum()), int((correct & ~rejected).sum()))
    if unknown_scores is None or not len(unknown_scores):
        return known
    from sklearn.metrics import roc_auc_score  # here, because label_image starts without scikit-learn
    auroc = roc_auc_score(np.repeat([0, 1], [len(scores), len(unknown_scores)]),
                          np.concatenate([scores, unknown_scores]))
    return Rejection(known.count, known.rejected, known.correct, len(unknown_scores),
                     int((~(unknown_scores <= threshold)).sum()), float(auroc))
