"""How good a classifier is that may also answer `unknown`: arrays in, figures out."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .metrics import wilson_interval


@dataclass(frozen=True)
class Rejection:
    """Figures of the reject option.

    Attributes:
        count: photos of the classifier's classes.
        rejected: of them, those that were called unknown.
        correct: of the others, those whose label is right.
        strangers: photos of none of its classes.
        strangers_rejected: of them, those that were called unknown.
        auroc: area under the ROC curve of the score, strangers against photos of the classes (the chance that a
            stranger has the higher score); None without strangers.
    """

    count: int
    rejected: int
    correct: int
    strangers: int = 0
    strangers_rejected: int = 0
    auroc: float | None = None

    @property
    def answered(self) -> int:
        """Photos of the classes that were given a label."""
        return self.count - self.rejected

    @property
    def accuracy(self) -> float | None:
        """Share of right labels among those given, 0 to 1; None where none was."""
        return self.correct / self.answered if self.answered else None

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {"count": self.count, "called_unknown": self.rejected, "accuracy_of_answered": self.accuracy,
                "interval": list(wilson_interval(self.correct, self.answered)) if self.answered else None,
                "strangers": self.strangers, "strangers_called_unknown": self.strangers_rejected, "auroc": self.auroc}


def evaluate_unknown(scores: np.ndarray, correct: np.ndarray, threshold: float,
                     stranger_scores: np.ndarray | None = None) -> Rejection:
    """Counts what is called unknown.

    Args:
        scores: float [photos], of photos of the classifier's classes.
        correct: bool [photos], whether the likeliest label is the right one.
        threshold: what lies above it is called unknown.
        stranger_scores: float [strangers], of photos of none of the classes, or None.
    """
    rejected = ~(scores <= threshold)
    known = Rejection(len(scores), int(rejected.sum()), int((correct & ~rejected).sum()))
    if stranger_scores is None or not len(stranger_scores):
        return known
    from sklearn.metrics import roc_auc_score  # here, because label_image starts without scikit-learn
    auroc = roc_auc_score(np.repeat([0, 1], [len(scores), len(stranger_scores)]),
                          np.concatenate([scores, stranger_scores]))
    return Rejection(known.count, known.rejected, known.correct, len(stranger_scores),
                     int((~(stranger_scores <= threshold)).sum()), float(auroc))
