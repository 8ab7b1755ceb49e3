"""Fit the last layer to convergence by L-BFGS, with L2 strength and temperature chosen on held-out photos."""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from tfpoets.data import Examples, StoredRows, group_numbers
from tfpoets.errors import check_bool, check_choice

from .curves import Curves, build_curves
from .l2_path import (FoldPath, PathStep, descend_path, final_tolerance, fit_path_temperature, follow_path,
                      split_folds)
from .linear_head import LinearHead
from .logistic_regression import LogisticObjective, compute_principal_axes, solve
from .row_blocks import ManyBlocks

# Three strengths per decade: near the minimum, the validation loss changes by about 1% from one to the next. The best
# strength is between 0.001 and 0.2 for 600 photos of five classes, and 0.002 for 50,000 photos of ten.
L2_GRID: tuple[float, ...] = tuple(float(strength) for strength in np.logspace(1, -4, 16))
# The rows of the photos to fit and to hold out.
FoldRows = tuple[slice | np.ndarray, slice | np.ndarray]
CLASS_WEIGHTS = ("none", "balanced")
# For datasets without photos to choose the strength on: one photo per class, and no validation photos.
DEFAULT_L2 = 0.1
# If the sums over the photos are computed in blocks, the whole path is followed only for a sample of this many photos,
# or of this many per class.
PATH_PHOTOS, PATH_PHOTOS_PER_CLASS = 5000, 4


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
        head: The head, fitted to within TOLERANCE, or TOLERANCE_IN_BLOCKS.
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
    rows = split_folds(data.y, len(train), group_numbers(train.photos))
    grid = sorted(l2_grid, reverse=True) if any(len(data.y[held_out]) for _, held_out in rows) else [DEFAULT_L2]
    if data.is_in_blocks and len(grid) > 1:
        folds, path = _descend_from_sample(data, rows, grid)
    else:
        folds = [data.fold_path(fitted, held_out) for fitted, held_out in rows]
        path = follow_path(folds, grid, options.balanced)
    l2 = path[int(np.argmin([step.validation_loss for step in path]))].l2
    temperature, initial_coef, temperature_iterations = fit_path_temperature(folds, l2)
    refitted = options.refit and len(validation) > 0
    objective = data.objective(slice(None) if refitted else slice(len(train)))
    coef, iterations = solve(objective, l2, initial_coef, final_tolerance(objective))
    return LBFGSFit(data.axes.to_head(coef, temperature), l2, path, refitted,
                    iterations + temperature_iterations + sum(step.iterations for step in path))


def _descend_from_sample(data: _FitData, rows: list[FoldRows], grid: list[float]
                         ) -> tuple[list[FoldPath], tuple[PathStep, ...]]:
    """Choose the strength for a sample of the photos, and from there the one for all photos.

    The weight of each photo relative to the penalty is the same in both, so a strength for all photos corresponds to
    a larger one for the sample.
    """
    is_sampled = data.sample()
    samples = [data.fold_path(*(_to_mask(part, len(data.y)) & is_sampled for part in fold)) for fold in rows]
    n_fitted, n_sampled = (sum(len(y) for y in ys) for ys in (
        [data.y[fitted] for fitted, _ in rows], [sample.objective.y for sample in samples]))
    scaled = {l2 * n_fitted / n_sampled: l2 for l2 in grid}
    steps = follow_path(samples, list(scaled), data.balanced)
    best = steps[int(np.argmin([step.validation_loss for step in steps]))].l2
    folds = [data.fold_path(*fold, initial_coef=sample.solutions[best]) for fold, sample in zip(rows, samples)]
    return folds, descend_path(folds, grid, scaled[best], data.balanced)


def _to_mask(rows: slice | np.ndarray, count: int) -> np.ndarray:
    mask = np.zeros(count, bool)
    mask[rows] = True
    return mask


class _FitData:
    """Training and validation examples in common principal axes.

    The rows are the training photos, the validation photos, and the augmented views of each photo in turn.

    Attributes:
        y: The targets of the photos, training before validation: int [n].
        balanced: Whether all classes have the same total weight.
        axes: The transformation to the principal axes, and all rows transformed by it (`axes.X`).
    """

    def __init__(self, train: Examples, validation: Examples, balanced: bool):
        self._n_classes, self._n_features, self.balanced = train.n_classes, train.X.shape[1], balanced
        self._n_train = len(train)
        self.y = np.concatenate([train.y, validation.y]).astype(np.intp)
        augmented = [part.augmented for part in (train, validation) if part.augmented is not None]
        bottlenecks = [train.X, validation.X, *(views.reshape(-1, self._n_features) for views in augmented)]
        self.axes = compute_principal_axes(StoredRows(bottlenecks), self._n_classes)
        # The index of the photo that each row belongs to.
        photos = np.arange(len(self.y))
        self._photo_of_row = np.append(photos, np.repeat(photos, augmented[0].shape[1])) if augmented else photos
        self._has_views = bool(augmented)

    @property
    def is_in_blocks(self) -> bool:
        """Whether sums over the photos are computed in blocks."""
        return isinstance(self.axes.X, ManyBlocks)

    def sample(self) -> np.ndarray:
        """Return some training and validation photos, evenly spaced within each class and part: bool [n]."""
        fraction = max(PATH_PHOTOS, PATH_PHOTOS_PER_CLASS * self._n_classes) / len(self.y)
        is_sampled = np.zeros(len(self.y), bool)
        for start, end in ((0, self._n_train), (self._n_train, len(self.y))):
            order = start + np.argsort(self.y[start:end], kind="stable")
            counts = np.bincount(self.y[start:end], minlength=self._n_classes)
            for rows in np.split(order, np.cumsum(counts)[:-1]):
                count = min(len(rows), math.ceil(fraction * len(rows)))
                is_sampled[rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)]] = True
        return is_sampled

    def objective(self, photos: slice | np.ndarray) -> LogisticObjective:
        """Return the objective on some photos (a slice, or bool [n]) and their augmented views."""
        rows = photos
        if self._has_views:
            rows = np.flatnonzero(np.isin(self._photo_of_row, np.arange(len(self.y))[photos]))
        return LogisticObjective(self.axes.X[rows], self.y[self._photo_of_row[rows]], self._n_classes, self.balanced,
                                 self._n_features)

    def fold_path(self, fitted: slice | np.ndarray, held_out: slice | np.ndarray,
                  initial_coef: np.ndarray | None = None) -> FoldPath:
        """Return the path for one fold, not fitted yet."""
        held_out = np.flatnonzero(_to_mask(held_out, len(self.y))) if self.is_in_blocks else held_out
        X = self.axes.X if self.is_in_blocks else self.axes.X[:len(self.y)]
        return FoldPath(self.objective(fitted), X[held_out], self.y[held_out], initial_coef)
