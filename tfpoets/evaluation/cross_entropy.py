"""The softmax and its loss, in NumPy: the one place that has these formulas."""
from __future__ import annotations

import numpy as np

# A probability below this counts as this much in a loss that is reported: one certain wrong answer is not infinite.
MIN_PROBABILITY = 1e-12


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return the natural logarithms of softmax(logits), row by row: float [n, n_classes], of the same dtype."""
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def cross_entropy(log_probabilities: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the loss of each photo.

    Args:
        log_probabilities: float [n, n_classes], natural logarithms.
        y: int [n], the true class of each photo.

    Returns:
        float [n], in nats, of the same dtype as `log_probabilities`.
    """
    return -log_probabilities[np.arange(len(y)), y]
