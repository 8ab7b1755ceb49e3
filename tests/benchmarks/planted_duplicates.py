"""How many planted copies the data doctor finds: exact ones, re-encoded ones and resized ones.

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

KINDS = {"exact": None, "JPEG quality 30": (1.0, 30), "JPEG quality 75": (1.0, 75), "half size": (0.5, 85),
         "a third of the size": (1 / 3, 85), "twice the size": (2.0, 85)}


def main() -> None:
    """Prints a row of a Markdown table for each kind of copy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--copies", type=int, default=120)
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    flags = parser.parse_args()
    extractor = open_extractor("efficientnet_lite0", model_dir=flags.work_dir / "models")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "photos"
        shutil.copytree(flags.image_dir, root, ignore=shutil.ignore_patterns("*.txt"))
        planted = plant(root, flags.copies)
        found = extract_bottlenecks(read_dataset(root), extractor, Path(folder))
        findings = examine(split_photos(found.dataset), found.unreadable, extractor.height)
        pairs = {frozenset((Path(each.file), Path(each.other.uri))) for each in findings
                 if each.kind in ("exact_duplicate", "near_duplicate") and each.other}
    wanted, hit = Counter(planted.values()), Counter(kind for pair, kind in planted.items() if pair in pairs)
    for kind in KINDS:
        print(f"| {kind} | {wanted[kind]} | {hit[kind]} |")
    originals = {path for pair in planted for path in pair}
    rest = [pair for pair in pairs if not pair <= originals]
    print(f"{len(rest)} other pairs among {len(found.dataset.photos)} photos")
    for pair in sorted(" = ".join(sorted(path.name for path in pair)) for pair in rest):
        print(f"  {pair}")


def plant(root: Path, count: int) -> dict[frozenset[Path], str]:
    """Writes copies of random photos beside them; returns the pairs, with the kind of each copy."""
    photos = [Path(photo.uri) for photo in read_dataset(root).photos]
    chosen = np.random.default_rng(0).choice(len(photos), count, replace=False)
    planted = {}
    for number, row in enumerate(chosen):
        kind = list(KINDS)[number % len(KINDS)]
        copy = photos[row].with_name(f"copy_{number}.jpg")
        change = KINDS[kind]
        if change is None:
            shutil.copy(photos[row], copy)
        else:
            with Image.open(photos[row]) as photo:
                size = tuple(max(1, round(change[0] * side)) for side in photo.size)
                photo.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(copy, quality=change[1])
        planted[frozenset((photos[row], copy))] = kind
    return planted


if __name__ == "__main__":
    main()
