"""Answers that cost the least, if some confusions are worse than others."""
from __future__ import annotations

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


def mean_cost(predicted: np.ndarray, y: np.ndarray, costs: np.ndarray, groups: np.ndarray | None = None
              ) -> tuple[float, float]:
    """Return the mean cost of answers and its standard error, which is NaN for a single photo or group.

    Args:
        predicted: int64 [n], the answers, for at least one photo.
        y: int64 [n], the true classes.
        costs: float64 [n_classes, n_classes], by true class (rows) and answer (columns).
        groups: int64 [n], the number of each photo's group, or None if the photos are independent.
    """
    values = costs[y, predicted]
    return float(values.mean()), standard_error(values, groups)
