"""Measure the data doctor's time and memory on large fabricated datasets.

    python -m tests.benchmarks.scale_doctor neighbours --photos=100000 --depth=1280
    python -m tests.benchmarks.scale_doctor labels --photos=50000 --classes=100
    python -m tests.benchmarks.scale_doctor examine --photos=100000 --classes=100

`neighbours` plants near copies of 1% of the photos and prints which fraction of them is found. `labels` makes 1% of
the labels wrong and prints how many of them are found; its neighbours are those in the first 64 dimensions, and their
time is not measured. `examine` runs all detectors on photos without files. Bottlenecks are written to a temporary file
and read from there, as those of a dataset that is larger than memory.
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

from tfpoets.data import Dataset, Photo, Split
from tfpoets.doctor import examine, find_label_issues, find_neighbours

BLOCK = 10_000
COPIED, WRONG = 0.01, 0.01


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


def make_wrong(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return labels some of which are wrong, and which ones are."""
    rng = np.random.default_rng(1)
    rows = rng.choice(len(y), round(WRONG * len(y)), replace=False)
    changed = y.copy()
    changed[rows] = (y[rows] + rng.integers(1, int(y.max()) + 1, len(rows))) % (int(y.max()) + 1)
    return changed, np.isin(np.arange(len(y)), rows)


MEASUREMENTS: dict[str, Callable[[np.ndarray, np.ndarray], None]] = {
    "neighbours": measure_neighbours, "labels": measure_labels, "examine": measure_examination}


def main() -> None:
    """Run one measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measurement", choices=list(MEASUREMENTS))
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--depth", type=int, default=1280)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    y = np.random.default_rng(2).integers(0, arguments.classes, arguments.photos)
    with tempfile.TemporaryDirectory(prefix="doctor-") as folder:
        X = make_bottlenecks(Path(folder) / "X.npy", y, arguments.depth)
        print(f"{arguments.photos} photos, {arguments.classes} classes, depth {arguments.depth}; load "
              f"{os.getloadavg()[0]:.1f}")
        MEASUREMENTS[arguments.measurement](X, y)


if __name__ == "__main__":
    main()
