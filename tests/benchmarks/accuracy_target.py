"""Measure whether thresholds for an accuracy target keep their promise on new photos.

python -m tests.benchmarks.accuracy_target --image_dir=PHOTOS [--photos=1000] [--seeds=10]

For each seed and target, a head is trained on a random draw of photos, its threshold is chosen as retrain does, and
its answers for all other photos are counted. All draws use the same cached bottlenecks.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from tfpoets.data import TRAINING, VALIDATION, SplitOptions, read_dataset, split_photos
from tfpoets.decisions import choose_threshold
from tfpoets.evaluation import evaluate_answered
from tfpoets.extractors import extract_bottlenecks, open_extractor
from tfpoets.retrain_options import RetrainOptions
from tfpoets.training import TrainingResult, fit_head

TARGETS = (0.95, 0.98, 0.99)


def main() -> None:
    """Print the rows of a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--tfhub_module", default="efficientnet_lite0")
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    flags = parser.parse_args()
    extractor = open_extractor(flags.tfhub_module, model_dir=flags.work_dir / "models")
    dataset = extract_bottlenecks(read_dataset(flags.image_dir), extractor, flags.work_dir / "bottlenecks").dataset
    results: dict[float, list[tuple[float, float, bool, bool]]] = {target: [] for target in TARGETS}
    for seed in range(flags.seeds):
        is_used = np.zeros(len(dataset), bool)
        is_used[np.random.default_rng(seed).permutation(len(dataset))[:flags.photos]] = True
        new = dataset.examples().select(~is_used)
        split = split_photos(dataset.select(is_used), SplitOptions(testing_percentage=0, seed=seed))
        fit = fit_head(split.part(TRAINING), split.part(VALIDATION))
        probabilities = fit.head.probabilities(new.X)
        correct = probabilities.argmax(axis=1) == new.y
        for target in TARGETS:
            options = RetrainOptions(image_dir=flags.image_dir, accuracy_target=target)
            training = TrainingResult(extractor, split, fit.head, fit)
            unsure = choose_threshold(training, None, options, lambda event: None)
            assert unsure is not None
            answered = evaluate_answered(probabilities.max(axis=1) >= unsure.threshold, correct)
            if answered.accuracy is not None and answered.accuracy_interval is not None:
                results[target].append((answered.accuracy, answered.coverage, answered.accuracy >= target,
                                        answered.accuracy_interval[1] >= target))
    for target, rows in results.items():
        accuracy, coverage, met, within = np.array(rows).T
        print(f"| {flags.photos} | {target:.0%} | {len(rows)} of {flags.seeds} | {accuracy.mean():.1%} "
              f"({accuracy.min():.1%} to {accuracy.max():.1%}) | {coverage.mean():.0%} | {int(met.sum())} | "
              f"{int(within.sum())} |")


if __name__ == "__main__":
    main()
