"""What several views of a photo gain: averaged (--views), and as varied copies for the last layer (--augmented_views).

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

FOLDS = 5
COPIES = (0, 1, 4)


def main() -> None:
    """Prints two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    flags = parser.parse_args()
    print("| views | right of all photos, each answered by a head of other folds |\n|---|---|")
    for views in VIEW_COUNTS:
        extractor = open_extractor("efficientnet_lite0", model_dir=flags.work_dir / "models",
                                   image_size=flags.image_size, views=views)
        seen = extract_bottlenecks(read_dataset(flags.image_dir), extractor, flags.work_dir / "bottlenecks")
        print(f"| {views} | {folds(seen)} |", flush=True)
    extractor = open_extractor("efficientnet_lite0", model_dir=flags.work_dir / "models", image_size=flags.image_size)
    seen = extract_bottlenecks(read_dataset(flags.image_dir), extractor, flags.work_dir / "bottlenecks")
    print("\n| copies of each training photo | test accuracy, mean of splits | gain, paired |\n|---|---|---|")
    for row in copies(seen, extractor, flags.work_dir / "bottlenecks", flags.seeds):
        print(row)


def folds(seen: Bottlenecks) -> str:
    """Accuracy with its interval over three divisions into folds."""
    examples = seen.dataset.examples()
    found = []
    for seed in range(3):
        parts = np.random.default_rng(seed).integers(0, FOLDS, len(examples))
        found.append(evaluate(out_of_fold_probabilities(examples, parts), examples.y))
    low, high = found[0].interval
    return (f"{100 * np.mean([each.accuracy for each in found]):.2f} % (95 % interval of one division "
            f"{100 * low:.1f} to {100 * high:.1f})")


def copies(seen: Bottlenecks, extractor: Extractor, cache: Path, seeds: int) -> list[str]:
    """A row for each number of copies."""
    varied, _ = extract_augmented(seen.dataset.photos, extractor, cache, DEFAULT_AUGMENTATION, max(COPIES))
    found = np.empty((seeds, len(COPIES)))
    for seed in range(seeds):
        dataset = split_photos(seen.dataset, SplitOptions(20, 10, seed))
        train, validation, test = (dataset.part(part) for part in (TRAINING, VALIDATION, TEST))
        for column, count in enumerate(COPIES):
            fitting, choosing = (
                replace(examples, augmented=varied[dataset.rows(part), :count] if count else None)
                for examples, part in ((train, TRAINING), (validation, VALIDATION)))
            head = fit_head(fitting, choosing).head
            found[seed, column] = 100 * evaluate(head.probabilities(test.X), test.y).accuracy
    gains = found - found[:, :1]
    errors = gains.std(axis=0, ddof=1) / seeds ** 0.5
    return [f"| {count} | {found[:, column].mean():.1f} % | {gains[:, column].mean():+.2f} ± {errors[column]:.2f} |"
            for column, count in enumerate(COPIES)]


if __name__ == "__main__":
    main()
