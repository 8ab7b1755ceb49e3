"""Measure how many planted duplicates the data doctor finds: exact, re-encoded and resized copies of random photos.

python -m tests.benchmarks.planted_duplicates --image_dir=PHOTOS [--copies=120]
"""
from __future__ import annotations

import argparse
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from tfpoets.data import read_dataset, split_photos
from tfpoets.doctor import examine
from tfpoets.extractors import extract_bottlenecks, open_extractor

# Kind of copy -> (scale, JPEG quality), or None for an exact duplicate.
KINDS = {"exact": None, "JPEG quality 30": (1.0, 30), "JPEG quality 75": (1.0, 75), "half size": (0.5, 85),
         "a third of the size": (1 / 3, 85), "twice the size": (2.0, 85)}


def main() -> None:
    """Print a row of a Markdown table for each kind of copy, and all other pairs that were found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--copies", type=int, default=120)
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    flags = parser.parse_args()
    extractor = open_extractor("efficientnet_lite0", model_dir=flags.work_dir / "models")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "photos"
        shutil.copytree(flags.image_dir, root, ignore=shutil.ignore_patterns("*.txt"))
        planted = plant_duplicates(root, flags.copies)
        bottlenecks = extract_bottlenecks(read_dataset(root), extractor, Path(folder))
        findings = examine(split_photos(bottlenecks.dataset), bottlenecks.unreadable, extractor.height).findings
        detected = {frozenset((Path(finding.file), Path(finding.other.uri))) for finding in findings
                    if finding.kind in ("exact_duplicate", "near_duplicate") and finding.other}
    n_planted = Counter(planted.values())
    n_detected = Counter(kind for pair, kind in planted.items() if pair in detected)
    for kind in KINDS:
        print(f"| {kind} | {n_planted[kind]} | {n_detected[kind]} |")
    copied = {path for pair in planted for path in pair}
    other_pairs = [pair for pair in detected if not pair <= copied]
    print(f"{len(other_pairs)} other pairs among {len(bottlenecks.dataset)} photos")
    for line in sorted(" = ".join(sorted(path.name for path in pair)) for pair in other_pairs):
        print(f"  {line}")


def plant_duplicates(root: Path, count: int) -> dict[frozenset[Path], str]:
    """Write copies of random photos next to them, and return the kind of each pair of photo and copy."""
    photos = [Path(photo.uri) for photo in read_dataset(root).photos]
    rows = np.random.default_rng(0).choice(len(photos), count, replace=False)
    planted = {}
    for number, row in enumerate(rows):
        kind = list(KINDS)[number % len(KINDS)]
        copy = photos[row].with_name(f"copy_{number}.jpg")
        change = KINDS[kind]
        if change is None:
            shutil.copy(photos[row], copy)
        else:
            scale, quality = change
            with Image.open(photos[row]) as photo:
                size = tuple(max(1, round(scale * side)) for side in photo.size)
                photo.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(copy, quality=quality)
        planted[frozenset((photos[row], copy))] = kind
    return planted


if __name__ == "__main__":
    main()
