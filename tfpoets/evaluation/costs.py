"""Answers that cost the least, if some confusions are worse than others."""
from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .intervals import standard_error


def choose_classes(probabilities: np.ndarray, costs: np.ndarray | None = None) -> np.ndarray:
    """Return the class with the lowest expected cost, or without costs the most probable one.

    Args:
        probabilities: float [n, n_classes].
        costs: float64 [n_classes, n_classes], the cost of each answer (columns) for each true class (rows), or None.

    Returns:
        int64 [n]. If several classes have the same expected cost, the first of them is chosen.
    """
    if costs is None:
        return probabilities.argmax(axis=1)
    return (probabilities.astype(np.float64) @ costs).argmin(axis=1)


@dataclass(frozen=True)
class CostMetrics:
    """What the answers cost, compared with those of a classifier that ignores the costs.

    Attributes:
        mean: The mean cost of the answers per photo.
        mean_of_most_probable: The mean cost of the most probable classes.
        standard_error: The standard error of the difference; NaN for a single photo or group.
        changed: The number of photos whose answer is not the most probable class.
    """

    mean: float
    mean_of_most_probable: float
    standard_error: float
    changed: int

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics for JSON, with None for a standard error that is not known."""
        values = asdict(self)
        return {**values, "standard_error": None if math.isnan(self.standard_error) else self.standard_error}


def evaluate_costs(probabilities: np.ndarray, y: np.ndarray, costs: np.ndarray, groups: np.ndarray | None = None
                   ) -> CostMetrics:
    """Compare the costs of the least costly answers with those of the most probable classes, on the same photos.

    Args:
        probabilities: float [n, n_classes], of at least one photo.
        y: int64 [n], the true classes.
        costs: float64 [n_classes, n_classes], by true class (rows) and answer (columns).
        groups: int64 [n], the number of each photo's group, or None if the photos are independent.
    """
    chosen, probable = choose_classes(probabilities, costs), choose_classes(probabilities)
    with_costs, without = costs[y, chosen], costs[y, probable]
    return CostMetrics(float(with_costs.mean()), float(without.mean()), standard_error(without - with_costs, groups),
                       int((chosen != probable).sum()))
