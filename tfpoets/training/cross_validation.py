"""Out-of-fold predictions: each photo is classified by a head that was not trained on it.

They measure the accuracy on datasets that are too small to hold out test photos, and reveal wrong labels.
"""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits

from tfpoets.data import Examples, take_rows
from tfpoets.graphs import PROBABILITIES

from .lbfgs import fit_head
from .logistic_regression import LogisticObjective, compute_principal_axes, predict_log_proba, solve
from .trainers import HeadFit, head_outputs

# The tolerance for `solve`. With this one, the probabilities are accurate to about 0.01.
ROUGH_TOLERANCE = 1e-3
# Larger tables of probabilities are in float32, in which a table of 100,000 photos of 10,000 classes takes 4 GB.
MAX_FLOAT64_VALUES = 100_000_000


def out_of_fold_probabilities(examples: Examples, folds: np.ndarray,
                              fit: Callable[[Examples, Examples], HeadFit] = fit_head) -> np.ndarray:
    """For each fold, fit a head to the other folds and predict the probabilities of the photos in the fold.

    The next fold provides the validation photos, so that the predicted fold does not influence any choice.

    Args:
        examples: All photos.
        folds: int [n], the fold of each photo, 0 to n_folds - 1. Every class must occur in at least three folds.
        fit: A function that fits a head to training and validation examples.

    Returns:
        float32 [n, n_classes].
    """
    n_folds = int(folds.max()) + 1
    probabilities = np.empty((len(examples), examples.n_classes), np.float32)
    for fold in range(n_folds):
        predicted = folds == fold
        validation = folds == (fold + 1) % n_folds
        head = fit(examples.select(~(predicted | validation)), examples.select(validation)).head
        probabilities[predicted] = head_outputs(head, take_rows(examples.X, predicted))[PROBABILITIES]
    return probabilities


class OutOfFoldPredictor:
    """Out-of-fold probabilities at a given L2 strength, for one or more sets of trusted photos.

    All calls and folds share the principal axes, and each fold starts from the previous solution, so a call takes less
    than a second.

    Args:
        examples: All photos.
        folds: int [n], the fold of each photo. A class may be missing from a fold.
        l2: The L2 strength.
        balanced: Whether all classes have the same total weight.
        tolerance: The tolerance for `solve`.
    """

    def __init__(self, examples: Examples, folds: np.ndarray, l2: float, balanced: bool = False,  # noqa: PLR0913 - two
                 tolerance: float = ROUGH_TOLERANCE):  # of them are seldom given
        self._balanced, self._tolerance = balanced, tolerance
        self._y, self._n_classes, self._n_features = examples.y, examples.n_classes, examples.X.shape[1]
        self._folds, self._l2 = folds, l2
        with threadpool_limits(1, user_api="blas"):
            self._X = compute_principal_axes(examples.X, examples.n_classes).X

    def probabilities(self, trusted: np.ndarray) -> np.ndarray:
        """Predict the probabilities of all photos.

        Args:
            trusted: bool [n], the photos to train on. If there are none for a fold, all classes get the same
                probability.

        Returns:
            float [n, n_classes], in float64 up to MAX_FLOAT64_VALUES values, and in float32 beyond.
        """
        X, y, n_classes = self._X, self._y, self._n_classes
        dtype = np.float64 if len(y) * n_classes <= MAX_FLOAT64_VALUES else np.float32
        probabilities = np.empty((len(y), n_classes), dtype)
        coef = np.zeros((n_classes, X.shape[1] + 1))
        with threadpool_limits(1, user_api="blas"):
            for fold in np.unique(self._folds):
                train = (self._folds != fold) & trusted
                predicted = self._folds == fold
                if not train.any():
                    probabilities[predicted] = 1 / n_classes
                    continue
                objective = LogisticObjective(X[train], y[train], n_classes, self._balanced, self._n_features)
                coef, _ = solve(objective, self._l2, coef, self._tolerance)
                probabilities[predicted] = np.exp(predict_log_proba(X[predicted], coef))
        return probabilities
