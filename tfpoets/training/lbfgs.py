"""The new last layer: multinomial logistic regression on bottlenecks, solved to its optimum.

What is minimised, over weights W and bias b, with x' = (x - centre) / scale for each bottleneck x:

    weighted mean of -log softmax(W x' + b)[true class]  +  l2 / 2 * |W|^2

The centre is the mean bottleneck, the scale one number for all features: the root mean square of what is centred. The
result is folded back, so that a head takes bottlenecks as they are.

L-BFGS (Liu & Nocedal 1989; SciPy's version is Byrd et al. 1995) finds the optimum for one L2 strength after the other,
from strong to weak, each started from the ones before (Friedman, Hastie & Tibshirani 2010). It works in the principal
axes of the bottlenecks. There the Hessian is nearly diagonal: about c * variance + l2 for each class and axis, where
Boehning (1992) bounds c by (1 - 1 / classes) / 2 and the class's mean p * (1 - p) at the start is closer. Divided by
the root of that, all directions curve alike, and a strength takes a few iterations instead of dozens.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from tfpoets.data import Examples
from tfpoets.errors import check_choice, check_flag
from tfpoets.evaluation import cross_entropy, fit_temperature, log_softmax

from .curves import Curves, curves_of
from .linear_head import LinearHead

# Three a decade: around its minimum the validation loss changes by about 1 % from one to the next. 600 photos of five
# classes choose from 0.001 to 0.2, 50,000 of ten 0.002.
L2_GRID: tuple[float, ...] = tuple(float(strength) for strength in np.logspace(1, -4, 16))
CLASS_WEIGHTS = ("none", "balanced")
# For photos that leave none to try a strength on: one photo a class, none for validation.
UNTRIED_L2 = 0.1

# An optimum is reached when |scaled gradient|^2 / 2, which estimates what is left to gain (half the squared Newton
# decrement; Boyd & Vandenberghe 2004, 9.5.1), falls below this share of the objective: along the path, and at the end.
PATH_TOLERANCE = 1e-4
TOLERANCE = 1e-7
MAX_ITERATIONS = 1000
# Up to this many numbers (16 MB) rows are float64; beyond it the mean over many photos levels float32's rounding.
SMALL = 2_000_000

# The path ends early, after this many strengths, when as many in a row lose this much against the best.
MIN_STEPS = 8
LOSING_STEPS = 3
LOSING_FACTOR = 1.02
FOLDS = 5


@dataclass(frozen=True)
class HeadOptions:
    """How the last layer is solved.

    Attributes:
        class_weight: "none", or "balanced": a photo weighs n / (classes * photos of its class), so that every class
            counts alike.
        refit: fit once more, on training and validation photos, with the chosen strength.
    """

    class_weight: str = "none"
    refit: bool = True

    def __post_init__(self) -> None:
        check_choice("class_weight", self.class_weight, CLASS_WEIGHTS)
        check_flag("refit", self.refit)

    @property
    def balanced(self) -> bool:
        """Whether every class counts alike."""
        return self.class_weight == "balanced"


@dataclass(frozen=True)
class PathStep:
    """The optimum for one L2 strength (to PATH_TOLERANCE).

    Attributes:
        l2: the strength.
        train_loss, validation_loss: mean cross-entropy in nats, without the penalty; if balanced, mean of the classes.
        train_accuracy, validation_accuracy: shares of photos, 0 to 1.
        iterations: of L-BFGS.
    """

    l2: float
    train_loss: float
    validation_loss: float
    train_accuracy: float
    validation_accuracy: float
    iterations: int


@dataclass(frozen=True)
class LBFGSFit:
    """A head and how it was found.

    Attributes:
        head: solved to TOLERANCE.
        l2: its strength, that of the step with the smallest validation loss.
        path: a step for each strength tried, from strong to weak.
        refitted: whether the head was fitted once more, on training and validation photos.
        iterations: of L-BFGS, in all.
    """

    head: LinearHead
    l2: float
    path: tuple[PathStep, ...]
    refitted: bool
    iterations: int

    def description(self) -> dict[str, Any]:
        """For the metadata."""
        return {"solver": "lbfgs", "l2": self.l2, "temperature": self.head.temperature, "refitted": self.refitted}

    def curves(self) -> Curves:
        """Return the figures along the path."""
        return curves_of(enumerate(self.path), l2_strength=[step.l2 for step in self.path])


class LBFGSTrainer:
    """Solves the head to its optimum."""

    name = "lbfgs"
    options = HeadOptions

    def fit(self, train: Examples, validation: Examples, options: HeadOptions, on_event: Callable[[Any], None]
            ) -> LBFGSFit:
        """Fit a head; see `fit_head`. An event `HeadFitted` tells of it."""
        fit = fit_head(train, validation, options)
        on_event(HeadFitted(fit))
        return fit


def fit_head(train: Examples, validation: Examples, options: HeadOptions = HeadOptions(),
             l2_grid: Sequence[float] = L2_GRID) -> LBFGSFit:
    """Choose L2 strength and temperature by the validation photos and fit the head.

    Without validation photos, 5-fold cross-validation inside the training photos chooses: each class in five runs of
    neighbours, a class of one photo never held out. Same arguments, same machine: the same bytes. Augmented views,
    where the examples have them, are fitted to as well; strength and temperature are chosen by photos as they are.

    Args:
        train: at least one photo of each class.
        validation: may be empty.
        options: how.
        l2_grid: strengths to choose from, above 0; evenly spaced in their logarithm they are solved fastest.

    Raises:
        ValueError: a class without a training photo, or a bottleneck that is not finite.
    """
    missing = np.flatnonzero(np.bincount(train.y, minlength=train.n_classes) == 0)
    if len(missing):
        raise ValueError(f"classes without a training photo: {missing.tolist()}")
    # On one thread: idle BLAS threads of NumPy and SciPy that wait for one another cost 30 times what they compute.
    # It also makes the sums, and so the weights, the same on any number of cores.
    with threadpool_limits(1, user_api="blas"):
        return _fit(train, validation, options, l2_grid)


def _fit(train: Examples, validation: Examples, options: HeadOptions, l2_grid: Sequence[float]) -> LBFGSFit:
    balanced = options.balanced
    y = np.concatenate([train.y, validation.y]).astype(np.intp)
    depth = train.X.shape[1]
    augmented = [part.augmented for part in (train, validation) if part.augmented is not None]
    rows = [train.X, validation.X, *(each.reshape(-1, depth) for each in augmented)]
    axes = principal_axes(np.concatenate(rows).astype(np.float32, copy=False))
    # The photo that each row shows: photos as they are come first, then the augmented views of each in turn.
    owner = np.arange(len(y))
    owner = np.append(owner, np.repeat(owner, augmented[0].shape[1])) if augmented else owner

    def problem(part: slice | np.ndarray) -> Problem:
        rows = part if not augmented else np.flatnonzero(np.isin(owner, np.arange(len(y))[part]))
        return Problem(axes.rows[rows], y[owner[rows]], train.n_classes, balanced, depth)

    pairs = _folds(y, len(train))
    trials = [_Trial(problem(fitted), axes.rows[:len(y)][held], y[held]) for fitted, held in pairs]
    tried = any(len(trial.held_y) for trial in trials)
    path = _walk(trials, sorted(l2_grid, reverse=True) if tried else [UNTRIED_L2], balanced)
    best = int(np.argmin([step.validation_loss for step in path]))
    temperature, start, iterations = _temperature(trials, best, path[best].l2)
    refitted = options.refit and len(validation) > 0
    final = problem(slice(None) if refitted else slice(len(train)))
    weights, more = solve(final, path[best].l2, start, TOLERANCE)
    return LBFGSFit(axes.folded(weights, temperature), path[best].l2, path, refitted,
                   more + iterations + sum(step.iterations for step in path))


@dataclass(frozen=True)
class HeadFitted:
    """Event: the last layer has been solved."""

    fit: LBFGSFit


@dataclass(frozen=True, eq=False)
class _Axes:
    """Bottlenecks in their principal axes: rows = (bottlenecks - centre) / scale @ directions."""

    rows: np.ndarray  # [n, axes], float64 if small, else float32
    directions: np.ndarray  # float32 [depth, axes], orthonormal
    centre: np.ndarray  # float32 [depth]
    scale: float

    def folded(self, weights: np.ndarray, temperature: float) -> LinearHead:
        """The head that does to bottlenecks what `weights` (float64 [classes, axes + 1], bias last) do to rows."""
        weights = weights - weights.mean(axis=0)  # softmax ignores what all classes share
        raw = self.directions.astype(np.float64) @ weights[:, :-1].T / self.scale
        bias = weights[:, -1] - self.centre.astype(np.float64) @ raw
        return LinearHead(raw.astype(np.float32), bias.astype(np.float32), temperature)


def principal_axes(bottlenecks: np.ndarray) -> _Axes:
    """Turns float32 [n, depth], which it overwrites, into min(n, depth) axes; float32 will do: any rotation is exact.

    One rotation serves every fit on some of the rows. The centre shifts the bias, which is not penalised, and a scale
    of their own is a factor of the L2 strength (in Problem), so neither changes any optimum.
    """
    from scipy.linalg import eigh  # here and below, because label_image starts without SciPy
    centre = bottlenecks.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = np.subtract(bottlenecks, centre, out=bottlenecks)
    scale = math.sqrt(np.einsum("ij,ij->j", centred, centred, dtype=np.float64).mean() / len(centred)) or 1.0
    centred /= np.float32(scale)
    # Fewer photos than features span fewer axes: leave the others out first.
    span = np.linalg.qr(centred.T)[0] if len(centred) < centred.shape[1] else None
    rows = centred if span is None else centred @ span
    turn = eigh(rows.T @ rows, overwrite_a=True, driver="evd")[1]
    rows = rows @ turn
    return _Axes(rows.astype(np.float64) if rows.size <= SMALL else rows,
                 turn if span is None else span @ turn, centre, scale)


class Problem:
    """The objective on some of the rows, as a function of float64 [classes, axes + 1] (bias last) and the strength."""

    def __init__(self, rows: np.ndarray, y: np.ndarray, classes: int, balanced: bool, depth: int):
        self.rows, self.y, self.classes = rows, y, classes
        self.photo_weights = _photo_weights(y, balanced)
        mean = rows.mean(axis=0, dtype=np.float64)
        variances = np.einsum("ij,ij->j", rows, rows, dtype=np.float64) / len(rows) - mean * mean
        self.variances = np.append(np.maximum(variances, 0), 1.0)
        # |W|^2 is meant for rows divided by their own root mean square, over all features.
        self.square_scale = variances.sum() / depth if variances.sum() > 0 else 1.0

    def penalties(self, l2: float) -> np.ndarray:
        """Float64 [axes + 1]: half of it times the squared weight is added to the loss; nothing for the bias."""
        penalties = np.full(len(self.variances), l2 * self.square_scale)
        penalties[-1] = 0
        return penalties

    def objective(self, weights: np.ndarray, l2: float) -> tuple[float, np.ndarray, np.ndarray]:
        """Value, gradient (shaped like weights) and the probabilities [n, classes]."""
        log_probabilities = answers_of(self.rows, weights)
        probabilities = np.exp(log_probabilities)
        error = probabilities * self.photo_weights.astype(self.rows.dtype)[:, None]
        error[np.arange(len(self.y)), self.y] -= self.photo_weights
        penalties = self.penalties(l2)
        gradient = penalties * weights
        gradient[:, :-1] += error.T @ self.rows
        gradient[:, -1] += error.sum(axis=0, dtype=np.float64)
        value = (0.5 * np.sum(penalties * weights * weights)
                 + self.photo_weights @ cross_entropy(log_probabilities, self.y))
        return float(value), gradient, probabilities


def solve(problem: Problem, l2: float, start: np.ndarray, tolerance: float) -> tuple[np.ndarray, int]:
    """The weights at the optimum, and the iterations it took.

    It also ends where rounding lets no step lower the objective any more.
    """
    from scipy.optimize import minimize
    value, gradient, probabilities = problem.objective(start, l2)
    # The small term: where every photo is certain, the bias would have no curvature at all.
    curvature = problem.photo_weights @ (probabilities * (1 - probabilities)) + 1e-6
    unit = 1 / np.sqrt(curvature[:, None] * problem.variances + problem.penalties(l2))
    length = float(np.linalg.norm(gradient * unit))
    if length * length / 2 <= tolerance * value:
        return start, 0
    # The first step that L-BFGS-B tries has length 1: in this unit it is Newton's, as far as the curvature is right.
    unit *= length
    known = [(value, gradient)]  # SciPy begins by asking for the start
    left = math.inf

    def evaluate(point: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal left
        value, gradient = known.pop() if known else problem.objective(point.reshape(start.shape) * unit, l2)[:2]
        scaled = gradient * unit
        left = float(np.sum(scaled * scaled)) / (2 * length * length) / value
        return value, scaled.ravel()

    def stop(_: np.ndarray) -> None:
        if left <= tolerance:
            raise StopIteration

    result = minimize(evaluate, (start / unit).ravel(), jac=True, method="L-BFGS-B", callback=stop,
                      options={"maxiter": MAX_ITERATIONS, "maxfun": 2 * MAX_ITERATIONS, "ftol": 0, "gtol": 0})
    return result.x.reshape(start.shape) * unit, int(result.nit)


class _Trial:
    """The way along the path of one fit, and the photos held out of it."""

    def __init__(self, problem: Problem, held_rows: np.ndarray, held_y: np.ndarray):
        self.problem, self.held_rows, self.held_y = problem, held_rows, held_y
        self.solutions = [np.zeros((problem.classes, len(problem.variances)))]

    def step(self, l2: float) -> int:
        """Adds the solution for the next strength and returns its iterations."""
        before, last = self.solutions[-2:][0], self.solutions[-1]
        # As far again as the last step went: a third fewer iterations than from where it ended.
        solution, iterations = solve(self.problem, l2, last + (last - before), PATH_TOLERANCE)
        self.solutions.append(solution)
        return iterations


def _walk(trials: list[_Trial], l2_grid: Sequence[float], balanced: bool) -> tuple[PathStep, ...]:
    """Goes along the path with all trials side by side."""
    path: list[PathStep] = []
    for l2 in l2_grid:
        iterations = sum(trial.step(l2) for trial in trials)
        train = _loss_and_accuracy([(trial.problem.rows, trial.problem.y, trial.solutions[-1]) for trial in trials],
                                   balanced)
        held = _loss_and_accuracy([(trial.held_rows, trial.held_y, trial.solutions[-1]) for trial in trials], balanced)
        path.append(PathStep(l2, train[0], held[0], train[1], held[1], iterations))
        losses = [step.validation_loss for step in path]
        if len(path) >= MIN_STEPS and min(losses[-LOSING_STEPS:]) > LOSING_FACTOR * min(losses):
            break
    return tuple(path)


def _temperature(trials: list[_Trial], step: int, l2: float) -> tuple[float, np.ndarray, int]:
    """The temperature for one step of the path, by the photos that were held out of it.

    Returns:
        The temperature, the first trial's solution, and iterations: the step is solved to TOLERANCE first, because a
        head that is nearly without penalty grows more certain of itself until the very end.
    """
    answers, truth, solutions, iterations = [], [], [], 0
    for trial in trials:
        weights, more = solve(trial.problem, l2, trial.solutions[step + 1], TOLERANCE)
        solutions.append(weights)
        iterations += more
        answers.append(answers_of(trial.held_rows, weights))
        truth.append(trial.held_y)
    return fit_temperature(np.concatenate(answers), np.concatenate(truth)), solutions[0], iterations


def _loss_and_accuracy(parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]], balanced: bool) -> tuple[float, float]:
    """Of the photos of all parts (rows, classes, weights) together; not a number where there are none."""
    y = np.concatenate([part_y for _, part_y, _ in parts])
    if not len(y):
        return math.nan, math.nan
    answers = np.concatenate([answers_of(rows, weights) for rows, _, weights in parts])
    loss = _photo_weights(y, balanced) @ cross_entropy(answers, y)
    return float(loss), float(np.mean(answers.argmax(axis=1) == y))


def _folds(y: np.ndarray, train: int) -> list[tuple[slice | np.ndarray, slice | np.ndarray]]:
    """Which rows to fit on and which to hold out: the validation photos, or five folds where there are none."""
    if train < len(y):
        return [(slice(train), slice(train, None))]
    fold = np.full(len(y), -1)
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        if len(members) > 1:
            fold[members] = np.arange(len(members)) * FOLDS // len(members)
    pairs = [(fold != number, fold == number) for number in range(FOLDS)]
    return [pair for pair in pairs if pair[1].any()] or pairs[:1]


def _photo_weights(y: np.ndarray, balanced: bool) -> np.ndarray:
    """What each photo counts, float64 [n], 1 in all."""
    weights = 1 / np.bincount(y)[y] if balanced else np.ones(len(y))
    return weights / weights.sum()


def answers_of(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Log probabilities [n, classes] in the rows' dtype."""
    weights = weights.astype(rows.dtype)
    return log_softmax(rows @ weights[:, :-1].T + weights[:, -1])
