"""Compare threads, processes and a GPU on a machine with many cores.

    python -m tests.benchmarks.workers --image_dir=PHOTOS [--photos=9600] [--runs=2] [threads] [processes] [gpu]

The first table shows what 1, half and all of the cores can do without this project's coordination: separate processes
that only run LiteRT, only decode, decode and hash, or do all of it. The second shows extraction with an empty cache,
including the start of workers. With a GPU, the first run also includes starting TensorFlow.
"""
from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tfpoets.data import (HASH_HEIGHT, HASH_WIDTH, load_pixels, load_pixels_at_sizes, perceptual_hash, photo_digest,
                          read_dataset)
from tfpoets.exporting import sample_evenly
from tfpoets.extractors import ExecutionOptions, Extractor, LiteRTEngine, extract_bottlenecks, open_extractor
from tfpoets.parallel import core_count

TASKS = ("LiteRT", "decoding", "decoding, hash and digest", "all")
# The number of photos that each process handles.
SAMPLE_SIZE = 150


def main() -> None:
    """Print two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--tfhub_module", default="efficientnet_lite0")
    parser.add_argument("--photos", type=int, default=9600)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    parser.add_argument("variants", nargs="*", help="threads, processes, gpu")
    flags = parser.parse_args()
    extractor = open_extractor(flags.tfhub_module, model_dir=flags.work_dir / "models")
    photos = [Path(photo.uri) for photo in read_dataset(flags.image_dir, min_classes=1).photos]
    print_bounds(sample_evenly(photos, SAMPLE_SIZE), extractor)
    with tempfile.TemporaryDirectory() as folder:
        print_extraction(copy_photos(photos, Path(folder) / "photos", flags.photos), extractor,
                         flags.variants or ["threads", "processes"], flags.runs)


def print_bounds(photos: list[Path], extractor: Extractor) -> None:
    """Print the rates of processes that do not communicate."""
    counts = sorted({1, max(1, core_count() // 2), core_count()})
    print(f"| photos/s | {' | '.join(f'{count} processes' for count in counts)} |")
    print("|---" * (1 + len(counts)) + "|")
    for task in TASKS:
        rates = []
        for count in counts:
            with multiprocessing.get_context("spawn").Pool(count) as pool:
                rates.append(sum(pool.map(rate, [(task, photos, extractor)] * count, chunksize=1)))
        print(f"| {task} | {' | '.join(f'{value:,.0f}' for value in rates)} |", flush=True)


def rate(arguments: tuple[str, list[Path], Extractor]) -> float:
    """Return the photos per second of one process that repeats a task."""
    task, photos, extractor = arguments
    contents = [photo.read_bytes() for photo in photos]
    size = (extractor.height, extractor.width)
    run = LiteRTEngine(extractor.tflite_path).open_for_pixels()
    pixels = load_pixels(contents[0], *size)[None]
    run(pixels)  # warm up

    def decode_and_hash(content: bytes) -> np.ndarray:
        decoded = load_pixels_at_sizes(content, [size, (HASH_HEIGHT, HASH_WIDTH)])
        perceptual_hash(decoded[1])
        photo_digest(content)
        return decoded[0]
    functions: dict[str, Callable[[bytes], object]] = dict(zip(TASKS, (
        lambda content: run(pixels), lambda content: load_pixels(content, *size), decode_and_hash,
        lambda content: run(decode_and_hash(content)[None]))))
    start = time.perf_counter()
    for content in contents:
        functions[task](content)
    return len(contents) / (time.perf_counter() - start)


def copy_photos(photos: list[Path], root: Path, count: int) -> Path:
    """Write `count` copies of photos, each with different bytes after the end of the JPEG."""
    for number in range(count):
        photo = photos[number % len(photos)]
        target = root / photo.parent.name / f"{number:06d}{photo.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(photo.read_bytes() + number.to_bytes(8, "big"))
    return root


def print_extraction(root: Path, extractor: Extractor, variants: list[str], runs: int) -> None:
    """Print the rate of each run of each variant."""
    dataset = read_dataset(root, min_classes=1)
    litert = LiteRTEngine(extractor.tflite_path)
    executions = {"threads": ExecutionOptions(processes=False, engine=litert),
                  "processes": ExecutionOptions(processes=True, engine=litert), "gpu": ExecutionOptions()}
    print(f"\n| extraction of {len(dataset.photos):,} photos | photos/s in each run "
          "| processor time of the main process |")
    print("|---|---|---|")
    for variant in variants:
        rates, processor_times = [], []
        for _ in range(runs):
            with tempfile.TemporaryDirectory() as cache:
                start, processor_start = time.perf_counter(), time.process_time()
                extract_bottlenecks(dataset, extractor, cache, execution=executions[variant])
                rates.append(len(dataset.photos) / (time.perf_counter() - start))
                processor_times.append(time.process_time() - processor_start)
        print(f"| {variant} | {', '.join(f'{value:,.0f}' for value in rates)} "
              f"| {', '.join(f'{value:.1f} s' for value in processor_times)} |", flush=True)


if __name__ == "__main__":
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # for the processes
    main()
