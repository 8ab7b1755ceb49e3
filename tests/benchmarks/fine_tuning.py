"""What training all layers gains over the last layer alone, on the same splits.

    python -m tests.benchmarks.fine_tuning --image_dir=PHOTOS [--tfhub_module=HANDLE] [--image_size=224] [--epochs=3]
        [--learning_rate=1e-4]

Each split is trained twice by the retrain command; the gain is that in the test accuracy of what it delivers, paired
by split: where the validation photos prefer the network as it was, that is delivered and the gain is 0.
"""
from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import time
from pathlib import Path

import numpy as np

from tfpoets.cli import retrain


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
    said = io.StringIO()
    start = time.perf_counter()
    with contextlib.redirect_stdout(said):
        code = retrain.main([
            f"--image_dir={flags.image_dir}", f"--tfhub_module={flags.tfhub_module}",
            f"--image_size={flags.image_size}", f"--fine_tune_epochs={epochs}", f"--seed={seed}", "--nodoctor",
            *([f"--learning_rate={flags.learning_rate}"] if epochs else []),
            f"--testing_percentage={flags.testing_percentage}", f"--model_dir={flags.work_dir / 'models'}",
            f"--bottleneck_dir={flags.work_dir / 'bottlenecks'}", f"--output_graph={folder / 'graph.pb'}",
            f"--output_labels={folder / 'labels.txt'}", f"--summaries_dir={folder / 'summaries'}"])
    assert code == 0, said.getvalue()
    seconds = time.perf_counter() - start
    metadata = json.loads((folder / "graph.json").read_text("utf-8"))
    choice = re.search("Validation loss .*? is kept", " ".join(said.getvalue().split()))
    return (metadata["test"]["accuracy"], metadata["network"]["kind"] == "fine_tuned", seconds,
            choice[0] if choice else "")


if __name__ == "__main__":
    main()
