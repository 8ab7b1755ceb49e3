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

Up to MAX_ONE_BLOCK values, the bottlenecks are rotated into their principal axes once, and all sums over the samples
are computed at once. Beyond, they are computed in blocks of rows, from bottlenecks in memory or in a file.

Conventions, as in scikit-learn's linear models:

    X         float [n_samples, n_axes], bottlenecks in principal axes: an array, or ManyBlocks
    y         int [n_samples], from 0 to n_classes - 1
    coef      float64 [n_classes, n_axes + 1]; the last column is the intercept
    gradient  float64, of the same shape as coef
"""
from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tfpoets.evaluation import cross_entropy, log_softmax

from .linear_head import LinearHead
from .row_blocks import ManyBlocks, as_blocks

# Arrays of up to this many elements (16 MB) are converted to float64. In larger ones the rounding errors of float32
# average out over the many photos.
MAX_FLOAT64_SIZE = 2_000_000
# With more features and logits than this (6,000 photos with 1,280 features and 100 classes), the sums over the samples
# are computed in blocks.
MAX_ONE_BLOCK = 8_400_000
# The principal axes of many samples are those of this many, evenly spaced, which makes no difference to the optimum.
AXES_SAMPLES = 16_384
MAX_ITERATIONS = 1000
# Smaller probabilities, times the weight of a sample, may be denormal float32 numbers, with which a matrix product
# takes up to 200 times as long. They make no difference to a sum of float32 numbers.
MIN_LOG_PROBABILITY = -50.0
# The number of gradients from which L-BFGS estimates the curvature. With many coefficients, SciPy takes longer for
# more of them than for the gradient, and they save no iterations.
MAX_CORRECTIONS, MAX_CORRECTIONS_IN_BLOCKS = 10, 4


@dataclass(frozen=True, eq=False)
class PrincipalAxes:
    """Bottlenecks in their principal axes: X = (bottlenecks - mean) / scale @ components.

    Attributes:
        X: [n_samples, n_axes]; float64 up to MAX_FLOAT64_SIZE elements, float32 beyond; ManyBlocks if they are
            computed in blocks.
        components: float32 [n_features, n_axes], orthonormal columns.
        mean: float32 [n_features].
        scale: The root mean square of the centered bottlenecks.
    """

    X: np.ndarray | ManyBlocks
    components: np.ndarray
    mean: np.ndarray
    scale: float

    def transform(self, bottlenecks: np.ndarray) -> np.ndarray | ManyBlocks:
        """Return other bottlenecks in the same axes: float32 [n, n_features] to [n, n_axes], in the type of `X`."""
        if isinstance(self.X, ManyBlocks):
            return self.X.with_bottlenecks(bottlenecks)
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


def compute_principal_axes(bottlenecks: Any, n_classes: int = 0) -> PrincipalAxes:
    """Rotate bottlenecks into their principal axes, or prepare to do so in blocks.

    One rotation serves every fit on a subset of the rows. Centering changes only the intercept, which is not
    penalized, and `LogisticObjective` adapts the penalty to the scale of the subset, so neither changes an optimum.
    Float32 is precise enough because any rotation gives the same optimum.

    Args:
        bottlenecks: float32 [n_samples, n_features], an array or StoredRows.
        n_classes: The number of classes, which determines whether the sums are computed in blocks.

    Returns:
        The bottlenecks in min(n_samples, n_features) axes.
    """
    n_samples, n_features = bottlenecks.shape
    if n_samples * (n_features + n_classes) <= MAX_ONE_BLOCK:
        return _rotate(np.array(bottlenecks, np.float32))
    # With fewer samples than features, the axes must span all of them.
    count = min(n_samples, max(AXES_SAMPLES, 2 * n_features))
    axes = _rotate(np.array(bottlenecks[np.linspace(0, n_samples - 1, count).astype(np.int64)], np.float32))
    variances = np.square(np.asarray(axes.X, np.float64)).mean(axis=0)
    blocks = ManyBlocks(bottlenecks, axes.components, axes.mean, axes.scale, variances)
    return replace(axes, X=blocks)


def _rotate(bottlenecks: np.ndarray) -> PrincipalAxes:
    """Rotate bottlenecks, float32 [n_samples, n_features], into their principal axes; they are overwritten."""
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

    def __init__(self, X: np.ndarray | ManyBlocks, y: np.ndarray, n_classes: int, balanced: bool, n_features: int):
        self.X, self.y, self.n_classes, self._blocks = X, y, n_classes, as_blocks(X)
        self.sample_weight = compute_sample_weight(y, balanced)
        variances, total_variance = self._blocks.variances()
        if not np.isfinite(total_variance):
            raise ValueError("a bottleneck is not finite")
        # Float64 [n_axes + 1]; the intercept counts as an axis of variance 1.
        self.variances = np.append(np.maximum(variances, 0), 1.0)
        # The penalty is defined for samples that are scaled by their own root mean square over all features.
        self._mean_square = total_variance / n_features if total_variance > 0 else 1.0

    @property
    def is_in_blocks(self) -> bool:
        """Whether the samples are in more than one block."""
        return isinstance(self.X, ManyBlocks)

    def penalties(self, l2: float) -> np.ndarray:
        """Return p, float64 [n_axes + 1], for the penalty p / 2 * coef^2; it is 0 for the intercept."""
        penalties = np.full(len(self.variances), l2 * self._mean_square)
        penalties[-1] = 0
        return penalties

    def evaluate(self, coef: np.ndarray, l2: float, with_curvatures: bool = False
                 ) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the value, the gradient, and the mean of p * (1 - p) for each class: float64 [n_classes].

        The latter is 0 unless `with_curvatures` is set.
        """
        penalties, weights = self.penalties(l2), self._blocks.weights(coef)
        loss, products = 0.0, np.zeros((self.n_classes, len(weights[0])))
        sums, curvatures = np.zeros(self.n_classes), np.zeros(self.n_classes)
        for block_loss, block_products, block_sums, block_curvatures in self._blocks.map(
                lambda rows, block: self._evaluate_block(rows, block, weights, with_curvatures), self.n_classes):
            loss += block_loss
            products += block_products
            sums += block_sums
            curvatures += block_curvatures
        gradient = penalties * coef
        gradient[:, :-1] += self._blocks.to_axes(products, sums)
        gradient[:, -1] += sums
        return float(0.5 * np.sum(penalties * coef * coef) + loss), gradient, curvatures

    def _evaluate_block(self, rows: slice, block: np.ndarray, weights: tuple[np.ndarray, np.ndarray],
                        with_curvatures: bool) -> tuple[float, np.ndarray, np.ndarray, np.ndarray | float]:
        """Return the loss, error.T @ block, the sum of the errors, and the curvatures for some of the samples."""
        y, sample_weight = self.y[rows], self.sample_weight[rows]
        log_probabilities = log_softmax(block @ weights[0] + weights[1])
        loss = sample_weight @ cross_entropy(log_probabilities, y)
        np.maximum(log_probabilities, MIN_LOG_PROBABILITY, out=log_probabilities)
        probabilities = np.exp(log_probabilities, out=log_probabilities)
        curvatures = sample_weight @ (probabilities * (1 - probabilities)) if with_curvatures else 0.0
        error = np.multiply(probabilities, sample_weight.astype(block.dtype)[:, None], out=probabilities)
        error[np.arange(len(y)), y] -= sample_weight
        return loss, error.T @ block, error.sum(axis=0, dtype=np.float64), curvatures


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
                      options={"maxiter": MAX_ITERATIONS, "maxfun": 2 * MAX_ITERATIONS, "ftol": 0, "gtol": 0,
                               "maxcor": MAX_CORRECTIONS_IN_BLOCKS if objective.is_in_blocks else MAX_CORRECTIONS})
    return scaled.to_coef(result.x), int(result.nit)


class _PreconditionedObjective:
    """The objective in units in which all directions have about the same curvature, for SciPy's `minimize`.

    If the estimated curvature is accurate, the Newton step from the initial coefficients has length 1 in these units.
    The first step that L-BFGS-B tries also has length 1, so it is a Newton step.
    """

    def __init__(self, objective: LogisticObjective, l2: float, initial_coef: np.ndarray):
        self._objective, self._l2, self._shape = objective, l2, initial_coef.shape
        self._initial_value, self._initial_gradient, curvature = objective.evaluate(initial_coef, l2, True)
        curvature = curvature + 1e-6  # the curvature of the intercept when all predictions are certain
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


def predict_log_proba(X: np.ndarray | ManyBlocks, coef: np.ndarray) -> np.ndarray:
    """Return log probabilities, [n_samples, n_classes], in the dtype of X."""
    blocks = as_blocks(X)
    weights, bias = blocks.weights(coef)
    predictions = list(blocks.map(lambda rows, block: log_softmax(block @ weights + bias), len(coef)))
    return predictions[0] if len(predictions) == 1 else np.concatenate(predictions)


def predict_losses(X: np.ndarray | ManyBlocks, coef: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cross-entropy of each sample, and whether it is classified correctly: [n_samples] each."""
    blocks = as_blocks(X)
    weights, bias = blocks.weights(coef)

    def predict(rows: slice, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        log_probabilities = log_softmax(block @ weights + bias)
        return cross_entropy(log_probabilities, y[rows]), log_probabilities.argmax(axis=1) == y[rows]
    losses, correct = zip(*blocks.map(predict, len(coef)))
    return np.concatenate(losses), np.concatenate(correct)


def compute_sample_weight(y: np.ndarray, balanced: bool) -> np.ndarray:
    """Return the weight of each sample, float64 [n_samples], with a sum of 1."""
    weights = 1 / np.bincount(y)[y] if balanced else np.ones(len(y))
    return weights / weights.sum()
