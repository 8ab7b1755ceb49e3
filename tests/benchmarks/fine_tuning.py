"""What training all layers gains over the last layer alone, on the same splits.

    python -m tests.benchmarks.fine_tuning --image_dir=PHOTOS [--tfhub_module=HANDLE] [--image_size=224] [--epochs=3]
        [--learning_rate=1e-4]

Each split is trained twice by retrain; the gain is that in the test accuracy of what it delivers, paired
by split: where the validation photos prefer the network as it was, that is delivered and the gain is 0.
"""
from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import tfpoets
from tfpoets.training import FineTuningOptions


def main() -> None:
    """Prints one row of a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--tfhub_module", default="efficientnet_lite0")
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learning_rate", type=float, default=1e-4)
    parser.add_argument("--testing_percentage", type=float, default=20)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    flags = parser.parse_args()
    rows = []
    for seed in range(flags.seeds):
        frozen, _, _, _ = trained(flags, seed, 0)
        tuned, kept, seconds, said = trained(flags, seed, flags.epochs)
        rows.append((frozen, tuned, kept, seconds))
        print(f"seed {seed}: {frozen:.4f} {tuned:.4f} {seconds:.0f} s; {said}", flush=True)
    before, after, kept, seconds = np.array(rows, float).T
    gain = after - before
    error = gain.std(ddof=1) / len(gain) ** 0.5
    print(f"| {flags.tfhub_module} | {flags.image_size} | {flags.epochs} | {100 * before.mean():.1f} "
          f"| {100 * after.mean():.1f} | {100 * gain.mean():+.2f} ± {100 * error:.2f} "
          f"| {int(kept.sum())} of {len(kept)} | {np.median(seconds):.0f} |")


def trained(flags: argparse.Namespace, seed: int, epochs: int) -> tuple[float, bool, float, str]:
    """Test accuracy of what retrain delivers, whether it is fine-tuned, seconds, and what was said of the choice."""
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
    return (result.metrics.accuracy, result.metadata.network.kind == "fine_tuned", seconds,
            result.metadata.network.fine_tuning)


if __name__ == "__main__":
    main()
