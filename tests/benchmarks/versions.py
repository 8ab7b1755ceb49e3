"""Compares the commands of this checkout with those of another one: whole processes, in turn.

git worktree add ../before f862d5e
python -m tests.benchmarks.versions ../before --image_dir=PHOTOS
"""
from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .timing import Times, in_turn

ROOT = Path(__file__).resolve().parents[2]


class Checkout:
    """Commands of a checkout, with caches and results of its own."""

    def __init__(self, root: Path, photos: Path, work: Path):
        self._root, self._photos, self._work = root, photos, work

    def run(self, command: str, *arguments: str) -> None:
        """Run a command in the checkout's folder, by its old name, which every version has."""
        subprocess.run([sys.executable, "-m", f"scripts.{command}", *arguments], cwd=self._root, check=True,
                       capture_output=True)

    def retrain(self) -> None:
        """Retrain with whatever the cache holds."""
        self.run("retrain", f"--image_dir={self._photos}", f"--output_graph={self._work}/g.pb",
                 f"--output_labels={self._work}/l.txt", f"--bottleneck_dir={self._work}/bottlenecks",
                 f"--model_dir={self._work}/models", f"--summaries_dir={self._work}/summaries")

    def retrain_cold(self) -> None:
        """Retrain with nothing in the cache, and the extractor not prepared."""
        shutil.rmtree(self._work, ignore_errors=True)
        self.retrain()

    def label(self) -> None:
        """Label one photo."""
        photo = next(path for path in sorted(self._photos.rglob("*.jpg")))
        self.run("label_image", f"--graph={self._work}/g.tflite", str(photo))


def row(name: str, new: Times, old: Times) -> str:
    """A row of the table."""
    return f"| {name} | {new.text()} | {old.text()} | {new.over(old).text()} |"


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=lambda text: Path(text).resolve())
    parser.add_argument("--image_dir", type=lambda text: Path(text).resolve(), required=True)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    print("| command | this, s | other, s | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        new, old = (Checkout(root, options.image_dir, Path(folder) / name)
                    for root, name in ((ROOT, "new"), (options.other, "old")))
        print(row("retrain, cold", *in_turn([new.retrain_cold, old.retrain_cold], options.runs)))
        print(row("retrain, warm", *in_turn([new.retrain, old.retrain], options.runs)))
        print(row("label_image", *in_turn([new.label, old.label], 3 * options.runs)))


if __name__ == "__main__":
    main()
