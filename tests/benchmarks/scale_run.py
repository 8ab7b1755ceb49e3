"""Measure the time and memory of a whole run on very many photos whose bottlenecks are all in the cache.

    python -m tests.benchmarks.scale_run FOLDER [--photos=1000000] [--classes=100] [--test_photos=20]
    python -m tests.benchmarks.scale_run FOLDER --only_run [--flags='--max_memory_gb=2']

The first command needs 10 kB of disk space per photo. It writes the photos and the cache to FOLDER, then runs retrain
on them. The second one runs retrain again on what the first one wrote.

The test photos are generated, and their bottlenecks are computed, so that the exported files can be verified. The
training photos are one-colour pictures with different bytes, and their bottlenecks are random vectors around the mean
of the test photos of the class: that mean, and a fraction of the difference of two random test photos, so that they
vary in the same directions as bottlenecks of photos.
"""
from __future__ import annotations

import argparse
import os
import re
import shlex
import struct
import subprocess
import sys
import threading
import time
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from tfpoets.data import HASH_BYTES, FileMeasure, photo_digest, read_dataset
from tfpoets.data.local_files import LOCAL_FILES
from tfpoets.doctor import required_measures
from tfpoets.extractors import BottleneckCache, Extractor, ExtractorOptions, extract_bottlenecks, open_extractor

SIZE = 64
# The fraction of the difference of two test photos that is added to the mean of a class.
SPREAD = 0.7
# How much of the pixels of a test photo is the pattern of its class.
CLASS_PART = 0.6
MEMORY_INTERVAL = 0.5
IEND = b"\0\0\0\0IEND\xaeB`\x82"


def main() -> None:
    """Write photos and cache, run retrain, and print the seconds of its stages and its memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=1_000_000, help="training photos")
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--test_photos", type=int, default=20, help="test photos per class")
    parser.add_argument("--only_run", action="store_true", help="use the photos and the cache of an earlier run")
    parser.add_argument("--flags", default="", help="additional flags of retrain")
    flags = parser.parse_args()
    if not flags.only_run:
        extractor = open_extractor(ExtractorOptions(model_dir=flags.folder / "models"))
        write_test_photos(flags.folder, flags.classes, flags.test_photos)
        write_training_photos(flags.folder, extractor, flags.photos // flags.classes)
    run(flags.folder, shlex.split(flags.flags))


def write_test_photos(folder: Path, n_classes: int, n_photos: int) -> None:
    """Write the test photos of each class: a pattern of the class, mixed with a random one."""
    rng = np.random.default_rng(1)
    for number in range(n_classes):
        target, pattern = folder / f"photos/test/class{number:05d}", rng.integers(0, 256, (4, 4, 3))
        target.mkdir(parents=True, exist_ok=True)
        for photo in range(n_photos):
            pixels = CLASS_PART * pattern + (1 - CLASS_PART) * rng.integers(0, 256, pattern.shape)
            Image.fromarray(pixels.astype(np.uint8)).resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(
                target / f"test{photo:04d}.png")


def write_training_photos(folder: Path, extractor: Extractor, n_photos: int) -> None:
    """Write the training photos of all classes, and their values to the cache."""
    tested = extract_bottlenecks(read_dataset(folder / "photos/test"), extractor, folder / "bottlenecks")
    dataset, X = tested.dataset, tested.features
    rng, modified = np.random.default_rng(0), time.time() - 100  # the stamps of recent files are not trusted
    with BottleneckCache(folder / "bottlenecks") as cache:
        for index, label in enumerate(dataset.labels):
            target = folder / "photos/train" / label
            target.mkdir(parents=True, exist_ok=True)
            start = _one_colour_png(rng.integers(0, 256, 3))
            first, second = X[rng.integers(0, len(X), (2, n_photos))]
            vectors = X[dataset.targets == index].mean(axis=0) + SPREAD * (first - second)
            hashes = rng.integers(0, 256, (n_photos, HASH_BYTES), np.uint8)
            for number in range(n_photos):
                path, content = target / f"{number:06d}.png", start + _text_chunk(f"{label}/{number}")
                path.write_bytes(content)
                os.utime(path, (modified, modified))
                digest = photo_digest(content)
                cache.add_digest(str(path), digest, LOCAL_FILES.stamps([str(path)])[str(path)])
                cache.add_hash(digest, hashes[number].tobytes())
                for measure in required_measures():
                    if isinstance(measure, FileMeasure):
                        cache.add_measure(measure.name, digest, measure.apply(content))
                cache.add_vector(extractor.digest, digest, np.maximum(vectors[number], 0).astype(np.float32), "random")


def _one_colour_png(colour: np.ndarray) -> bytes:
    """Return a PNG file of one colour, without its last chunk."""
    buffer = BytesIO()
    Image.new("RGB", (SIZE, SIZE), tuple(int(value) for value in colour)).save(buffer, "PNG")
    return buffer.getvalue().removesuffix(IEND)


def _text_chunk(text: str) -> bytes:
    """Return a PNG chunk that contains a comment, and the end of the file."""
    body = b"tEXtComment\0" + text.encode()
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + IEND


def run(folder: Path, flags: list[str]) -> None:
    """Run retrain, and print a Markdown table of its stages, and its memory."""
    command = [sys.executable, "-m", "tfpoets", "retrain", f"--image_dir={folder}/photos",
               f"--bottleneck_dir={folder}/bottlenecks", f"--model_dir={folder}/models",
               f"--output_graph={folder}/output/graph.pb", f"--output_labels={folder}/output/labels.txt",
               f"--summaries_dir={folder}/summaries", "--logging_verbosity=DEBUG", *flags]
    with (folder / "output.txt").open("w") as output, (folder / "log.txt").open("w") as log:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=log)
        memory = _MemoryPeak(process.pid)
        code = process.wait()
        seconds = time.perf_counter() - start
    print((folder / "output.txt").read_text())
    print(f"| stage | seconds |\n|---|---|\n| everything, exit code {code} | {seconds:.1f} |")
    for name, duration in re.findall(r"Stage (.+?): (\d+\.\d+) s", (folder / "log.txt").read_text()):
        print(f"| {name} | {duration} |")
    print(f"\nPeak memory of all processes: {memory.anonymous / 1e9:.2f} GB anonymous, {memory.resident / 1e9:.2f} GB "
          "resident.")


class _MemoryPeak:
    """The highest sum of the memory of a process and its descendants, in bytes, until the process ends."""

    def __init__(self, pid: int):
        self.anonymous = self.resident = 0
        threading.Thread(target=self._watch, args=(pid,), daemon=True).start()

    def _watch(self, pid: int) -> None:
        while Path(f"/proc/{pid}").exists():
            status = [_memory_of(member) for member in _process_tree(pid)]
            self.anonymous = max(self.anonymous, sum(anonymous for anonymous, _ in status))
            self.resident = max(self.resident, sum(resident for _, resident in status))
            time.sleep(MEMORY_INTERVAL)


def _process_tree(pid: int) -> list[int]:
    """Return the ids of a process and of its descendants."""
    try:
        children = [int(child) for task in Path(f"/proc/{pid}/task").iterdir()
                    for child in (task / "children").read_text().split()]
    except OSError:  # the process has just ended
        return []
    return [pid, *(member for child in children for member in _process_tree(child))]


def _memory_of(pid: int) -> tuple[int, int]:
    """Return the anonymous and the resident memory of a process, in bytes."""
    try:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    except OSError:
        return 0, 0
    return tuple(1024 * int(status.get(name, "0 kB").split()[0]) for name in ("RssAnon", "VmRSS"))  # type: ignore


if __name__ == "__main__":
    main()
