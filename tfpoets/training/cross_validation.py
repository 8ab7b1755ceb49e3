"""Every photo answered by a head that never saw it: figures for sets too small to keep a test part aside."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits

from tfpoets.data import Examples
from tfpoets.graphs import PROBABILITIES

from .lbfgs import Problem, answers_of, fit_head, principal_axes, solve
from .trainers import HeadFit

# Of the objective: probabilities are then right to about 0.01.
ROUGH_TOLERANCE = 1e-3


def out_of_fold_probabilities(examples: Examples, folds: np.ndarray,
                              fit: Callable[[Examples, Examples], HeadFit] = fit_head) -> np.ndarray:
    """Fit a head for each fold, on the photos of the others, and let it answer the fold.

    Whatever validation photos choose is chosen by the fold after it, so that nothing of the fold that is answered
    takes part.

    Args:
        examples: all photos.
        folds: int [n], 0 to K - 1, K at least 3; every class must be in at least three of them.
        fit: fits a head to training and validation examples.

    Returns:
        float32 [n, n_classes].
    """
    count = int(folds.max()) + 1
    answers = np.empty((len(examples), examples.n_classes), np.float32)
    for fold in range(count):
        held = folds == fold
        choosing = folds == (fold + 1) % count
        head = fit(examples.select(~(held | choosing)), examples.select(choosing)).head
        answers[held] = head.outputs(examples.X[held])[PROBABILITIES]
    return answers


def out_of_fold_at_l2(examples: Examples, folds: np.ndarray, l2: float, kept: np.ndarray) -> np.ndarray:
    """The same with one L2 strength for all folds, from the same principal axes: for many answers in a second.

    Args:
        examples, folds: as above; a class may be missing from a fold.
        l2: the strength.
        kept: bool [n]: photos that may train; all are answered, evenly for all classes where none may train.

    Returns:
        float64 [n, n_classes].
    """
    y, n_classes = examples.y, examples.n_classes
    answers = np.empty((len(y), n_classes))
    with threadpool_limits(1, user_api="blas"):
        axes = principal_axes(examples.X.astype(np.float32))
        weights = np.zeros((n_classes, axes.rows.shape[1] + 1))
        for fold in np.unique(folds):
            fitting = (folds != fold) & kept
            held = folds == fold
            if not fitting.any():
                answers[held] = 1 / n_classes
                continue
            weights = solve(Problem(axes.rows[fitting], y[fitting], n_classes, False, examples.X.shape[1]), l2,
                            weights, ROUGH_TOLERANCE)[0]
            answers[held] = np.exp(answers_of(axes.rows[held], weights))
    return answers
