"""The last layer: multinomial logistic regression on bottlenecks, solved to its optimum."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

# Strengths of the L2 penalty that are tried, from strong to weak; on bottlenecks of unit mean variance.
L2_GRID = tuple(float(strength) for strength in np.logspace(1, -5, 19))
# Taken where no validation photo can choose; what the flower photos choose most often.
L2_WITHOUT_VALIDATION = L2_GRID[8]
# The path ends once the validation loss was above its minimum for so many strengths in a row.
STEPS_PAST_MINIMUM = 3
# Largest entry of the gradient (in the solver's preconditioned coordinates) at which a solution counts as the optimum;
# the loss is then within about 1e-6 of its minimum. The last fit, which is kept, goes further.
GRADIENT_ON_PATH, GRADIENT_AT_LAST = 1e-4, 1e-5
MOST_ITERATIONS = 1000


@dataclass(frozen=True)
class Head:
    """A softmax layer on raw bottlenecks.

    Attributes:
        weights: float32 [depth, classes].
        bias: float32 [classes].
        temperature: divides the logits before the softmax.
    """

    weights: np.ndarray
    bias: np.ndarray
    temperature: float = 1.0

    def logits(self, bottlenecks: np.ndarray) -> np.ndarray:
        """float32 [n, depth] -> float32 [n, classes]."""
        return bottlenecks @ self.weights + self.bias

    def probabilities(self, bottlenecks: np.ndarray) -> np.ndarray:
        """float32 [n, depth] -> float32 [n, classes], rows summing to 1."""
        return _softmax(self.logits(bottlenecks) / np.float32(self.temperature))


@dataclass(frozen=True)
class PathStep:
    """One strength of the L2 penalty: mean cross-entropies and accuracies (nan without validation photos)."""

    l2: float
    train_loss: float
    validation_loss: float
    train_accuracy: float
    validation_accuracy: float
    iterations: int


@dataclass(frozen=True)
class HeadFit:
    """A solved head.

    Attributes:
        head: the weights.
        l2: the strength that was chosen.
        path: the strengths that were tried, from strong to weak.
        refitted: whether the validation photos took part in the last fit.
    """

    head: Head
    l2: float
    path: tuple[PathStep, ...]
    refitted: bool


def fit_head(train: np.ndarray, train_classes: np.ndarray, validation: np.ndarray, validation_classes: np.ndarray,
             classes: int, *, balanced: bool = False, refit: bool = True,
             l2_grid: Sequence[float] = L2_GRID) -> HeadFit:
    """Solves the head along a path of L2 strengths, and chooses the strength with the lowest validation loss.

    The objective is mean cross-entropy plus l2 / 2 times the sum of squared weights (not of the bias), on
    bottlenecks that are centred and divided by one common scale, their root mean square: relative sizes of features
    carry information that scaling each by its own would throw away. The scaling is folded into the head.

    Args:
        train: float32 [n, depth] bottlenecks.
        train_classes: int [n], each of the classes at least once.
        validation: float32 [m, depth]; m may be 0, then L2_WITHOUT_VALIDATION is taken.
        validation_classes: int [m].
        classes: how many there are.
        balanced: weight photos so that every class counts alike (scikit-learn's class_weight="balanced").
        refit: solve once more with the chosen strength on training and validation photos together.
        l2_grid: strengths to try, from strong to weak.

    Raises:
        ValueError: a class has no training photo.
    """
    if len(np.unique(train_classes)) < classes:
        raise ValueError("every class needs at least one training photo")
    # On one thread: the problems are small, and NumPy's and SciPy's idle BLAS threads cost ten times what they compute.
    # It also makes the sums, and so the weights, the same on any number of cores.
    with threadpool_limits(1, user_api="blas"):
        return _fit(train, train_classes, validation, validation_classes, classes, balanced, refit, l2_grid)


def _fit(train: np.ndarray, train_classes: np.ndarray, validation: np.ndarray, validation_classes: np.ndarray,
         classes: int, balanced: bool, refit: bool, l2_grid: Sequence[float]) -> HeadFit:
    problem = _Problem(train, train_classes, classes, balanced)
    grid = tuple(l2_grid) if len(validation) else (L2_WITHOUT_VALIDATION,)
    steps, solutions = _path(problem, validation, validation_classes, grid)
    best = int(np.nanargmin([step.validation_loss for step in steps])) if len(validation) else 0
    l2, start = steps[best].l2, solutions[best]
    refitted = refit and len(validation) > 0
    if refitted:
        problem = _Problem(np.concatenate([train, validation]), np.concatenate([train_classes, validation_classes]),
                           classes, balanced)
        start = problem.start()
    solution, _ = problem.solve(l2, start, GRADIENT_AT_LAST)
    return HeadFit(problem.folded(solution), l2, tuple(steps), refitted)


def _path(problem: _Problem, validation: np.ndarray, validation_classes: np.ndarray,
          grid: tuple[float, ...]) -> tuple[list[PathStep], list[np.ndarray]]:
    """Solves strength after strength, each from where the one before it ended."""
    steps: list[PathStep] = []
    solutions: list[np.ndarray] = []
    solution = problem.start()
    rotated = problem.rotated(validation)
    for l2 in grid:
        solution, iterations = problem.solve(l2, solution, GRADIENT_ON_PATH)
        train_loss, train_accuracy = _loss_and_accuracy(_scores(problem.z, solution), problem.classes)
        loss, accuracy = _loss_and_accuracy(_scores(rotated, solution), validation_classes)
        steps.append(PathStep(l2, train_loss, loss, train_accuracy, accuracy, iterations))
        solutions.append(solution)
        losses = [step.validation_loss for step in steps]
        if len(losses) > STEPS_PAST_MINIMUM and min(losses[-STEPS_PAST_MINIMUM:]) > min(losses):
            break
    return steps, solutions


class _Problem:
    """Bottlenecks of one fit in the coordinates in which it is solved.

    Centred, divided by the common scale, and turned into their principal axes. There the Hessian's upper bound of
    Böhning (1992), (1 - 1/K) / 2 times the covariance, is diagonal, so that dividing by its root makes L-BFGS converge
    in some ten steps where the plain problem takes a hundred. With fewer photos than features the axes are as many as
    photos: the optimum has no part outside what they span.

    A solution is float64 [classes, axes + 1], the bias last.
    """

    def __init__(self, bottlenecks: np.ndarray, classes: np.ndarray, count: int, balanced: bool):
        self.classes, self._count = np.asarray(classes, np.int64), count
        n = len(bottlenecks)
        self._mean = bottlenecks.mean(0, dtype=np.float64).astype(np.float32)
        centred = bottlenecks - self._mean
        self._scale = np.float32(np.sqrt(np.square(centred, dtype=np.float64).mean())) or np.float32(1)
        centred /= self._scale
        self._variances, self._axes = _principal_axes(centred)
        self.z = centred @ self._axes
        counts = np.bincount(self.classes, minlength=count)
        photo_weights = (n / (count * counts))[self.classes] if balanced else np.ones(n)
        self._photo_weights = (photo_weights / n).astype(np.float32)[:, None]
        self._rows = np.arange(n)

    def start(self) -> np.ndarray:
        """All weights 0."""
        return np.zeros((self._count, self.z.shape[1] + 1))

    def rotated(self, bottlenecks: np.ndarray) -> np.ndarray:
        """Other bottlenecks in this problem's coordinates: float32 [m, depth] -> float32 [m, axes]."""
        return (bottlenecks - self._mean) / self._scale @ self._axes

    def solve(self, l2: float, start: np.ndarray, gradient: float) -> tuple[np.ndarray, int]:
        """The optimum for one strength by L-BFGS (Liu & Nocedal 1989), and how many iterations it took."""
        from scipy.optimize import minimize
        curvature = (1 - 1 / self._count) / 2
        steps = 1 / np.sqrt(np.append(curvature * self._variances + l2, curvature))
        penalised = np.append(np.full(self.z.shape[1], l2), 0)

        def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
            solution = flat.reshape(start.shape) * steps
            loss, slope = self._loss(solution)
            slope += penalised * solution
            return loss + 0.5 * float((penalised * solution * solution).sum()), (slope * steps).ravel()
        found = minimize(objective, (start / steps).ravel(), jac=True, method="L-BFGS-B",
                         options={"gtol": gradient, "ftol": 0, "maxiter": MOST_ITERATIONS,
                                  "maxfun": 2 * MOST_ITERATIONS})
        return found.x.reshape(start.shape) * steps, int(found.nit)

    def _loss(self, solution: np.ndarray) -> tuple[float, np.ndarray]:
        """The weighted mean cross-entropy and its gradient, float64 like `solution`."""
        scores = _scores(self.z, solution)
        scores -= scores.max(1, keepdims=True)
        true = scores[self._rows, self.classes]
        np.exp(scores, out=scores)
        sums = scores.sum(1, keepdims=True)
        losses = np.log(sums[:, 0]) - true
        scores /= sums
        scores[self._rows, self.classes] -= 1
        scores *= self._photo_weights
        slope = np.empty_like(solution)
        slope[:, :-1] = scores.T @ self.z
        slope[:, -1] = scores.sum(0, dtype=np.float64)
        return float((losses * self._photo_weights[:, 0]).sum(dtype=np.float64)), slope

    def folded(self, solution: np.ndarray) -> Head:
        """The same answers from raw bottlenecks: axes, scale and mean go into weights and bias."""
        weights = self._axes.astype(np.float64) @ solution[:, :-1].T / self._scale
        bias = solution[:, -1] - self._mean @ weights
        return Head(weights.astype(np.float32), bias.astype(np.float32))


def _principal_axes(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variances float64 [axes], axes float32 [depth, axes] of float32 [n, depth]; axes are n or depth, the fewer."""
    from scipy.linalg import eigh
    n, depth = centred.shape
    if n > depth:
        variances, axes = eigh(centred.T @ centred / np.float32(n))
        return np.maximum(variances, 0).astype(np.float64), np.ascontiguousarray(axes)
    # Float64 here: small eigenvalues are divided by.
    wide = centred.astype(np.float64)
    variances, photos = eigh(wide @ wide.T / n)
    kept = variances > 1e-10 * max(variances[-1], 1e-30)
    axes = wide.T @ photos[:, kept] / np.sqrt(variances[kept] * n)
    return variances[kept], np.ascontiguousarray(axes, np.float32)


def _scores(z: np.ndarray, solution: np.ndarray) -> np.ndarray:
    single = solution.astype(np.float32)
    return z @ single[:, :-1].T + single[:, -1]


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)


def _loss_and_accuracy(scores: np.ndarray, classes: np.ndarray) -> tuple[float, float]:
    """Mean cross-entropy and share of correct answers; nan without photos."""
    if not len(classes):
        return float("nan"), float("nan")
    true = _softmax(scores)[np.arange(len(classes)), classes].astype(np.float64)
    return float(-np.log(np.maximum(true, 1e-12)).mean()), float((scores.argmax(1) == classes).mean())
