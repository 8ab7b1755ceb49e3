"""Compare fine-tuning all layers with training only the last layer, on the same splits.

    python -m tests.benchmarks.fine_tuning --image_dir=PHOTOS [--tfhub_module=HANDLE] [--image_size=N] [--epochs=4]
        [--learning_rate=X] [--splits=0,1,2,3,4]

The default values are those of retrain, which runs twice for each split, with and without fine-tuning. The gain is the
difference in test accuracy of the two classifiers, paired by split. If fine-tuning does not clearly lower the
validation loss, retrain keeps the frozen network and the gain is 0. The last column is the peak memory of the whole
process.
"""
from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

import tfpoets
from tfpoets.training import FineTuningOptions


class Run(NamedTuple):
    """One run of retrain.

    Attributes:
        accuracy: The test accuracy of the classifier.
        is_fine_tuned: Whether the classifier uses the fine-tuned network.
        seconds: The duration.
        comparison: A sentence that compares the two networks.
        learning_rate: The learning rate of fine-tuning; nan if the classifier does not use the fine-tuned network.
    """

    accuracy: float
    is_fine_tuned: bool
    seconds: float
    comparison: str
    learning_rate: float


def main() -> None:
    """Print one row of a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--tfhub_module", default="efficientnet_lite0")
    parser.add_argument("--image_size", type=int)
    parser.add_argument("--epochs", type=int, default=FineTuningOptions().epochs)
    parser.add_argument("--learning_rate", type=float)
    parser.add_argument("--testing_percentage", type=float, default=20)
    parser.add_argument("--splits", default="0,1,2,3,4")
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    flags = parser.parse_args()
    rows = []
    for seed in map(int, flags.splits.split(",")):
        frozen = retrain(flags, seed, epochs=0)
        tuned = retrain(flags, seed, flags.epochs)
        rows.append((frozen.accuracy, tuned.accuracy, tuned.is_fine_tuned, tuned.seconds))
        print(f"split {seed}: {frozen.accuracy:.4f} {tuned.accuracy:.4f} {tuned.seconds:.0f} s, learning rate "
              f"{tuned.learning_rate:.2g}; {tuned.comparison}", flush=True)
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # in KB on Linux
    before, after, is_fine_tuned, seconds = np.array(rows, float).T
    gains = after - before
    standard_error = gains.std(ddof=1) / len(gains) ** 0.5 if len(gains) > 1 else np.nan
    print(f"| {flags.tfhub_module} | {flags.image_size or 'default'} | {flags.epochs} | {100 * before.mean():.1f} "
          f"| {100 * after.mean():.1f} | {100 * gains.mean():+.2f} ± {100 * standard_error:.2f} "
          f"| {int(is_fine_tuned.sum())} of {len(is_fine_tuned)} | {np.median(seconds):.0f} | {gigabytes:.1f} |")


def retrain(flags: argparse.Namespace, seed: int, epochs: int) -> Run:
    """Run retrain on one split, without fine-tuning if `epochs` is 0."""
    folder = flags.work_dir / "fine_tuning"
    start = time.perf_counter()
    result = tfpoets.retrain(
        flags.image_dir, handle=flags.tfhub_module, image_size=flags.image_size, seed=seed, doctor=False,
        fine_tuning=FineTuningOptions(epochs=epochs, learning_rate=flags.learning_rate) if epochs else None,
        testing_percentage=flags.testing_percentage, model_dir=flags.work_dir / "models",
        bottleneck_dir=flags.work_dir / "bottlenecks", output_graph=folder / "graph.pb",
        output_labels=folder / "labels.txt", summaries_dir=folder / "summaries")
    seconds = time.perf_counter() - start
    assert result.metrics is not None
    network = result.metadata.network
    rate = result.metadata.head.details.get("learning_rate", np.nan)
    return Run(result.metrics.accuracy, network.kind == "fine_tuned", seconds, network.fine_tuning, rate)


if __name__ == "__main__":
    main()
