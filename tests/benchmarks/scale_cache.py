"""Measure how fast the cache stores, loads and finds bottlenecks as it grows.

    python -m tests.benchmarks.scale_cache [--rows=10000,100000,1000000] [--runs=5] [--folder=/tmp]

For each size, a new cache is filled with photos: for the first column with the bottleneck alone, for the second with
all that a retrain stores for a photo (bottleneck, hash, stamp and two measures). It is then loaded by new processes,
with its pages in memory and after they were dropped from it, and 600 of the photos are looked up. Each figure is
followed by that per second of processor time, which other programs change less. A million rows take 6 GB on the disk.
"""
from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tfpoets.data import HASH_BYTES
from tfpoets.extractors import BottleneckCache

N_LOOKED_UP = 600
MEASURES = ("blurry", "dark")
# The largest number of rows of the matrix that bottlenecks are copied to, so that memory does not limit the sizes.
MAX_ROWS_IN_MEMORY = 100_000
TASKS = ("load", "load_dropped", "look_up")


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=lambda text: [int(size) for size in text.split(",")],
                        default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--depth", type=int, default=1280)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to write the caches", default=Path(tempfile.gettempdir()))
    parser.add_argument("--task", choices=("insert", "insert_all", *TASKS), help=argparse.SUPPRESS)  # in a new process
    flags = parser.parse_args()
    if flags.task:
        print(json.dumps(perform(flags.task, flags.folder, flags.rows[0], flags.depth)))
        return
    print("| rows | inserts/s, bottlenecks | inserts/s, whole photos | size | loads/s | loads/s, not in memory "
          f"| {N_LOOKED_UP} looked up, ms (processor ms) | peak memory of the load beyond the matrix |")
    print("|---|---|---|---|---|---|---|---|")
    for size in flags.rows:
        print_row(flags, size)


def print_row(flags: argparse.Namespace, size: int) -> None:
    """Measure one size and print its row."""
    folder = Path(tempfile.mkdtemp(prefix="cache-scale-", dir=flags.folder))

    def run(task: str, part: str) -> dict[str, float]:
        command = [sys.executable, "-m", "tests.benchmarks.scale_cache", f"--task={task}", f"--folder={folder / part}",
                   f"--rows={size}", f"--depth={flags.depth}"]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    try:
        inserts, whole = [], []
        for _ in range(flags.runs):
            inserts.append(run("insert", "vectors"))
            shutil.rmtree(folder / "vectors")
            shutil.rmtree(folder / "all", ignore_errors=True)
            whole.append(run("insert_all", "all"))
        size_in_mb = sum(path.stat().st_size for path in (folder / "all").iterdir()) / 1e6
        results = {task: [run(task, "all") for _ in range(flags.runs)] for task in TASKS}
    finally:
        shutil.rmtree(folder)
    memory = max(result["memory"] for result in results["load"]) / 1e6
    rates = [rate(result, size) for result in (inserts, whole, results["load"], results["load_dropped"])]
    print(f"| {size:,} | {rates[0]} | {rates[1]} | {size_in_mb:,.0f} MB | {rates[2]} | {rates[3]} "
          f"| {milliseconds(results['look_up'])} | {memory:,.0f} MB |", flush=True)


def rate(results: list[dict[str, float]], size: int) -> str:
    """Return the rows per second with their spread, and the rows per second of processor time."""
    return (f"{spread([size / result['seconds'] for result in results])}; "
            f"{statistics.median(size / result['cpu'] for result in results):,.0f}")


def milliseconds(results: list[dict[str, float]]) -> str:
    """Return the milliseconds with their spread, and those of the processor."""
    return (f"{spread([1000 * result['seconds'] for result in results])}; "
            f"{statistics.median(1000 * result['cpu'] for result in results):,.0f}")


def spread(values: list[float]) -> str:
    """Return the median of values, and their smallest and largest if there are several."""
    middle = f"{statistics.median(values):,.0f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):,.0f} to {max(values):,.0f})"


def digest_of(number: int) -> str:
    """Return a digest that is as random as that of a photo."""
    return hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest()


def uri_of(number: int) -> str:
    """Return the path of a photo; photos are processed approximately in the order of their paths."""
    return f"/photos/class{number // 1000:04}/{number:09}.jpg"


def perform(task: str, folder: Path, size: int, depth: int) -> dict[str, float]:
    """Perform a task, and return its seconds and the peak memory in bytes beyond what it returns."""
    if task.startswith("insert"):
        return insert(folder, size, depth, with_all=task == "insert_all")
    if task == "load_dropped":
        drop_pages(folder)
    look_up_only = task == "look_up"
    numbers = range(0, size // N_LOOKED_UP * N_LOOKED_UP, size // N_LOOKED_UP) if look_up_only else range(size)
    digests = [digest_of(number) for number in numbers]
    rows = {digest: row for row, digest in enumerate(digests)}
    memory, start, cpu = peak_memory(), time.perf_counter(), time.process_time()
    with BottleneckCache(folder) as cache:
        matrix = np.empty((min(len(digests), MAX_ROWS_IN_MEMORY), depth), np.float32)
        for digest, vector in read(cache, depth, digests):
            if digest in rows:
                matrix[rows[digest] % len(matrix)] = vector
        if look_up_only:
            assert look_up(cache, digests, [uri_of(number) for number in numbers]) == 4 * N_LOOKED_UP
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    memory = peak_memory() - memory - matrix.nbytes
    assert np.isfinite(matrix[:, 0]).all()
    return {"seconds": seconds, "cpu": cpu, "memory": memory}


def read(cache: BottleneckCache, depth: int, digests: list[str]):
    """Yield the digests and bottlenecks of photos."""
    try:
        return cache.read_vectors("a" * 40, depth, 0, digests)
    except TypeError:  # earlier versions read all of them
        return cache.read_vectors("a" * 40, depth)


def look_up(cache: BottleneckCache, digests: list[str], uris: list[str]) -> int:
    """Return the number of values that the cache contains for photos, without their bottlenecks."""
    stamps = dict.fromkeys(uris, "5 7")
    try:
        measures = [cache.measures(name, digests) for name in MEASURES]
        hashes = cache.hashes(digests)
    except TypeError:
        measures, hashes = [cache.measures(name) for name in MEASURES], cache.hashes()
    wanted = set(digests)
    return len(cache.known_digests(stamps)) + sum(len(values.keys() & wanted) for values in [*measures, hashes])


def insert(folder: Path, size: int, depth: int, with_all: bool) -> dict[str, float]:
    """Fill a cache and return the seconds that took, with the last commit and copying the log to the database."""
    vectors = np.random.default_rng(0).random((512, depth), np.float32)
    digests = [digest_of(number) for number in range(size)]
    start, cpu = time.perf_counter(), time.process_time()
    with BottleneckCache(folder) as cache:
        for first in range(0, size, 512):
            numbers = range(first, min(first + 512, size))
            for number, digest, vector in zip(numbers, digests[first:first + 512], vectors):
                if with_all:
                    cache.add_digest(uri_of(number), digest, "5 7")
                    cache.add_hash(digest, bytes(HASH_BYTES))
                    for name in MEASURES:
                        cache.add_measure(name, digest, 0.5)
                cache.add_vector("a" * 40, digest, vector, "litert")
    return {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}


def drop_pages(folder: Path) -> None:
    """Ask the system to remove the files of a cache from its memory (Linux)."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def peak_memory() -> int:
    """Return the peak memory of this process in bytes (Linux)."""
    status = Path("/proc/self/status").read_text("ascii")
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


if __name__ == "__main__":
    main()
