"""Measure how long the head takes for many photos or classes, and how much memory, with fabricated bottlenecks.

    python -m tests.benchmarks.scale_head --photos=20000 --classes=1000
    python -m tests.benchmarks.scale_head --photos=100000 --classes=10 --on_disk
    python -m tests.benchmarks.scale_head --photos=1000000 --classes=100 --on_disk --folder=/tmp

A tenth of the photos is for validation and a tenth for testing. One line of JSON is printed: the seconds of the fit
and of reading the file from disk once, the loss and accuracy of the head on the test photos, and the largest amount of
anonymous memory (RssAnon; pages of the file, which the system can drop at any time, do not count).
"""
from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tfpoets.data import Examples
from tfpoets.evaluation import cross_entropy
from tfpoets.training import fit_head

DEPTH, DIRECTIONS, ROWS = 1280, 200, 10_000


def fabricate(count: int, n_classes: int, out: np.ndarray) -> np.ndarray:
    """Fill `out`, float32 [count, depth], with bottlenecks like those of head.py, and return their classes."""
    rng, depth = np.random.default_rng(0), out.shape[1]
    directions = rng.normal(size=(DIRECTIONS, depth)) * (0.5 / np.sqrt(1 + np.arange(DIRECTIONS)))[:, None]
    directions, means = directions.astype(np.float32), rng.normal(0, 0.12, (n_classes, depth)).astype(np.float32)
    y = rng.integers(n_classes, size=count)
    y[:n_classes] = np.arange(n_classes)
    for start in range(0, count, ROWS):
        block, labels = np.random.default_rng([1, start]), y[start:start + ROWS]
        values = block.standard_normal((len(labels), DIRECTIONS), np.float32) @ directions + means[labels]
        values += block.standard_normal((len(labels), depth), np.float32)
        np.maximum(values, 0, out=out[start:start + ROWS])
    return y


def read_memory() -> int:
    """Return the anonymous memory of this process in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Yield a list of one number: the largest RssAnon while the block runs."""
    peak, done = [read_memory()], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], read_memory())
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def read_from_disk(path: Path) -> float:
    """Return how many seconds it takes to read a file that is not in memory."""
    with path.open("rb", buffering=0) as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        started = time.perf_counter()
        while file.read(1 << 24):
            pass
    return time.perf_counter() - started


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--on_disk", action="store_true", help="keep the bottlenecks in a memory-mapped file")
    parser.add_argument("--folder", type=Path, default=None, help="where the file is written")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path, read_seconds = Path(folder, "bottlenecks.npy"), None
        if options.on_disk:
            X = np.lib.format.open_memmap(path, "w+", np.float32, (options.photos, DEPTH))
        else:
            X = np.empty((options.photos, DEPTH), np.float32)
        y = fabricate(options.photos, options.classes, X)
        if options.on_disk:
            X.flush()
            read_seconds = read_from_disk(path)
        n_train, n_fitted = int(0.8 * len(y)), int(0.9 * len(y))
        parts = [Examples(X[rows], y[rows], options.classes)
                 for rows in (slice(n_train), slice(n_train, n_fitted), slice(n_fitted, None))]
        with peak_memory() as peak:
            started, cpu_started = time.perf_counter(), time.process_time()
            fit = fit_head(parts[0], parts[1])
            seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
        log_probabilities = fit.head.log_probabilities(np.asarray(parts[2].X))
        print(json.dumps({
            "photos": len(y), "classes": options.classes, "on_disk": options.on_disk, "seconds": round(seconds, 1),
            "cpu_seconds": round(cpu_seconds, 1),
            "read_seconds": read_seconds and round(read_seconds, 1), "peak_anonymous_gb": round(peak[0] / 1e9, 2),
            "l2": fit.l2, "iterations": fit.iterations, "steps": [step.iterations for step in fit.path],
            "test_loss": float(cross_entropy(log_probabilities, parts[2].y).mean()),
            "test_accuracy": float((log_probabilities.argmax(1) == parts[2].y).mean()),
            "load": os.getloadavg()[0]}))


if __name__ == "__main__":
    main()
