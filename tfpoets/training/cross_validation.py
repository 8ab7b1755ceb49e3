"""Every photo answered by a head that never saw it: figures for sets too small to keep a test part aside."""
from __future__ import annotations

import numpy as np

from threadpoolctl import threadpool_limits

from .head import HeadOptions, Problem, answers_of, fit_head, principal_axes, solve

# Of the objective: probabilities are then right to about 0.01.
ROUGH_TOLERANCE = 1e-3


def out_of_fold_probabilities(x: np.ndarray, y: np.ndarray, folds: np.ndarray, classes: int,
                              options: HeadOptions = HeadOptions()) -> np.ndarray:
    """Fits a head for each fold, on the photos of the others, and lets it answer the fold.

    L2 strength and temperature are chosen by the fold after it, so that nothing of the fold that is answered takes
    part.

    Args:
        x: float32 [n, depth], bottlenecks.
        y: int [n], 0 to classes - 1.
        folds: int [n], 0 to K - 1, K at least 3; every class must be in at least three of them.
        classes: how many there are.
        options: as in `fit_head`.

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
                                 options).head.probabilities(x[held])
    return answers


def out_of_fold_at_strength(x: np.ndarray, y: np.ndarray, folds: np.ndarray, classes: int, l2: float,
                            kept: np.ndarray) -> np.ndarray:
    """The same with one L2 strength for all folds, from the same principal axes: for many answers in a second.

    Args:
        x, y, folds, classes: as above; a class may be missing from a fold.
        l2: the strength.
        kept: bool [n]: photos that may train; all are answered, evenly for all classes where none may train.

    Returns:
        float64 [n, classes].
    """
    answers = np.empty((len(y), classes))
    with threadpool_limits(1, user_api="blas"):
        axes = principal_axes(x.astype(np.float32))
        weights = np.zeros((classes, axes.rows.shape[1] + 1))
        for fold in np.unique(folds):
            fitting = (folds != fold) & kept
            held = folds == fold
            if not fitting.any():
                answers[held] = 1 / classes
                continue
            weights = solve(Problem(axes.rows[fitting], y[fitting], classes, False, x.shape[1]), l2, weights,
                            ROUGH_TOLERANCE)[0]
            answers[held] = np.exp(answers_of(axes.rows[held], weights))
    return answers
