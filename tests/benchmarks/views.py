"""Measure the gain from averaging views of each photo (--views), and from augmented views (--augmented_views).

python -m tests.benchmarks.views --image_dir=PHOTOS [--image_size=224] [--seeds=8]
"""
from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfpoets.data import DEFAULT_AUGMENTATION, TEST, TRAINING, VALIDATION, SplitOptions, read_dataset, split_photos
from tfpoets.evaluation import evaluate
from tfpoets.extractors import (VIEW_COUNTS, Bottlenecks, Extractor, extract_augmented, extract_bottlenecks,
                                open_extractor)
from tfpoets.training import fit_head, out_of_fold_probabilities

N_FOLDS = 5
AUGMENTED_VIEW_COUNTS = (0, 1, 4)


def main() -> None:
    """Print two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    flags = parser.parse_args()
    print("| views | accuracy on all photos, cross-validated |\n|---|---|")
    for views in VIEW_COUNTS:
        extractor = open_extractor("efficientnet_lite0", model_dir=flags.work_dir / "models",
                                   image_size=flags.image_size, views=views)
        bottlenecks = extract_bottlenecks(read_dataset(flags.image_dir), extractor, flags.work_dir / "bottlenecks")
        print(f"| {views} | {cross_validate(bottlenecks)} |", flush=True)
    extractor = open_extractor("efficientnet_lite0", model_dir=flags.work_dir / "models", image_size=flags.image_size)
    bottlenecks = extract_bottlenecks(read_dataset(flags.image_dir), extractor, flags.work_dir / "bottlenecks")
    print("\n| augmented views of each training photo | test accuracy, mean of splits | gain, paired |\n|---|---|---|")
    for row in compare_augmented_views(bottlenecks, extractor, flags.work_dir / "bottlenecks", flags.seeds):
        print(row)


def cross_validate(bottlenecks: Bottlenecks) -> str:
    """Return the mean accuracy of three cross-validations, with the 95 % interval of one of them, as text."""
    examples = bottlenecks.dataset.examples()
    metrics = []
    for seed in range(3):
        folds = np.random.default_rng(seed).integers(0, N_FOLDS, len(examples))
        metrics.append(evaluate(out_of_fold_probabilities(examples, folds), examples.y))
    low, high = metrics[0].interval
    return (f"{100 * np.mean([result.accuracy for result in metrics]):.2f} % (95 % interval of one cross-validation: "
            f"{100 * low:.1f} to {100 * high:.1f})")


def compare_augmented_views(bottlenecks: Bottlenecks, extractor: Extractor, cache: Path, seeds: int) -> list[str]:
    """Return a row of the table for each number of augmented views."""
    counts = AUGMENTED_VIEW_COUNTS
    augmented, _ = extract_augmented(bottlenecks.dataset.photos, extractor, cache, DEFAULT_AUGMENTATION, max(counts))
    accuracies = np.empty((seeds, len(counts)))  # percent
    for seed in range(seeds):
        dataset = split_photos(bottlenecks.dataset, SplitOptions(20, 10, seed))
        train, validation, test = (dataset.part(part) for part in (TRAINING, VALIDATION, TEST))
        for column, count in enumerate(counts):
            augmented_train, augmented_validation = (
                replace(examples, augmented=augmented[dataset.rows(part), :count] if count else None)
                for examples, part in ((train, TRAINING), (validation, VALIDATION)))
            head = fit_head(augmented_train, augmented_validation).head
            accuracies[seed, column] = 100 * evaluate(head.probabilities(test.X), test.y).accuracy
    gains = accuracies - accuracies[:, :1]
    standard_errors = gains.std(axis=0, ddof=1) / seeds ** 0.5
    return [f"| {count} | {accuracies[:, column].mean():.1f} % "
            f"| {gains[:, column].mean():+.2f} ± {standard_errors[column]:.2f} |"
            for column, count in enumerate(counts)]


if __name__ == "__main__":
    main()
