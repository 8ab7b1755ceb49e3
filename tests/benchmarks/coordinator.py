"""Measure how many photos per second the process that collects the workers' results can handle on one core.

    python -m tests.benchmarks.coordinator [--photos=20000] [--depth=1280]

The photos are tiny, and the workers' engine returns a constant vector, so that the workers do little. The figure is
the number of photos divided by the processor time of the collecting process: for looking up the photos in the cache,
distributing them, receiving hashes and vectors, committing these, and loading all of them at the end.
"""
from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tfpoets.data import read_dataset
from tfpoets.extractors import ExecutionOptions, Extractor, extract_bottlenecks

from .timing import Measurements

N_CLASSES = 10


class ConstantEngine:
    """An engine that returns a constant vector for each photo."""

    name = "constant"
    batch_size = 1

    def __init__(self, depth: int):
        self._depth = depth

    def open_for_pixels(self) -> Callable[[np.ndarray], np.ndarray]:
        vector = np.random.default_rng(0).random((1, self._depth), np.float32)
        return lambda photos: vector

    open = open_for_pixels


def main() -> None:
    """Print one row of a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--depth", type=int, default=1280)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--runs", type=int, default=5)
    flags = parser.parse_args()
    execution = ExecutionOptions(flags.workers, processes=True, engine=ConstantEngine(flags.depth))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photos(folder / "photos", flags.photos)
        dataset = read_dataset(folder / "photos")
        extractor = Extractor("constant", "constant", "constant", 8, 8, flags.depth, folder)
        rates = []
        for number in range(flags.runs):
            start = time.process_time()
            bottlenecks = extract_bottlenecks(dataset, extractor, folder / f"cache{number}", execution=execution)
            rates.append(flags.photos / (time.process_time() - start))
            assert bottlenecks.computed == flags.photos
    print(f"| {flags.photos:,} | {flags.depth} | {Measurements(tuple(rates)).text(0)} |")


def write_photos(root: Path, count: int) -> None:
    """Write photos of 2 x 2 pixels, all of them different."""
    for number in range(count):
        path = root / f"class{number % N_CLASSES}" / f"{number:06d}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.frombuffer(number.to_bytes(12, "little"), np.uint8).reshape(2, 2, 3)
        Image.fromarray(pixels).save(path)


if __name__ == "__main__":
    # Imported, because workers cannot find a class that is defined in the main module.
    from tests.benchmarks import coordinator
    coordinator.main()
