"""Compare forecasts from learning curves with the accuracy of heads that are trained on more photos.

python -m tests.benchmarks.learning_curve --image_dir=PHOTOS [--photos=1000] [--more=2900] [--seeds=10]

For each seed, the curve is measured on a random draw of photos. It forecasts the accuracy on 770 other photos (or as
many as --test_photos says) of a head that is trained on these and new ones. All draws use the same cached bottlenecks.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from tfpoets.data import Examples, read_dataset, split_photos
from tfpoets.extractors import extract_bottlenecks, open_extractor
from tfpoets.training import QUICK_CURVE, CurveOptions, LBFGSFit, fit_head, measure_learning_curve

VALIDATION_FRACTION = 0.1


def main() -> None:
    """Print the rows of a Markdown table, and a summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--tfhub_module", default="efficientnet_lite0")
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--more", type=int, default=2900)
    parser.add_argument("--test_photos", type=int, default=770)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="measure the curve as a run without --advice does")
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    flags = parser.parse_args()
    extractor = open_extractor(flags.tfhub_module, model_dir=flags.work_dir / "models")
    dataset = split_photos(extract_bottlenecks(read_dataset(flags.image_dir), extractor,
                                               flags.work_dir / "bottlenecks").dataset)
    assert dataset.split is not None
    examples, all_groups = dataset.examples(), dataset.split.groups
    rows = []
    for seed in range(flags.seeds):
        order = np.random.default_rng(seed).permutation(len(dataset))
        test_rows, train_rows = order[:flags.test_photos], order[flags.test_photos:]
        test, train = take(examples, test_rows), take(examples, train_rows[:flags.photos])
        curve = measure_learning_curve(train, test, fit(train), (all_groups[train_rows[:flags.photos]], None),
                                       QUICK_CURVE if flags.quick else CurveOptions())
        forecast = curve.law.forecast(flags.more)
        head = fit(take(examples, train_rows[:flags.more])).head
        actual = float((head.probabilities(test.X).argmax(axis=1) == test.y).mean())
        low, high = forecast.interval
        rows.append((curve.now, forecast.accuracy, low, high, actual))
        print(f"| {seed} | {curve.now:.1%} | {forecast.accuracy:.1%} | {low:.1%} to {high:.1%} | {actual:.1%} | "
              f"{'yes' if low <= actual <= high else 'no'} |", flush=True)
    now, expected, low, high, actual = np.array(rows).T
    print(f"inside: {((low <= actual) & (actual <= high)).sum()} of {len(rows)}; widest: "
          f"{100 * max((high - expected).max(), (expected - low).max()):.2f} points to one side; mean error "
          f"{100 * (expected - actual).mean():+.2f}, root mean square error {100 * rms(expected - actual):.2f} points "
          f"(of the current accuracy as a forecast: {100 * rms(now - actual):.2f})")


def take(examples: Examples, rows: np.ndarray) -> Examples:
    """Return some of the rows, in this order."""
    return Examples(examples.X[rows], examples.y[rows], examples.n_classes)


def fit(examples: Examples) -> LBFGSFit:
    """Fit a head as retrain does, with the last tenth of the photos for validation."""
    n_train = round(len(examples) * (1 - VALIDATION_FRACTION))
    rows = np.arange(len(examples))
    return fit_head(take(examples, rows[:n_train]), take(examples, rows[n_train:]))


def rms(values: np.ndarray) -> float:
    """Return the root mean square."""
    return float(np.sqrt((values ** 2).mean()))


if __name__ == "__main__":
    main()
