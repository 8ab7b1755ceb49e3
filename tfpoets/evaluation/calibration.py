"""Probabilities that mean what they say: one temperature for all logits (Guo et al. 2017, arXiv 1706.04599)."""
from __future__ import annotations

import numpy as np

from .cross_entropy import cross_entropy, log_softmax

# Beyond these nothing is gained: a head that is right on every held-out photo would ask for 0.
LOWEST, HIGHEST = 0.2, 5.0
# Fewer photos than this say too little about a temperature.
MIN_PHOTOS = 20


def fit_temperature(log_probabilities: np.ndarray, classes: np.ndarray, least: int = MIN_PHOTOS) -> float:
    """The temperature T for which softmax(logits / T) has the least cross-entropy on held-out photos.

    Args:
        log_probabilities: float [photos, classes]; logits will do, since what a row shares does not count.
        classes: int [photos], the true class of each.
        least: photos, below which it is 1.

    Returns:
        T, within [LOWEST, HIGHEST]; 1 where there are fewer than `least` photos.
    """
    if len(classes) < least:
        return 1.0
    from scipy.optimize import minimize_scalar  # here, because label_image starts without SciPy
    logits = log_probabilities.astype(np.float64)

    def loss(log_temperature: float) -> float:
        return float(cross_entropy(log_softmax(logits / np.exp(log_temperature)), classes).mean())
    found = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded")
    return float(np.exp(found.x))
