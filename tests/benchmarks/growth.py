"""Listing, looking up and loading photos that are all in the cache already: time and memory as their number grows.

    python -m tests.benchmarks.growth [--depth=1280]

Empty files stand for the photos and made-up rows for their bottlenecks; each size runs in a process of its own.
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
CLASSES = 10


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depth", type=int, default=1280)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.measure:
        print(json.dumps(measured(flags.measure, flags.depth)))
        return
    print("| photos | list, s | look up and load, s | photos/s in all | peak memory beyond the start, matrices |")
    print("|---|---|---|---|---|")
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            fabricate(Path(folder), size, flags.depth)
            found = [json.loads(subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.growth", f"--measure={folder}", f"--depth={flags.depth}"],
                capture_output=True, text=True, check=True).stdout) for _ in range(flags.runs)]
        listing, loading, memory = (sorted(run[name] for run in found) for name in ("list", "load", "memory"))
        totals = sorted(run["list"] + run["load"] for run in found)
        middle = len(found) // 2
        print(f"| {size:,} | {listing[middle]:.3f} ({listing[0]:.3f} to {listing[-1]:.3f}) "
              f"| {loading[middle]:.3f} ({loading[0]:.3f} to {loading[-1]:.3f}) | {size / totals[middle]:,.0f} "
              f"| {memory[middle]:.2f} |", flush=True)


def fabricate(folder: Path, size: int, depth: int) -> None:
    """Empty files, and a cache that knows them."""
    random = np.random.default_rng(0)
    settled = time.time() - 100
    with BottleneckCache(folder / "cache") as cache:
        for number in range(size):
            path = folder / "photos" / f"class{number % CLASSES}" / f"photo{number:06d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            os.utime(path, (settled, settled))
            digest = hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest()
            status = path.stat()
            cache.add_digest(path, digest, (status.st_size, status.st_mtime_ns))
            cache.add_hash(digest, random.bytes(HASH_BYTES))
            cache.add_vector("made up", digest, random.random(depth, np.float32), "none")


def measured(folder: Path, depth: int) -> dict[str, float]:
    """Seconds of listing and of all the rest, and the peak of memory beyond the start as a multiple of the matrix."""
    extractor = Extractor("made up", "made up", "made up", 1, 1, depth, folder)
    before = peak_memory()
    start = time.perf_counter()
    dataset = read_dataset(folder / "photos")
    listed = time.perf_counter()
    found = extract_bottlenecks(dataset, extractor, folder / "cache")
    done = time.perf_counter()
    assert found.computed == 0 and len(found.features) == len(dataset.photos)
    return {"list": listed - start, "load": done - listed, "memory": (peak_memory() - before) / found.features.nbytes}


def peak_memory() -> int:
    """The most bytes that this process held so far (Linux)."""
    status = Path("/proc/self/status").read_text("ascii")
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


if __name__ == "__main__":
    main()
