"""Measure the data doctor's time and memory on large fabricated datasets.

    python -m tests.benchmarks.scale_doctor neighbours --photos=100000 --depth=1280
    python -m tests.benchmarks.scale_doctor labels --photos=50000 --classes=100
    python -m tests.benchmarks.scale_doctor examine --photos=100000 --classes=100
    python -m tests.benchmarks.scale_doctor quality --image_dir=PHOTOS

`neighbours` plants near copies of 1% of the photos and prints which fraction of them is found. `labels` makes 1% of
the labels wrong and prints how many of them are found; its neighbours are those in the first 64 dimensions, and their
time is not measured. `examine` runs all detectors on photos without files. Bottlenecks are written to a temporary file
and read from there, as those of a dataset that is larger than memory. `quality` makes 5% of the labels of real photos
wrong, and compares what is found with all heads, with heads that were trained on samples, and by the neighbours alone.
"""
from __future__ import annotations

import argparse
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tfpoets.cli.paths import TF_FILES
from tfpoets.data import Dataset, Photo, Split, read_dataset, split_photos
from tfpoets.doctor import examine, find_label_issues, find_neighbours, label_votes, wrong_labels
from tfpoets.extractors import ExtractorOptions, extract_bottlenecks, open_extractor

BLOCK = 10_000
COPIED, WRONG = 0.01, 0.01
# The maximum number of photos for ten heads, of photos that other heads are trained on, and of their scores.
METHODS = {"ten heads": (20_000, 0, 0), "two heads": (1, 20_000, 5_000_000),
           "two heads, 150 photos each": (1, 150, 5_000_000), "neighbours": (1, 20_000, 1)}


def make_bottlenecks(path: Path, y: np.ndarray, depth: int) -> np.ndarray:
    """Write bottlenecks to a file: [len(y), depth], with a few directions of much variance, like those of photos.

    The last photos are near copies of the first ones.
    """
    rng = np.random.default_rng(0)
    scales = (1 / (1 + np.arange(depth)) ** 0.5).astype(np.float32)
    centers = rng.standard_normal((int(y.max()) + 1, depth), np.float32)
    X = np.lib.format.open_memmap(path, "w+", np.float32, (len(y), depth))
    for start in range(0, len(y), BLOCK):
        rows = slice(start, start + BLOCK)
        X[rows] = (centers[y[rows]] + 1.5 * rng.standard_normal(X[rows].shape, np.float32)) * scales + scales
    n_copies = round(COPIED * len(y))
    X[-n_copies:] = X[:n_copies] + 0.05 * scales * rng.standard_normal((n_copies, depth), np.float32)
    return X


class Measurement:
    """Measures the seconds, those of the processor, and the largest anonymous memory of a block."""

    def __enter__(self) -> Measurement:
        self._stop, self.peak, self.start = threading.Event(), 0, time.perf_counter()
        self.cpu_start = time.process_time()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds, self.cpu_seconds = time.perf_counter() - self.start, time.process_time() - self.cpu_start
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            lines = Path("/proc/self/status").read_text().splitlines()
            self.peak = max(self.peak, next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")))

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, {self.cpu_seconds:.1f} s of processor time, {self.peak / 1e6:.2f} GB anonymous"


def measure_neighbours(X: np.ndarray, y: np.ndarray) -> None:
    """Print the time, the memory and the fraction of the copies that are found."""
    with Measurement() as measurement:
        neighbours = find_neighbours(X)
    n_copies = round(COPIED * len(y))
    originals, copies = np.arange(n_copies), np.arange(len(y) - n_copies, len(y))
    found = np.concatenate([(neighbours.rows[originals] == copies[:, None]).any(axis=1),
                            (neighbours.rows[copies] == originals[:, None]).any(axis=1)])
    print(f"neighbours: {measurement}; {found.mean():.4f} of the copies found")


def measure_labels(X: np.ndarray, y: np.ndarray) -> None:
    """Print the time, the memory and how many of the wrong labels are found."""
    neighbours = find_neighbours(np.ascontiguousarray(X[:, :64]))
    changed, is_wrong = make_wrong(y)
    with Measurement() as measurement:
        issues = find_label_issues(X, changed, np.arange(len(y)), neighbours)
    hits = (issues.is_issue & is_wrong).sum()
    print(f"labels: {measurement}; {hits} of {is_wrong.sum()} wrong labels found, {issues.is_issue.sum()} suspected")


def measure_examination(X: np.ndarray, y: np.ndarray) -> None:
    """Print the time and the memory of all detectors."""
    changed, _ = make_wrong(y)
    labels = tuple(f"{label:05}" for label in range(int(y.max()) + 1))
    photos = tuple(Photo(f"{row}.jpg", labels[label], f"{row:032x}") for row, label in enumerate(changed))
    hashes = np.random.default_rng(0).integers(0, 256, (len(y), 32), np.uint8)
    split = Split(np.zeros(len(y), np.int8), 0, "", np.arange(len(y)))
    with Measurement() as measurement:
        examination = examine(Dataset("photos", labels, photos, hashes, X, split), (), 224)
    kinds, counts = np.unique([finding.kind for finding in examination.findings], return_counts=True)
    print(f"examine: {measurement}; {dict(zip(kinds.tolist(), counts.tolist()))}; {examination.failed_checks}")


def measure_quality(image_dir: Path) -> None:
    """Print the recall and the precision of wrong labels among real photos, over eight draws, for each method."""
    extractor = open_extractor(ExtractorOptions())
    dataset = split_photos(extract_bottlenecks(read_dataset(image_dir), extractor, TF_FILES / "bottlenecks").dataset)
    assert dataset.X is not None and dataset.split is not None
    neighbours = find_neighbours(dataset.X)
    for name, (max_dense, max_photos, max_scores) in METHODS.items():
        wrong_labels.MAX_HEAD_PHOTOS, label_votes.MAX_HEAD_PHOTOS = max_dense, max_photos
        label_votes.MAX_HEAD_SCORES = max_scores
        counts = np.zeros(3)
        for seed in range(8):
            y, is_wrong = make_wrong(dataset.targets, 0.05, seed)
            is_issue = find_label_issues(dataset.X, y, dataset.split.groups, neighbours).is_issue
            counts += (is_issue & is_wrong).sum(), is_wrong.sum(), is_issue.sum()
        print(f"{name}: recall {counts[0] / counts[1]:.0%}, precision {counts[0] / counts[2]:.0%}")


def make_wrong(y: np.ndarray, fraction: float = WRONG, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return labels some of which are wrong, and which ones are."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(y), round(fraction * len(y)), replace=False)
    changed = y.copy()
    changed[rows] = (y[rows] + rng.integers(1, int(y.max()) + 1, len(rows))) % (int(y.max()) + 1)
    return changed, np.isin(np.arange(len(y)), rows)


MEASUREMENTS: dict[str, Callable[[np.ndarray, np.ndarray], None]] = {
    "neighbours": measure_neighbours, "labels": measure_labels, "examine": measure_examination}


def main() -> None:
    """Run one measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measurement", choices=[*MEASUREMENTS, "quality"])
    parser.add_argument("--image_dir", type=Path)
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--depth", type=int, default=1280)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if arguments.measurement == "quality":
        measure_quality(arguments.image_dir)
        return
    y = np.random.default_rng(2).integers(0, arguments.classes, arguments.photos)
    with tempfile.TemporaryDirectory(prefix="doctor-") as folder:
        X = make_bottlenecks(Path(folder) / "X.npy", y, arguments.depth)
        print(f"{arguments.photos} photos, {arguments.classes} classes, depth {arguments.depth}; load "
              f"{os.getloadavg()[0]:.1f}")
        MEASUREMENTS[arguments.measurement](X, y)


if __name__ == "__main__":
    main()
