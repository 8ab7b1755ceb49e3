"""Measure the time and memory for listing and loading cached photos as their number grows.

    python -m tests.benchmarks.growth [--depth=1280]

The photos are empty files, and the cache contains random bottlenecks for them. Each size is measured in new processes.
"""
from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tfpoets.data import HASH_BYTES, read_dataset
from tfpoets.extractors import BottleneckCache, Extractor, extract_bottlenecks

SIZES = (1_000, 10_000, 100_000)
N_CLASSES = 10


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depth", type=int, default=1280)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)  # for the new processes
    flags = parser.parse_args()
    if flags.measure:
        print(json.dumps(measure(flags.measure, flags.depth)))
        return
    print("| photos | list, s | look up and load, s | photos/s in total | peak memory increase, in feature matrices |")
    print("|---|---|---|---|---|")
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            write_photos_and_cache(Path(folder), size, flags.depth)
            runs = [json.loads(subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.growth", f"--measure={folder}", f"--depth={flags.depth}"],
                capture_output=True, text=True, check=True).stdout) for _ in range(flags.runs)]
        listing, loading, memory = (sorted(run[name] for run in runs) for name in ("list", "load", "memory"))
        totals = sorted(run["list"] + run["load"] for run in runs)
        middle = len(runs) // 2
        print(f"| {size:,} | {listing[middle]:.3f} ({listing[0]:.3f} to {listing[-1]:.3f}) "
              f"| {loading[middle]:.3f} ({loading[0]:.3f} to {loading[-1]:.3f}) | {size / totals[middle]:,.0f} "
              f"| {memory[middle]:.2f} |", flush=True)


def write_photos_and_cache(folder: Path, size: int, depth: int) -> None:
    """Write empty files, and a cache with bottlenecks for them."""
    rng = np.random.default_rng(0)
    modified = time.time() - 100  # the cache does not trust files that were modified within the last 2 s
    with BottleneckCache(folder / "cache") as cache:
        for number in range(size):
            path = folder / "photos" / f"class{number % N_CLASSES}" / f"photo{number:06d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            os.utime(path, (modified, modified))
            digest = hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest()
            status = path.stat()
            cache.add_digest(str(path), digest, f"{status.st_size} {status.st_mtime_ns}")
            cache.add_hash(digest, rng.bytes(HASH_BYTES))
            cache.add_vector("made up", digest, rng.random(depth, np.float32), "none")


def measure(folder: Path, depth: int) -> dict[str, float]:
    """Return the seconds for listing and for loading, and the peak memory increase in feature matrices."""
    extractor = Extractor("made up", "made up", "made up", 1, 1, depth, folder)
    memory_before = peak_memory()
    start = time.perf_counter()
    dataset = read_dataset(folder / "photos")
    listed = time.perf_counter()
    bottlenecks = extract_bottlenecks(dataset, extractor, folder / "cache")
    loaded = time.perf_counter()
    assert bottlenecks.computed == 0 and len(bottlenecks.features) == len(dataset)
    return {"list": listed - start, "load": loaded - listed,
            "memory": (peak_memory() - memory_before) / bottlenecks.features.nbytes}


def peak_memory() -> int:
    """Return the peak memory of this process in bytes (Linux)."""
    status = Path("/proc/self/status").read_text("ascii")
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


if __name__ == "__main__":
    main()
