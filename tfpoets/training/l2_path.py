"""A path of fits from strong to weak L2 penalties, of which the one with the smallest validation loss is chosen.

Each fit starts from the previous ones (Friedman, Hastie & Tibshirani 2010).
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfpoets.evaluation import fit_temperature

from .logistic_regression import LogisticObjective, compute_sample_weight, predict_log_proba, predict_losses, solve
from .row_blocks import ManyBlocks

# The tolerances for `solve` along the path, in the final fit, and in the final fit of many photos in blocks.
PATH_TOLERANCE = 1e-4
TOLERANCE, TOLERANCE_IN_BLOCKS = 1e-7, 1e-5

# After at least MIN_STEPS strengths, the path ends early if the last PATIENCE validation losses are all greater than
# MAX_LOSS_RATIO times the smallest one.
MIN_STEPS = 8
PATIENCE = 3
MAX_LOSS_RATIO = 1.02
N_FOLDS = 5
# With more classes than this, in blocks, each iteration takes so long (half a minute for 100,000 photos of 10,000
# classes on two cores) that the strength is chosen for some of the classes, and all fits have this tolerance.
MANY_CLASSES, TOLERANCE_FOR_MANY_CLASSES = 1000, 1e-3
# The temperature is fitted to as many held-out photos, evenly spaced, as have this many log probabilities.
MAX_TEMPERATURE_VALUES = 10_000_000


@dataclass(frozen=True)
class PathStep:
    """The fit for one L2 strength, to within PATH_TOLERANCE.

    Attributes:
        l2: The strength.
        train_loss: The mean cross-entropy of the training photos in nats, without the penalty. With balanced weights,
            it is the mean over the classes.
        validation_loss: The same for the held-out photos.
        train_accuracy: The fraction of the training photos classified correctly, 0 to 1.
        validation_accuracy: The same for the held-out photos.
        iterations: The number of L-BFGS iterations.
    """

    l2: float
    train_loss: float
    validation_loss: float
    train_accuracy: float
    validation_accuracy: float
    iterations: int


class FoldPath:
    """The path of fits to one training set, and the photos held out of it.

    Attributes:
        solutions: The coefficients by L2 strength.

    Args:
        objective: The objective on the training set.
        held_out_X: The bottlenecks of the held-out photos, in the same principal axes as `objective.X`.
        held_out_y: The targets of the held-out photos.
        initial_coef: The coefficients to start from; None: zeros.
    """

    def __init__(self, objective: LogisticObjective, held_out_X: np.ndarray | ManyBlocks, held_out_y: np.ndarray,
                 initial_coef: np.ndarray | None = None):
        self.objective, self.held_out_X, self.held_out_y = objective, held_out_X, held_out_y
        self.solutions: dict[float, np.ndarray] = {}
        if initial_coef is None:
            initial_coef = np.zeros((objective.n_classes, len(objective.variances)))
        self._last = [initial_coef]

    def advance(self, l2: float, tolerance: float | None = None) -> int:
        """Add the solution for the next strength and return its number of iterations.

        Args:
            l2: The strength.
            tolerance: The tolerance for `solve`; None: that of a path.
        """
        tolerance = tolerance or _path_tolerance(self.objective)
        previous, last = self._last[0], self._last[-1]
        # Starting from an extrapolation takes a third fewer iterations than starting from the last solution.
        solution, iterations = solve(self.objective, l2, last + (last - previous), tolerance)
        self.solutions[l2] = solution
        self._last = [last, solution]
        return iterations

    def turn(self, l2: float) -> None:
        """Continue from the solution for a strength, without extrapolating from earlier ones."""
        self._last = [self.solutions[l2]]

    def forget_all_but(self, l2: float) -> None:
        """Free the memory of all solutions but one."""
        self.solutions = {l2: self.solutions[l2]}


def follow_path(folds: list[FoldPath], l2_grid: Sequence[float], balanced: bool) -> tuple[PathStep, ...]:
    """Fit all folds for one strength after another; stop early if the validation loss keeps rising.

    Args:
        folds: The folds, not fitted yet; each stores its solutions.
        l2_grid: The strengths, in descending order.
        balanced: Whether all classes have the same weight in the losses.
    """
    path: list[PathStep] = []
    for l2 in l2_grid:
        path.append(_advance(folds, l2, balanced))
        losses = [step.validation_loss for step in path]
        for fold in folds:
            fold.forget_all_but(path[int(np.argmin(losses))].l2)
        if len(path) >= MIN_STEPS and min(losses[-PATIENCE:]) > MAX_LOSS_RATIO * min(losses):
            break
    return tuple(path)


def descend_path(folds: list[FoldPath], l2_grid: Sequence[float], start: float, balanced: bool
                 ) -> tuple[PathStep, ...]:
    """Fit all folds for one strength, and for weaker or stronger ones while the validation loss falls.

    Args:
        folds: The folds, whose initial coefficients are near the solutions for `start`.
        l2_grid: The strengths, in descending order.
        start: One of the strengths.
        balanced: Whether all classes have the same weight in the losses.

    Returns:
        The steps, from strong to weak.
    """
    first = list(l2_grid).index(start)
    initial = _advance(folds, start, balanced)
    path = [initial]
    for strengths in (l2_grid[first + 1:], l2_grid[:first][::-1]):
        for fold in folds:
            fold.turn(start)
        best = initial
        for l2 in strengths:
            step = _advance(folds, l2, balanced)
            path.append(step)
            if not step.validation_loss < best.validation_loss:
                break
            best = step
        if best is not initial:
            break
    return tuple(sorted(path, key=lambda step: -step.l2))


def _advance(folds: list[FoldPath], l2: float, balanced: bool) -> PathStep:
    """Fit all folds for the next strength."""
    iterations = sum(fold.advance(l2) for fold in folds)
    train_loss, train_accuracy = _loss_and_accuracy(
        [(fold.objective.X, fold.objective.y, fold.solutions[l2]) for fold in folds], balanced)
    validation_loss, validation_accuracy = _loss_and_accuracy(
        [(fold.held_out_X, fold.held_out_y, fold.solutions[l2]) for fold in folds], balanced)
    return PathStep(l2, train_loss, validation_loss, train_accuracy, validation_accuracy, iterations)


def fit_path_temperature(folds: list[FoldPath], l2: float) -> tuple[float, np.ndarray, int]:
    """Fit the temperature for one step of the path to the held-out photos.

    The fit is first continued to within the final tolerance, because with a weak penalty the predictions grow more
    confident up to the last iteration.

    Args:
        folds: The folds, after `follow_path` or `descend_path`.
        l2: The L2 strength of the step.

    Returns:
        The temperature, the coefficients of the first fold, and the number of iterations.
    """
    log_probabilities, y, solutions, total_iterations = [], [], [], 0
    for fold in folds:
        coef, iterations = solve(fold.objective, l2, fold.solutions[l2], final_tolerance(fold.objective))
        solutions.append(coef)
        total_iterations += iterations
        rows = slice(None, None, -(-len(fold.held_out_y) * len(coef) * len(folds) // MAX_TEMPERATURE_VALUES) or 1)
        log_probabilities.append(predict_log_proba(fold.held_out_X[rows], coef))
        y.append(fold.held_out_y[rows])
    return fit_temperature(np.concatenate(log_probabilities), np.concatenate(y)), solutions[0], total_iterations


def final_tolerance(objective: LogisticObjective) -> float:
    """Return the tolerance of the final fit."""
    if not objective.is_in_blocks:
        return TOLERANCE
    return TOLERANCE_FOR_MANY_CLASSES if _has_many_classes(objective) else TOLERANCE_IN_BLOCKS


def _path_tolerance(objective: LogisticObjective) -> float:
    return TOLERANCE_FOR_MANY_CLASSES if _has_many_classes(objective) else PATH_TOLERANCE


def _has_many_classes(objective: LogisticObjective) -> bool:
    return objective.is_in_blocks and objective.n_classes > MANY_CLASSES


def split_folds(y: np.ndarray, n_train: int, groups: np.ndarray | None = None
                ) -> list[tuple[slice | np.ndarray, slice | np.ndarray]]:
    """Return the rows to fit and the rows to hold out, for each fold.

    The rows after the first `n_train` are validation photos. If there are any, they are held out in a single fold.
    Otherwise each class is divided into N_FOLDS runs of consecutive photos, since neighbouring files are often
    similar, or of consecutive groups. A class with a single photo or group is never held out.

    Args:
        y: int [n], the targets.
        n_train: The number of training photos, which come first.
        groups: int64 [n_train], the number of each training photo's group; None if they are independent.
    """
    if n_train < len(y):
        return [(slice(n_train), slice(n_train, None))]
    units = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1]
    fold_of_unit = np.full(units.max() + 1, -1)
    members = [np.unique(units[y == label]) for label in np.unique(y)]
    for class_units in members:
        unassigned = class_units[fold_of_unit[class_units] < 0]  # a group may have photos of several classes
        fold_of_unit[unassigned] = np.arange(len(unassigned)) * N_FOLDS // max(len(unassigned), 1)
    fold_of_unit[[class_units[0] for class_units in members if len(class_units) == 1]] = -1
    fold_numbers = fold_of_unit[units]
    folds = [(fold_numbers != number, fold_numbers == number) for number in range(N_FOLDS)]
    return [fold for fold in folds if fold[1].any()] or folds[:1]


def _loss_and_accuracy(predictions: list[tuple[np.ndarray | ManyBlocks, np.ndarray, np.ndarray]], balanced: bool
                       ) -> tuple[float, float]:
    """Return the loss and accuracy over all (X, y, coef) together, or nan without photos."""
    y = np.concatenate([part_y for _, part_y, _ in predictions])
    if not len(y):
        return math.nan, math.nan
    losses, correct = zip(*(predict_losses(X, coef, part_y) for X, part_y, coef in predictions))
    loss = compute_sample_weight(y, balanced) @ np.concatenate(losses)
    return float(loss), float(np.mean(np.concatenate(correct)))
