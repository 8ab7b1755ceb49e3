"""Compute softmax and cross-entropy with NumPy."""
from __future__ import annotations

import numpy as np

# Smaller probabilities are raised to this value in reported losses, so that a single error with probability 0 for the
# true class does not make the loss infinite.
MIN_PROBABILITY = 1e-12
# The exponential of a smaller logit, which would be a denormal float32 number, takes eight times as long, and makes no
# difference to a sum of at least 1.
MIN_LOGIT = -80.0


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return the natural logarithm of softmax(logits) of each row: float [n, n_classes], of the same dtype."""
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(np.maximum(logits, MIN_LOGIT)).sum(axis=1, keepdims=True))


def cross_entropy(log_probabilities: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the cross-entropy of each photo.

    Args:
        log_probabilities: float [n, n_classes], natural logarithms.
        y: int64 [n], the true classes.

    Returns:
        float [n], in nats, of the same dtype as `log_probabilities`.
    """
    return -log_probabilities[np.arange(len(y)), y]
