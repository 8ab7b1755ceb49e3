"""Calibrate probabilities with one temperature for all logits (Guo et al. 2017, arXiv 1706.04599)."""
from __future__ import annotations

import numpy as np

from .cross_entropy import cross_entropy, log_softmax

# Values beyond these gain nothing; without a limit, the temperature of a head that is right on every held-out photo
# would be 0.
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.2, 5.0
# With fewer photos than this, the temperature would be mostly noise.
MIN_PHOTOS = 20


def fit_temperature(log_probabilities: np.ndarray, y: np.ndarray, min_photos: int = MIN_PHOTOS) -> float:
    """Return the temperature T that minimizes the cross-entropy of softmax(logits / T) on held-out photos.

    Args:
        log_probabilities: float [n, n_classes], logarithms of probabilities, or logits: a constant that is added to
            a row makes no difference.
        y: int64 [n], the true classes.
        min_photos: The minimum number of photos; with fewer, T is 1.

    Returns:
        T, from MIN_TEMPERATURE to MAX_TEMPERATURE, or 1.
    """
    if len(y) < min_photos:
        return 1.0
    from scipy.optimize import minimize_scalar  # imported here, because label_image starts without SciPy
    logits = log_probabilities.astype(np.float64)

    def loss(log_temperature: float) -> float:
        return float(cross_entropy(log_softmax(logits / np.exp(log_temperature)), y).mean())
    bounds = (np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))
