"""Measure how the steps of tfpoets/data grow with the number of photos.

    python -m tests.benchmarks.scale_data [--sizes=10000,100000,1000000] [--steps=listing,random,...] [--depth=1280]

Photos, hashes and bottlenecks are fabricated. Every measurement runs in a process of its own. The table shows the
processor time, which depends less on other work on the machine than the duration, and the largest resident memory
without what the process used before the step. `--depth` is the length of the bottlenecks. They are in a file in the
temporary folder, which is mapped into memory, so the memory of the step that compares them includes pages of it.
"""
from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from tfpoets.data import HASH_BYTES, Dataset, Photo, assign_folds, connected_groups, read_dataset, split_photos
from tfpoets.data.bottleneck_pairs import find_similar_bottlenecks
from tfpoets.data.dataset import photo_digest
from tfpoets.data.near_duplicates import near_duplicate_pairs

BURST, PHOTOS_PER_CLASS, ROWS_AT_ONCE = 400, 10, 10_000
# One photo in a hundred has a planted duplicate.
DUPLICATE_FRACTION = 0.01

# Runs the step, and returns a remark.
Step = Callable[[], str]


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--depth", type=int, default=1280)
    flags = parser.parse_args()
    print("| step | photos | processor time, s | duration, s | memory, MB | |\n|---|---|---|---|---|---|", flush=True)
    for step in flags.steps.split(","):
        for size in flags.sizes.split(","):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                print(pool.submit(measure, step, int(size), flags.depth).result(), flush=True)


def measure(name: str, n_photos: int, depth: int) -> str:
    """Return the row of the table for a step."""
    with tempfile.TemporaryDirectory() as folder:
        step = STEPS[name](n_photos, Path(folder), depth)
        reset_peak()
        memory = current_memory()
        start, processor_start = time.perf_counter(), time.process_time()
        remark = step()
        duration, processor = time.perf_counter() - start, time.process_time() - processor_start
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024 - memory
    return f"| {name} | {n_photos:,} | {processor:.1f} | {duration:.1f} | {used:,} | {remark} |"


def current_memory() -> int:
    """Return the resident memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


def reset_peak() -> None:
    """Make the largest resident memory that of the present."""
    Path("/proc/self/clear_refs").write_text("5")


def listing(n_photos: int, folder: Path, depth: int) -> Step:
    """Prepare class folders with 1% of the photos in each; the files of a folder are links to one file."""
    for label in range(100):
        class_folder = folder / f"class{label:02}"
        class_folder.mkdir()
        first = class_folder / "0.jpg"
        first.write_bytes(b"\xff\xd8\xff\xe0")
        for row in range(1, n_photos // 100):
            os.link(first, class_folder / f"{row}.jpg")
    return lambda: f"{len(read_dataset(folder)):,} photos"


def random_hashes(n_photos: int) -> np.ndarray:
    """Return uint8 [n_photos, HASH_BYTES]."""
    return np.random.default_rng(0).integers(0, 256, (n_photos, HASH_BYTES), np.uint8)


def change_bits(hashes: np.ndarray, n_bits: int) -> np.ndarray:
    """Return hashes in which up to `n_bits` random bits differ."""
    changed, rng = hashes.copy(), np.random.default_rng(1)
    rows = np.arange(len(hashes))
    for bit in rng.integers(0, 8 * HASH_BYTES, (n_bits, len(hashes))):
        changed[rows, bit // 8] ^= (1 << (bit % 8)).astype(np.uint8)
    return changed


def planted_pairs(n_photos: int) -> np.ndarray:
    """Return rows that are to be duplicates: int64 [pairs, 2]."""
    n_pairs = int(n_photos * DUPLICATE_FRACTION)
    return np.random.default_rng(2).permutation(n_photos)[:2 * n_pairs].reshape(-1, 2)


def recall(pairs: np.ndarray, planted: np.ndarray, n_photos: int) -> str:
    """Return the fraction of the planted pairs that are connected, as text."""
    groups = connected_groups(pairs, n_photos)
    return f"{(groups[planted[:, 0]] == groups[planted[:, 1]]).mean():.2%} of the planted duplicates found"


def random(n_photos: int, folder: Path, depth: int) -> Step:
    """Prepare random hashes, 1% of which differ from others in up to 20 bits."""
    hashes, planted = random_hashes(n_photos), planted_pairs(n_photos)
    hashes[planted[:, 1]] = change_bits(hashes[planted[:, 0]], 20)
    return lambda: recall(near_duplicate_pairs(hashes)[0], planted, n_photos)


def bursts(n_photos: int, folder: Path, depth: int) -> Step:
    """Prepare bursts whose hashes differ from one hash in up to 10 bits."""
    hashes = change_bits(np.repeat(random_hashes(n_photos // BURST), BURST, axis=0), 10)

    def step() -> str:
        groups = connected_groups(near_duplicate_pairs(hashes)[0], len(hashes)).reshape(-1, BURST)
        whole = (groups == groups[:, :1]).all(axis=1).sum()
        return f"{whole:,} of {len(groups):,} bursts whole, {groups.max() + 1:,} groups"
    return step


def equal(n_photos: int, folder: Path, depth: int) -> Step:
    """Prepare equal hashes."""
    hashes = np.zeros((n_photos, HASH_BYTES), np.uint8)
    return lambda: f"{connected_groups(near_duplicate_pairs(hashes)[0], n_photos).max() + 1} group"


def plain(n_photos: int, folder: Path, depth: int) -> Step:
    """Prepare hashes of photos on a plain background: 80 bits are random, and 5% of the others are set.

    Different photos differ in 56 bits on average. 1% differ from others in up to 14 bits, as re-encoded photos do.
    """
    rng, probabilities = np.random.default_rng(0), np.full(8 * HASH_BYTES, 0.05)
    probabilities[rng.permutation(8 * HASH_BYTES)[:80]] = 0.5
    hashes = np.concatenate([np.packbits(rng.random((ROWS_AT_ONCE, 8 * HASH_BYTES)) < probabilities, axis=1)
                             for _ in range(n_photos // ROWS_AT_ONCE)])
    planted = planted_pairs(n_photos)
    hashes[planted[:, 1]] = change_bits(hashes[planted[:, 0]], 14)
    return lambda: recall(near_duplicate_pairs(hashes)[0], planted, n_photos)


def dataset_of_small_classes(n_photos: int) -> Dataset:
    """Return photos of classes with PHOTOS_PER_CLASS each, with random hashes."""
    photos = tuple(Photo(f"{row}.jpg", f"class{row // PHOTOS_PER_CLASS:06}", photo_digest(str(row).encode()))
                   for row in range(n_photos))
    labels = tuple(dict.fromkeys(photo.label for photo in photos))
    return Dataset("fabricated", labels, photos, random_hashes(n_photos))


def split(n_photos: int, folder: Path, depth: int) -> Step:
    """Prepare a dataset of small classes; splitting it includes the search for near duplicates."""
    dataset = dataset_of_small_classes(n_photos)

    def step() -> str:
        found = split_photos(dataset).split
        return f"{dataset.n_classes:,} classes, {len(found.notes) if found else 0:,} notes"
    return step


def folds(n_photos: int, folder: Path, depth: int) -> Step:
    """Prepare a split dataset of small classes."""
    dataset = split_photos(dataset_of_small_classes(n_photos))
    return lambda: f"{assign_folds(dataset, 5).max() + 1} folds"


def bottlenecks(n_photos: int, folder: Path, depth: int) -> Step:
    """Prepare bottlenecks: rectified sums of 200 directions of decreasing strength, class means and noise."""
    rng, planted = np.random.default_rng(0), planted_pairs(n_photos)
    X = np.memmap(folder / "X", np.float32, "w+", shape=(n_photos, depth))
    strengths = 0.5 / np.sqrt(1 + np.arange(200))
    directions = (rng.standard_normal((200, depth)) * strengths[:, np.newaxis]).astype(np.float32)
    means = rng.normal(0, 0.12, (100, depth)).astype(np.float32)
    for start in range(0, n_photos, ROWS_AT_ONCE):
        n_rows = min(ROWS_AT_ONCE, n_photos - start)
        X[start:start + n_rows] = np.maximum(rng.standard_normal((n_rows, 200), np.float32) @ directions
                                             + means[rng.integers(0, 100, n_rows)]
                                             + 0.2 * rng.standard_normal((n_rows, depth), np.float32), 0)
    X[planted[:, 1]] = 1.05 * X[planted[:, 0]] + 0.1 * rng.standard_normal((len(planted), depth), np.float32)
    return lambda: recall(find_similar_bottlenecks(X, np.arange(n_photos))[0], planted, n_photos)


STEPS: dict[str, Callable[[int, Path, int], Step]] = {
    function.__name__: function for function in (listing, random, bursts, equal, plain, split, folds, bottlenecks)}


if __name__ == "__main__":
    main()
