"""Every photo answered by a head that never saw it: figures for sets too small to keep a test part aside."""
from __future__ import annotations

import numpy as np

from .head import fit_head


def out_of_fold_probabilities(x: np.ndarray, y: np.ndarray, folds: np.ndarray, classes: int, *,
                              balanced: bool = False) -> np.ndarray:
    """Fits a head for each fold, on the photos of the others, and lets it answer the fold.

    L2 strength and temperature are chosen by the fold after it, so that nothing of the fold that is answered takes
    part.

    Args:
        x: float32 [n, depth], bottlenecks.
        y: int [n], 0 to classes - 1.
        folds: int [n], 0 to K - 1, K at least 3; every class must be in at least three of them.
        classes: how many there are.
        balanced: as in `fit_head`.

    Returns:
        float32 [n, classes].
    """
    count = int(folds.max()) + 1
    answers = np.empty((len(y), classes), np.float32)
    for fold in range(count):
        held = folds == fold
        choosing = folds == (fold + 1) % count
        fitting = ~(held | choosing)
        answers[held] = fit_head(x[fitting], y[fitting], x[choosing], y[choosing], classes,
                                 balanced=balanced).head.probabilities(x[held])
    return answers
