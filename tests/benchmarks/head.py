"""Compare training the head, with its whole L2 path, with a single scikit-learn fit at the chosen L2 strength.

    python -m tests.benchmarks.head [--photos=2900 --classes=5] [--depth=1280]

Without --photos, the sizes are 2,900 photos of 5 classes, 50,000 of 10 and 20,000 of 200. The bottlenecks are
synthetic: rectified sums of class means, of directions of decreasing strength that all classes share, and of noise.
scikit-learn gets the same scaled float32 features and objective, and the loosest of several tolerances with which it
comes within 1e-4 of the best objective.
"""
from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from sklearn.linear_model import LogisticRegression

from tfpoets.data import Examples
from tfpoets.training import LBFGSFit, fit_head

from .timing import time_alternately

# (number of photos, number of classes)
SIZES = ((2900, 5), (50_000, 10), (20_000, 200))
TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
VALIDATION_FRACTION = 0.1


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int)
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--depth", type=int, default=1280)
    parser.add_argument("--runs", type=int, default=5)
    flags = parser.parse_args()
    print("| photos x depth x classes | strengths tried | chosen | tfpoets, s | scikit-learn, s | "
          "tfpoets / scikit-learn | excess of tfpoets' objective over the best |")
    print("|---|---|---|---|---|---|---|")
    for photos, classes in [(flags.photos, flags.classes)] if flags.photos else SIZES:
        print(compare(photos, flags.depth, classes, flags.runs), flush=True)


def synthetic_bottlenecks(n_photos: int, depth: int, n_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return synthetic bottlenecks X, float32 [n_photos, depth], and targets y, int64 [n_photos]."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n_photos)
    directions = rng.normal(size=(200, depth)) * (1 / np.sqrt(1 + np.arange(200)))[:, None]
    means = rng.normal(0, 0.12, (n_classes, depth)).astype(np.float32)
    X = (rng.normal(size=(n_photos, 200)).astype(np.float32) @ directions.astype(np.float32) * np.float32(0.5)
         + means[y] + rng.normal(0, 1, (n_photos, depth)).astype(np.float32))
    return np.maximum(X, 0), y


def compare(n_photos: int, depth: int, n_classes: int, runs: int) -> str:
    """Time both fits alternately, and return the row of the table."""
    X, y = synthetic_bottlenecks(n_photos, depth, n_classes)
    n_validation = round(VALIDATION_FRACTION * n_photos)
    train = Examples(X[n_validation:], y[n_validation:], n_classes)
    validation = Examples(X[:n_validation], y[:n_validation], n_classes)

    def fit_tfpoets() -> LBFGSFit:
        return fit_head(train, validation)
    fit = fit_tfpoets()
    center = X.mean(axis=0)
    scale = float(np.sqrt(((X - center) ** 2).mean()))
    X_scaled = (X - center) / np.float32(scale)
    # The head's weights are for unscaled bottlenecks. Its temperature is not part of them.
    weights = fit.head.weights.astype(np.float64)
    loss = objective(X_scaled, y, weights * scale, fit.head.bias + center.astype(np.float64) @ weights, fit.l2)

    def fit_sklearn(tolerance: float) -> LogisticRegression:
        return LogisticRegression(C=1 / (len(y) * fit.l2), solver="lbfgs", tol=tolerance, max_iter=10_000).fit(
            X_scaled, y)
    tolerance, best_loss = choose_tolerance(fit_sklearn, X_scaled, y, fit.l2, loss)
    ours, sklearn = time_alternately([fit_tfpoets, lambda: fit_sklearn(tolerance)], runs)
    return (f"| {n_photos:,} x {depth:,} x {n_classes} | {len(fit.path)} | {fit.l2:.2g} | {ours.text()} "
            f"| {sklearn.text()} | **{ours.ratio_to(sklearn).text()}** | {loss / best_loss - 1:.1e} above |")


def objective(X: np.ndarray, y: np.ndarray, weights: np.ndarray, bias: np.ndarray, l2: float) -> float:
    """Return the mean cross-entropy in nats plus the L2 penalty, computed in float64."""
    logits = X.astype(np.float64) @ weights + bias
    peak = logits.max(axis=1)
    losses = peak + np.log(np.exp(logits - peak[:, None]).sum(axis=1)) - logits[np.arange(len(y)), y]
    return float(losses.mean() + l2 / 2 * np.sum(weights * weights))


def choose_tolerance(fit_sklearn: Callable[[float], LogisticRegression], X: np.ndarray, y: np.ndarray, l2: float,
                     loss: float) -> tuple[float, float]:
    """Return the loosest tolerance with which scikit-learn comes within 1e-4 of the best objective, and the best.

    Args:
        fit_sklearn: Fits with a tolerance.
        X: The scaled features, float32 [n_photos, depth].
        y: The targets, int64 [n_photos].
        l2: The L2 strength.
        loss: The objective that tfpoets reaches.
    """
    losses: dict[float, float] = {}
    for tolerance in TOLERANCES:
        model = fit_sklearn(tolerance)
        losses[tolerance] = objective(X, y, model.coef_.T.astype(np.float64), model.intercept_.astype(np.float64), l2)
        if losses[tolerance] <= loss * (1 + 1e-4):
            break
    best = min(loss, *losses.values())
    return next(tolerance for tolerance, value in losses.items() if value <= best * (1 + 1e-4)), best


if __name__ == "__main__":
    main()
