"""Multinomial logistic regression with an L2 penalty, solved to its optimum.

The objective, for weights W and intercept b, is

    sum_i s_i * -log softmax(W x_i + b)[y_i]  +  l2 / 2 * |W|^2,    x_i = (bottleneck_i - mean) / scale

with sample weights s_i that sum to 1. The scale is one number for all features: the root mean square of the centered
bottlenecks. `PrincipalAxes.to_head` folds mean and scale into the weights, so that a head takes raw bottlenecks.

L-BFGS (Liu & Nocedal 1989; SciPy implements Byrd et al. 1995) works in the principal axes of the bottlenecks. There
the Hessian is nearly diagonal: about c * variance + l2 for each class and axis. Boehning (1992) bounds c by
(1 - 1 / n_classes) / 2. The mean of p * (1 - p) over the samples is a closer estimate, where p is the probability of
the class at the initial coefficients. Dividing by the square root of this diagonal gives all directions about the same
curvature, so that a fit takes a few iterations instead of dozens.

Conventions, as in scikit-learn's linear models:

    X         float [n_samples, n_axes], bottlenecks in principal axes
    y         int [n_samples], from 0 to n_classes - 1
    coef      float64 [n_classes, n_axes + 1]; the last column is the intercept
    gradient  float64, of the same shape as coef
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tfpoets.evaluation import cross_entropy, log_softmax

from .linear_head import LinearHead

# Arrays of up to this many elements (16 MB) are converted to float64. In larger ones the rounding errors of float32
# average out over the many photos.
MAX_FLOAT64_SIZE = 2_000_000
MAX_ITERATIONS = 1000


@dataclass(frozen=True, eq=False)
class PrincipalAxes:
    """Bottlenecks in their principal axes: X = (bottlenecks - mean) / scale @ components.

    Attributes:
        X: [n_samples, n_axes]; float64 up to MAX_FLOAT64_SIZE elements, float32 beyond.
        components: float32 [n_features, n_axes], orthonormal columns.
        mean: float32 [n_features].
        scale: The root mean square of the centered bottlenecks.
    """

    X: np.ndarray
    components: np.ndarray
    mean: np.ndarray
    scale: float

    def transform(self, bottlenecks: np.ndarray) -> np.ndarray:
        """Return other bottlenecks in the same axes: float32 [n, n_features] to [n, n_axes], in the dtype of `X`."""
        return ((bottlenecks - self.mean) / np.float32(self.scale) @ self.components).astype(self.X.dtype)

    def to_coef(self, head: LinearHead) -> np.ndarray:
        """Convert a head for raw bottlenecks to coefficients for `X`, float64 [n_classes, n_axes + 1]."""
        weights = self.scale * (head.weights.astype(np.float64).T @ self.components)
        intercept = head.bias.astype(np.float64) + self.mean @ head.weights.astype(np.float64)
        return np.column_stack([weights, intercept])

    def to_head(self, coef: np.ndarray, temperature: float) -> LinearHead:
        """Convert coefficients for `X` to the equivalent head for raw bottlenecks."""
        coef = coef - coef.mean(axis=0)  # softmax ignores a shift that all classes share
        weights = self.components.astype(np.float64) @ coef[:, :-1].T / self.scale
        bias = coef[:, -1] - self.mean.astype(np.float64) @ weights
        return LinearHead(weights.astype(np.float32), bias.astype(np.float32), temperature)


def compute_principal_axes(bottlenecks: np.ndarray) -> PrincipalAxes:
    """Rotate bottlenecks into their principal axes.

    One rotation serves every fit on a subset of the rows. Centering changes only the intercept, which is not
    penalized, and `LogisticObjective` adapts the penalty to the scale of the subset, so neither changes an optimum.
    Float32 is precise enough because any rotation gives the same optimum.

    Args:
        bottlenecks: float32 [n_samples, n_features]; overwritten.

    Returns:
        The bottlenecks in min(n_samples, n_features) axes.
    """
    from scipy.linalg import eigh  # imported here because label_image starts without SciPy
    mean = bottlenecks.mean(axis=0, dtype=np.float64).astype(np.float32)
    centered = np.subtract(bottlenecks, mean, out=bottlenecks)
    scale = math.sqrt(np.einsum("ij,ij->j", centered, centered, dtype=np.float64).mean() / len(centered)) or 1.0
    centered /= np.float32(scale)
    # With fewer photos than features, first project onto the space that the photos span.
    basis = np.linalg.qr(centered.T)[0] if len(centered) < centered.shape[1] else None
    X = centered if basis is None else centered @ basis
    rotation = eigh(X.T @ X, overwrite_a=True, driver="evd")[1]
    X = X @ rotation
    return PrincipalAxes(X.astype(np.float64) if X.size <= MAX_FLOAT64_SIZE else X,
                         rotation if basis is None else basis @ rotation, mean, scale)


class LogisticObjective:
    """The objective defined in the module docstring, on a set of samples.

    Args:
        X: The samples in principal axes.
        y: The targets of the samples.
        n_classes: The number of classes.
        balanced: Whether all classes have the same total weight.
        n_features: The number of features of the bottlenecks.
    """

    def __init__(self, X: np.ndarray, y: np.ndarray, n_classes: int, balanced: bool, n_features: int):
        self.X, self.y, self.n_classes = X, y, n_classes
        self.sample_weight = compute_sample_weight(y, balanced)
        mean = X.mean(axis=0, dtype=np.float64)
        variances = np.einsum("ij,ij->j", X, X, dtype=np.float64) / len(X) - mean * mean
        # Float64 [n_axes + 1]; the intercept counts as an axis of variance 1.
        self.variances = np.append(np.maximum(variances, 0), 1.0)
        # The penalty is defined for samples that are scaled by their own root mean square over all features.
        self._mean_square = variances.sum() / n_features if variances.sum() > 0 else 1.0

    def penalties(self, l2: float) -> np.ndarray:
        """Return p, float64 [n_axes + 1], for the penalty p / 2 * coef^2; it is 0 for the intercept."""
        penalties = np.full(len(self.variances), l2 * self._mean_square)
        penalties[-1] = 0
        return penalties

    def evaluate(self, coef: np.ndarray, l2: float) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the value, the gradient and the probabilities: float [n_samples, n_classes]."""
        log_probabilities = predict_log_proba(self.X, coef)
        probabilities = np.exp(log_probabilities)
        error = probabilities * self.sample_weight.astype(self.X.dtype)[:, None]
        error[np.arange(len(self.y)), self.y] -= self.sample_weight
        penalties = self.penalties(l2)
        gradient = penalties * coef
        gradient[:, :-1] += error.T @ self.X
        gradient[:, -1] += error.sum(axis=0, dtype=np.float64)
        value = (0.5 * np.sum(penalties * coef * coef)
                 + self.sample_weight @ cross_entropy(log_probabilities, self.y))
        return float(value), gradient, probabilities


def solve(objective: LogisticObjective, l2: float, initial_coef: np.ndarray, tolerance: float
          ) -> tuple[np.ndarray, int]:
    """Minimize the objective.

    Half the squared norm of the preconditioned gradient estimates how far the value is above the optimum (half the
    squared Newton decrement; Boyd & Vandenberghe 2004, 9.5.1).

    Args:
        objective: The function to minimize.
        l2: The strength of the penalty.
        initial_coef: The coefficients to start from.
        tolerance: The search ends when this estimate, as a fraction of the value, is at most `tolerance`, or when no
            step lowers the value by more than the rounding error.

    Returns:
        The coefficients at the optimum, and the number of iterations.
    """
    from scipy.optimize import minimize
    scaled = _PreconditionedObjective(objective, l2, initial_coef)
    if scaled.starts_at_optimum(tolerance):
        return initial_coef, 0

    def stop_at_optimum(_: np.ndarray) -> None:
        if scaled.excess <= tolerance:
            raise StopIteration

    result = minimize(scaled.evaluate, scaled.to_point(initial_coef), jac=True, method="L-BFGS-B",
                      callback=stop_at_optimum,
                      options={"maxiter": MAX_ITERATIONS, "maxfun": 2 * MAX_ITERATIONS, "ftol": 0, "gtol": 0})
    return scaled.to_coef(result.x), int(result.nit)


class _PreconditionedObjective:
    """The objective in units in which all directions have about the same curvature, for SciPy's `minimize`.

    If the estimated curvature is accurate, the Newton step from the initial coefficients has length 1 in these units.
    The first step that L-BFGS-B tries also has length 1, so it is a Newton step.
    """

    def __init__(self, objective: LogisticObjective, l2: float, initial_coef: np.ndarray):
        self._objective, self._l2, self._shape = objective, l2, initial_coef.shape
        self._initial_value, self._initial_gradient, probabilities = objective.evaluate(initial_coef, l2)
        # The small constant is the curvature of the intercept when all predictions are certain.
        curvature = objective.sample_weight @ (probabilities * (1 - probabilities)) + 1e-6
        unit = 1 / np.sqrt(curvature[:, None] * objective.variances + objective.penalties(l2))
        self._length = float(np.linalg.norm(self._initial_gradient * unit))
        self._unit = unit * self._length
        self._is_first_call = True
        # The estimated excess over the optimal value, as a fraction of the value.
        self.excess = math.inf

    def starts_at_optimum(self, tolerance: float) -> bool:
        return self._length * self._length / 2 <= tolerance * self._initial_value

    def to_point(self, coef: np.ndarray) -> np.ndarray:
        return (coef / self._unit).ravel()

    def to_coef(self, point: np.ndarray) -> np.ndarray:
        return point.reshape(self._shape) * self._unit

    def evaluate(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the value and the gradient, float64 [coef.size], and update `excess`."""
        if self._is_first_call:  # SciPy starts at the initial point, whose value is already known
            self._is_first_call = False
            value, gradient = self._initial_value, self._initial_gradient
        else:
            value, gradient, _ = self._objective.evaluate(self.to_coef(point), self._l2)
        gradient = gradient * self._unit
        self.excess = float(np.sum(gradient * gradient)) / (2 * self._length * self._length) / value
        return value, gradient.ravel()


def predict_log_proba(X: np.ndarray, coef: np.ndarray) -> np.ndarray:
    """Return log probabilities, [n_samples, n_classes], in the dtype of X."""
    coef = coef.astype(X.dtype)
    return log_softmax(X @ coef[:, :-1].T + coef[:, -1])


def compute_sample_weight(y: np.ndarray, balanced: bool) -> np.ndarray:
    """Return the weight of each sample, float64 [n_samples], with a sum of 1."""
    weights = 1 / np.bincount(y)[y] if balanced else np.ones(len(y))
    return weights / weights.sum()
