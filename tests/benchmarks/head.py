"""The head with its whole L2 path against one scikit-learn fit at the chosen strength, on synthetic bottlenecks.

    python -m tests.benchmarks.head [--photos=2900 --classes=5] [--depth=1280]

Without --photos: 2,900 x 5, 50,000 x 10 and 20,000 x 200. Bottlenecks are rectified sums of class means, of directions
of falling strength that all classes share, and of noise. scikit-learn has the same scaling and objective, in float32,
and the loosest of several tolerances with which it comes within 1e-4 of the best objective.
"""
from __future__ import annotations

import argparse

import numpy as np
from sklearn.linear_model import LogisticRegression

from tfpoets.data import Examples
from tfpoets.training import LBFGSFit, fit_head

from .timing import in_turn

SIZES = ((2900, 5), (50_000, 10), (20_000, 200))
TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
VALIDATION = 0.1


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int)
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--depth", type=int, default=1280)
    parser.add_argument("--runs", type=int, default=5)
    flags = parser.parse_args()
    print("| photos x depth x classes | strengths tried | chosen | ours, s | scikit-learn, s | ours / scikit-learn | "
          "objective, ours / best |")
    print("|---|---|---|---|---|---|---|")
    for photos, classes in [(flags.photos, flags.classes)] if flags.photos else SIZES:
        print(row(photos, flags.depth, classes, flags.runs), flush=True)


def bottlenecks(photos: int, depth: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Synthetic bottlenecks float32 [photos, depth] and classes int [photos]."""
    random = np.random.default_rng(seed)
    y = random.integers(0, classes, photos)
    shared = random.normal(size=(200, depth)) * (1 / np.sqrt(1 + np.arange(200)))[:, None]
    means = random.normal(0, 0.12, (classes, depth)).astype(np.float32)
    x = (random.normal(size=(photos, 200)).astype(np.float32) @ shared.astype(np.float32) * np.float32(0.5)
         + means[y] + random.normal(0, 1, (photos, depth)).astype(np.float32))
    return np.maximum(x, 0), y


def row(photos: int, depth: int, classes: int, runs: int) -> str:
    """Measures both in turn."""
    x, y = bottlenecks(photos, depth, classes)
    held = round(VALIDATION * photos)
    train, validation = slice(held, None), slice(held)

    def ours() -> LBFGSFit:
        return fit_head(Examples(x[train], y[train], classes), Examples(x[validation], y[validation], classes))
    fit = ours()
    centre = x.mean(axis=0)
    scaled = (x - centre) / np.float32(np.sqrt(((x - centre) ** 2).mean()))
    scale = float(np.sqrt(((x - centre) ** 2).mean()))

    def objective(weights: np.ndarray, bias: np.ndarray) -> float:
        logits = scaled.astype(np.float64) @ weights + bias
        peak = logits.max(axis=1)
        losses = peak + np.log(np.exp(logits - peak[:, None]).sum(axis=1)) - logits[np.arange(len(y)), y]
        return float(losses.mean() + fit.l2 / 2 * np.sum(weights * weights))
    head = fit.head  # folded with its temperature left out: these are the weights that were solved
    reached = objective(head.weights.astype(np.float64) * scale,
                        head.bias + centre.astype(np.float64) @ head.weights.astype(np.float64))

    def theirs(tolerance: float) -> LogisticRegression:
        return LogisticRegression(C=1 / (len(y) * fit.l2), solver="lbfgs", tol=tolerance, max_iter=10_000).fit(
            scaled, y)
    objectives = {}
    for tolerance in TOLERANCES:
        model = theirs(tolerance)
        weights, bias = model.coef_.T.astype(np.float64), model.intercept_.astype(np.float64)
        objectives[tolerance] = objective(weights, bias)
        if objectives[tolerance] <= reached * (1 + 1e-4):
            break
    tolerance = next(each for each, value in objectives.items()
                     if value <= min(reached, *objectives.values()) * (1 + 1e-4))
    own, other = in_turn([ours, lambda: theirs(tolerance)], runs)
    return (f"| {photos:,} x {depth:,} x {classes} | {len(fit.path)} | {fit.l2:.2g} | {own.text()} | {other.text()} "
            f"| **{own.over(other).text()}** | {reached / min(reached, *objectives.values()) - 1:.1e} above |")


if __name__ == "__main__":
    main()
