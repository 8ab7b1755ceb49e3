"""Measure the mean test accuracy over many splits.

python -m tests.benchmarks.accuracy_over_seeds --image_dir=PHOTOS [--tfhub_module=HANDLE] [--image_size=N]

All splits use the same cached bottlenecks; only the head is trained for each seed.
"""
from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from tfpoets.data import TEST, TRAINING, VALIDATION, SplitOptions, read_dataset, split_photos
from tfpoets.evaluation import evaluate
from tfpoets.extractors import extract_bottlenecks, open_extractor
from tfpoets.training import fit_head


def main() -> None:
    """Print one row of a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--tfhub_module", default="efficientnet_lite0")
    parser.add_argument("--image_size", type=int)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    flags = parser.parse_args()
    extractor = open_extractor(flags.tfhub_module, model_dir=flags.work_dir / "models", image_size=flags.image_size)
    bottlenecks = extract_bottlenecks(read_dataset(flags.image_dir), extractor, flags.work_dir / "bottlenecks")
    accuracies, losses, start = [], [], time.perf_counter()
    for seed in range(flags.seeds):
        dataset = split_photos(bottlenecks.dataset, SplitOptions(seed=seed))
        train, validation, test = (dataset.part(part) for part in (TRAINING, VALIDATION, TEST))
        head = fit_head(train, validation).head
        metrics = evaluate(head.probabilities(test.X), test.y)
        accuracies.append(metrics.accuracy)
        losses.append(metrics.cross_entropy)
    standard_error = np.std(accuracies, ddof=1) / np.sqrt(len(accuracies))
    seconds = (time.perf_counter() - start) / flags.seeds
    print(f"| {Path(extractor.handle).name} | {extractor.height} | {len(bottlenecks.dataset)} | "
          f"{100 * np.mean(accuracies):.1f} ± {100 * standard_error:.1f} | {np.mean(losses):.3f} | {seconds:.2f} |")


if __name__ == "__main__":
    main()
