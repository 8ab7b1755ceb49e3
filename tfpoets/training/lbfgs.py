"""Fit the last layer to convergence by L-BFGS, with L2 strength and temperature chosen on held-out photos."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from tfpoets.data import Examples, group_numbers
from tfpoets.errors import check_bool, check_choice

from .curves import Curves, build_curves
from .l2_path import TOLERANCE, FoldPath, PathStep, fit_path_temperature, follow_path, split_folds
from .linear_head import LinearHead
from .logistic_regression import LogisticObjective, compute_principal_axes, solve

# Three strengths per decade: near the minimum, the validation loss changes by about 1% from one to the next. The best
# strength is between 0.001 and 0.2 for 600 photos of five classes, and 0.002 for 50,000 photos of ten.
L2_GRID: tuple[float, ...] = tuple(float(strength) for strength in np.logspace(1, -4, 16))
CLASS_WEIGHTS = ("none", "balanced")
# For datasets without photos to choose the strength on: one photo per class, and no validation photos.
DEFAULT_L2 = 0.1


@dataclass(frozen=True)
class HeadOptions:
    """Options for fitting the last layer by L-BFGS.

    Attributes:
        class_weight: "none", or "balanced" to give all classes the same total weight. Each photo then has the weight
            n_photos / (n_classes * number of photos of its class).
        refit: Whether to fit again with the chosen strength, on training and validation photos.
    """

    class_weight: str = "none"
    refit: bool = True

    def __post_init__(self) -> None:
        check_choice("class_weight", self.class_weight, CLASS_WEIGHTS)
        check_bool("refit", self.refit)

    @property
    def balanced(self) -> bool:
        """Whether all classes have the same total weight."""
        return self.class_weight == "balanced"


@dataclass(frozen=True)
class LBFGSFit:
    """A head and how it was fitted.

    Attributes:
        head: The head, fitted to within TOLERANCE.
        l2: The L2 strength with the smallest validation loss.
        path: The step for each strength that was tried, from strong to weak.
        refitted: Whether the head was fitted again, on training and validation photos.
        iterations: The total number of L-BFGS iterations.
    """

    head: LinearHead
    l2: float
    path: tuple[PathStep, ...]
    refitted: bool
    iterations: int

    def description(self) -> dict[str, Any]:
        """Return the description of the training for the metadata."""
        return {"solver": "lbfgs", "l2": self.l2, "temperature": self.head.temperature, "refitted": self.refitted}

    def curves(self) -> Curves:
        """Return the metrics along the path."""
        return build_curves(enumerate(self.path), l2_strength=[step.l2 for step in self.path])


@dataclass(frozen=True)
class HeadFitted:
    """Event: the last layer has been fitted."""

    fit: LBFGSFit


class LBFGSTrainer:
    """Fits the head to convergence by L-BFGS."""

    name = "lbfgs"
    options = HeadOptions

    def fit(self, train: Examples, validation: Examples, options: HeadOptions, on_event: Callable[[Any], None]
            ) -> LBFGSFit:
        """Fit a head as `fit_head` does, and send the event `HeadFitted`."""
        fit = fit_head(train, validation, options)
        on_event(HeadFitted(fit))
        return fit


def fit_head(train: Examples, validation: Examples, options: HeadOptions = HeadOptions(),
             l2_grid: Sequence[float] = L2_GRID) -> LBFGSFit:
    """Choose L2 strength and temperature on the validation photos, and fit the head.

    Without validation photos, they are chosen by 5-fold cross-validation on the training photos, which keeps photos of
    the same group together. The head is also
    fitted to the augmented views of the examples, if there are any; strength and temperature are chosen on the
    original photos only. The same arguments give the same result, byte for byte, on the same machine.

    Args:
        train: Training examples, with at least one of each class.
        validation: Validation examples; may be empty.
        options: How to fit the head.
        l2_grid: The strengths to choose from, greater than 0. A geometric sequence is fastest.

    Raises:
        ValueError: A class has no training example, or a bottleneck is not finite.
    """
    missing = np.flatnonzero(np.bincount(train.y, minlength=train.n_classes) == 0)
    if len(missing):
        raise ValueError(f"classes without a training photo: {missing.tolist()}")
    # With several threads, the BLAS libraries of NumPy and SciPy wait for each other, which takes 30 times as long as
    # the computation. One thread also makes the sums, and so the weights, independent of the number of cores.
    with threadpool_limits(1, user_api="blas"):
        return _fit_head(train, validation, options, l2_grid)


def _fit_head(train: Examples, validation: Examples, options: HeadOptions, l2_grid: Sequence[float]) -> LBFGSFit:
    """Fit the head at the best L2 strength; see `fit_head`."""
    data = _FitData(train, validation, options.balanced)
    folds = [data.fold_path(fitted, held_out) for fitted, held_out in
             split_folds(data.y, len(train), group_numbers(train.photos))]
    can_choose = any(len(fold.held_out_y) for fold in folds)
    path = follow_path(folds, sorted(l2_grid, reverse=True) if can_choose else [DEFAULT_L2], options.balanced)
    best = int(np.argmin([step.validation_loss for step in path]))
    temperature, initial_coef, temperature_iterations = fit_path_temperature(folds, best, path[best].l2)
    refitted = options.refit and len(validation) > 0
    objective = data.objective(slice(None) if refitted else slice(len(train)))
    coef, iterations = solve(objective, path[best].l2, initial_coef, TOLERANCE)
    return LBFGSFit(data.axes.to_head(coef, temperature), path[best].l2, path, refitted,
                    iterations + temperature_iterations + sum(step.iterations for step in path))


class _FitData:
    """Training and validation examples in common principal axes.

    The rows are the training photos, the validation photos, and the augmented views of each photo in turn.

    Attributes:
        y: The targets of the photos, training before validation: int [n].
        axes: The transformation to the principal axes, and all rows transformed by it (`axes.X`).
    """

    def __init__(self, train: Examples, validation: Examples, balanced: bool):
        self._n_classes, self._n_features, self._balanced = train.n_classes, train.X.shape[1], balanced
        self.y = np.concatenate([train.y, validation.y]).astype(np.intp)
        augmented = [part.augmented for part in (train, validation) if part.augmented is not None]
        bottlenecks = [train.X, validation.X, *(views.reshape(-1, self._n_features) for views in augmented)]
        self.axes = compute_principal_axes(np.concatenate(bottlenecks).astype(np.float32, copy=False))
        # The index of the photo that each row belongs to.
        photos = np.arange(len(self.y))
        self._photo_of_row = np.append(photos, np.repeat(photos, augmented[0].shape[1])) if augmented else photos
        self._has_views = bool(augmented)

    def objective(self, photos: slice | np.ndarray) -> LogisticObjective:
        """Return the objective on some photos (a slice, or bool [n]) and their augmented views."""
        rows = photos
        if self._has_views:
            rows = np.flatnonzero(np.isin(self._photo_of_row, np.arange(len(self.y))[photos]))
        return LogisticObjective(self.axes.X[rows], self.y[self._photo_of_row[rows]], self._n_classes, self._balanced,
                                 self._n_features)

    def fold_path(self, fitted: slice | np.ndarray, held_out: slice | np.ndarray) -> FoldPath:
        """Return the path for one fold, not fitted yet."""
        return FoldPath(self.objective(fitted), self.axes.X[:len(self.y)][held_out], self.y[held_out])
