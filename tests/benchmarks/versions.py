"""Compare the running times of the commands in this checkout with those in another checkout.

git worktree add ../before f862d5e
python -m tests.benchmarks.versions ../before --image_dir=PHOTOS

Each command is a new process, and the two versions run alternately.
"""
from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .timing import Measurements, time_alternately

ROOT = Path(__file__).resolve().parents[2]


class Checkout:
    """The commands of a checkout, with a separate folder for caches and results."""

    def __init__(self, root: Path, photos: Path, work_dir: Path):
        self._root, self._photos, self._work_dir = root, photos, work_dir

    def run(self, command: str, *arguments: str) -> None:
        """Run a command in the checkout's folder, through its script in scripts/, which exists in every version."""
        subprocess.run([sys.executable, "-m", f"scripts.{command}", *arguments], cwd=self._root, check=True,
                       capture_output=True)

    def retrain(self) -> None:
        """Retrain with the current state of the cache."""
        self.run("retrain", f"--image_dir={self._photos}", f"--output_graph={self._work_dir}/g.pb",
                 f"--output_labels={self._work_dir}/l.txt", f"--bottleneck_dir={self._work_dir}/bottlenecks",
                 f"--model_dir={self._work_dir}/models", f"--summaries_dir={self._work_dir}/summaries")

    def retrain_cold(self) -> None:
        """Retrain with an empty cache and without a prepared extractor."""
        shutil.rmtree(self._work_dir, ignore_errors=True)
        self.retrain()

    def label(self) -> None:
        """Label one photo."""
        photo = next(path for path in sorted(self._photos.rglob("*.jpg")))
        self.run("label_image", f"--graph={self._work_dir}/g.tflite", str(photo))


def format_row(name: str, new: Measurements, old: Measurements) -> str:
    """Return a row of the table, with the times of this checkout first."""
    return f"| {name} | {new.text()} | {old.text()} | {new.ratio_to(old).text()} |"


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=lambda text: Path(text).resolve())
    parser.add_argument("--image_dir", type=lambda text: Path(text).resolve(), required=True)
    parser.add_argument("--runs", type=int, default=5)
    flags = parser.parse_args()
    print("| command | this, s | other, s | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        new, old = (Checkout(root, flags.image_dir, Path(folder) / name)
                    for root, name in ((ROOT, "new"), (flags.other, "old")))
        print(format_row("retrain, cold", *time_alternately([new.retrain_cold, old.retrain_cold], flags.runs)))
        print(format_row("retrain, warm", *time_alternately([new.retrain, old.retrain], flags.runs)))
        print(format_row("label_image", *time_alternately([new.label, old.label], 3 * flags.runs)))


if __name__ == "__main__":
    main()
