"""Measure the effect of temperature scaling on the test metrics, over many splits.

python -m tests.benchmarks.calibration_over_seeds --image_dir=PHOTOS [--tfhub_module=HANDLE] [--image_size=N]

All splits use the same cached bottlenecks; only the head is trained for each seed.
"""
from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfpoets.data import TEST, TRAINING, VALIDATION, SplitOptions, read_dataset, split_photos
from tfpoets.evaluation import evaluate
from tfpoets.extractors import extract_bottlenecks, open_extractor
from tfpoets.training import fit_head

FITTED, NONE = "fitted", "none (T = 1)"


def main() -> None:
    """Print the rows of a Markdown table, and the temperatures and gains."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--tfhub_module", default="efficientnet_lite0")
    parser.add_argument("--image_size", type=int)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    flags = parser.parse_args()
    extractor = open_extractor(flags.tfhub_module, model_dir=flags.work_dir / "models", image_size=flags.image_size)
    bottlenecks = extract_bottlenecks(read_dataset(flags.image_dir), extractor, flags.work_dir / "bottlenecks")
    figures: dict[str, list[tuple[float, float]]] = {FITTED: [], NONE: []}
    temperatures = []
    for seed in range(flags.seeds):
        dataset = split_photos(bottlenecks.dataset, SplitOptions(seed=seed))
        train, validation, test = (dataset.part(part) for part in (TRAINING, VALIDATION, TEST))
        fitted_head = fit_head(train, validation).head
        temperatures.append(fitted_head.temperature)
        for name, head in ((FITTED, fitted_head), (NONE, replace(fitted_head, temperature=1.0))):
            metrics = evaluate(head.probabilities(test.X), test.y)
            figures[name].append((metrics.cross_entropy, metrics.expected_calibration_error))
    print(f"temperature {np.mean(temperatures):.2f} ± {np.std(temperatures):.2f} (standard deviation), "
          f"{np.min(temperatures):.2f} to {np.max(temperatures):.2f}")
    for name, rows in figures.items():
        losses, calibration_errors = np.array(rows).T
        print(f"| {extractor.name} | {extractor.height} | {len(bottlenecks.dataset)} | {name} | "
              f"{format_mean(losses)} | {format_mean(calibration_errors)} |")
    gains = np.array(figures[NONE]) - np.array(figures[FITTED])
    print(f"paired gain from the temperature: cross-entropy {format_mean(gains[:, 0])}, "
          f"calibration error {format_mean(gains[:, 1])}")


def format_mean(values: np.ndarray) -> str:
    """Return the mean and its standard error as text."""
    return f"{values.mean():.4f} ± {values.std(ddof=1) / np.sqrt(len(values)):.4f}"


if __name__ == "__main__":
    main()
