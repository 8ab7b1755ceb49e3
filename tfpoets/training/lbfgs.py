"""Fit the last layer to convergence by L-BFGS, with L2 strength and temperature chosen on held-out photos."""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from tfpoets.data import Examples, StoredRows, group_numbers
from tfpoets.errors import check_bool, check_choice

from .curves import Curves, build_curves
from .l2_path import (MANY_CLASSES, FoldPath, PathStep, descend_path, final_tolerance, fit_path_temperature,
                      follow_path, split_folds)
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
# If the sums over the photos are computed in blocks, the whole path is followed only for a sample of this many photos.
PATH_PHOTOS = 5000
# The tolerance of the fit to few photos from which the fit to all photos of many classes starts.
INITIAL_TOLERANCE = 1e-2


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
    if data.has_many_classes and len(grid) > 1:
        folds, path = _fit_many_classes(data, rows, grid)
    elif data.is_in_blocks and len(grid) > 1:
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
    """Choose the strength for a sample of the photos, and from there the one for all photos."""
    start, initial_coefs = _choose_from_sample(data, rows, grid, _count_fitted(data.y, rows))
    folds = [data.fold_path(*fold, initial_coef=coef) for fold, coef in zip(rows, initial_coefs)]
    return folds, descend_path(folds, grid, start, data.balanced)


def _fit_many_classes(data: _FitData, rows: list[FoldRows], grid: list[float]
                      ) -> tuple[list[FoldPath], tuple[PathStep, ...]]:
    """Choose the strength for a sample of MANY_CLASSES of the classes, and fit all photos with it.

    The fit to all photos starts from a fit to about one photo per class with the same strength. From zero, it would
    take several times as many iterations.
    """
    classes = np.linspace(0, data.n_classes - 1, MANY_CLASSES).astype(np.int64)
    is_chosen, n_photos = np.isin(data.y, classes), len(data.y)
    chosen_rows = [(_to_mask(fitted, n_photos)[is_chosen], _to_mask(held_out, n_photos)[is_chosen])
                   for fitted, held_out in rows]
    l2, _ = _choose_from_sample(data.of_classes(classes), chosen_rows, grid, _count_fitted(data.y, rows))
    folds = []
    for fitted, held_out in rows:
        sample = data.fold_path(data.sample(data.n_classes, _to_mask(fitted, n_photos)), np.zeros(n_photos, bool))
        for strength in (strength for strength in grid if strength >= l2):
            sample.advance(strength, INITIAL_TOLERANCE)
            sample.forget_all_but(strength)
        folds.append(data.fold_path(fitted, held_out, initial_coef=sample.solutions[l2]))
    return folds, follow_path(folds, [l2], data.balanced)


def _choose_from_sample(data: _FitData, rows: Sequence[FoldRows], grid: list[float], n_fitted: int
                        ) -> tuple[float, list[np.ndarray]]:
    """Choose the strength for `n_fitted` photos, over all folds, with a sample of the photos in `data`.

    The weight of each photo relative to the penalty is the same in both, so a strength for all photos corresponds to
    a larger one for the sample.

    Returns:
        The strength for all photos, and the coefficients for the sample, for each fold.
    """
    is_sampled = data.sample(PATH_PHOTOS)
    samples = [data.fold_path(*(_to_mask(part, len(data.y)) & is_sampled for part in fold)) for fold in rows]
    n_sampled = sum(len(sample.objective.y) for sample in samples)
    scaled = {l2 * n_fitted / n_sampled: l2 for l2 in grid}
    steps = follow_path(samples, list(scaled), data.balanced)
    best = steps[int(np.argmin([step.validation_loss for step in steps]))].l2
    return scaled[best], [sample.solutions[best] for sample in samples]


def _count_fitted(y: np.ndarray, rows: Sequence[FoldRows]) -> int:
    """Return the number of photos that the folds are fitted to, together."""
    return sum(len(y[fitted]) for fitted, _ in rows)


def _to_mask(rows: slice | np.ndarray, count: int) -> np.ndarray:
    mask = np.zeros(count, bool)
    mask[rows] = True
    return mask


class _FitData:
    """Training and validation examples in common principal axes.

    The rows are the training photos, the validation photos, and the augmented views of each photo in turn.

    Attributes:
        n_classes: The number of classes.
        y: The targets of the photos, training before validation: int [n].
        balanced: Whether all classes have the same total weight.
        axes: The transformation to the principal axes, and all rows transformed by it (`axes.X`).
    """

    def __init__(self, train: Examples, validation: Examples, balanced: bool):
        self.n_classes, self._n_features, self.balanced = train.n_classes, train.X.shape[1], balanced
        self._n_train = len(train)
        self.y = np.concatenate([train.y, validation.y]).astype(np.intp)
        augmented = [part.augmented for part in (train, validation) if part.augmented is not None]
        bottlenecks = [train.X, validation.X, *(views.reshape(-1, self._n_features) for views in augmented)]
        self.axes = compute_principal_axes(StoredRows(bottlenecks), self.n_classes)
        # The index of the photo that each row belongs to.
        photos = np.arange(len(self.y))
        self._photo_of_row = np.append(photos, np.repeat(photos, augmented[0].shape[1])) if augmented else photos
        self._has_views = bool(augmented)

    @property
    def is_in_blocks(self) -> bool:
        """Whether sums over the photos are computed in blocks."""
        return isinstance(self.axes.X, ManyBlocks)

    @property
    def has_many_classes(self) -> bool:
        """Whether there are so many classes that each fit to all photos takes very long."""
        return self.is_in_blocks and self.n_classes > MANY_CLASSES

    def of_classes(self, classes: np.ndarray) -> _FitData:
        """Return the examples of some classes, int64 [k] in ascending order, which become the classes 0 to k - 1."""
        photos = np.flatnonzero(np.isin(self.y, classes))
        rows = np.flatnonzero(np.isin(self._photo_of_row, photos))
        selected = copy(self)
        selected.y, selected.n_classes = np.searchsorted(classes, self.y[photos]), len(classes)
        selected._n_train = int(np.searchsorted(photos, self._n_train))
        selected.axes = replace(self.axes, X=self.axes.X[rows])
        selected._photo_of_row = np.searchsorted(photos, self._photo_of_row[rows])
        return selected

    def sample(self, n_photos: int, photos: np.ndarray | None = None) -> np.ndarray:
        """Return about `n_photos` training and validation photos, evenly spaced within each class and part: bool [n].

        There is at least one photo of each class in each part.

        Args:
            n_photos: The number of photos.
            photos: bool [n], the photos to choose from; None for all.
        """
        is_eligible = np.ones(len(self.y), bool) if photos is None else photos
        fraction = n_photos / is_eligible.sum()
        is_sampled = np.zeros(len(self.y), bool)
        for start, end in ((0, self._n_train), (self._n_train, len(self.y))):
            eligible = start + np.flatnonzero(is_eligible[start:end])
            order = eligible[np.argsort(self.y[eligible], kind="stable")]
            counts = np.bincount(self.y[eligible], minlength=self.n_classes)
            for rows in np.split(order, np.cumsum(counts)[:-1]):
                count = min(len(rows), math.ceil(fraction * len(rows)))
                is_sampled[rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)]] = True
        return is_sampled

    def objective(self, photos: slice | np.ndarray) -> LogisticObjective:
        """Return the objective on some photos (a slice, or bool [n]) and their augmented views."""
        rows = photos
        if self._has_views:
            rows = np.flatnonzero(np.isin(self._photo_of_row, np.arange(len(self.y))[photos]))
        return LogisticObjective(self.axes.X[rows], self.y[self._photo_of_row[rows]], self.n_classes, self.balanced,
                                 self._n_features)

    def fold_path(self, fitted: slice | np.ndarray, held_out: slice | np.ndarray,
                  initial_coef: np.ndarray | None = None) -> FoldPath:
        """Return the path for one fold, not fitted yet."""
        held_out = np.flatnonzero(_to_mask(held_out, len(self.y))) if self.is_in_blocks else held_out
        X = self.axes.X if self.is_in_blocks else self.axes.X[:len(self.y)]
        return FoldPath(self.objective(fitted), X[held_out], self.y[held_out], initial_coef)
