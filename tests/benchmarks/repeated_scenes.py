"""Measure how often retrain judges correctly whether test photos show the same scenes as training photos.

python -m tests.benchmarks.repeated_scenes --photos=DIR --flowers=FLOWERS [--tfhub_module=HANDLE]

DIR contains flowers, trash, casting/train and casting/test, each with a folder per class; FLOWERS is the full set of
3,670. Videos and bursts are cut out of flower photos.
"""
from __future__ import annotations

import argparse
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.scenes import FAST_CAMERA, SLOW_CAMERA, write_burst, write_video
from tfpoets.cli.sample_photos import WRITERS
from tfpoets.data import (TEST, Dataset, Photo, SplitOptions, are_frequent, find_scene_matches, read_dataset,
                          split_photos, with_test_photos)
from tfpoets.data.scene_matches import MAX_EXPECTED_IF_CERTAIN
from tfpoets.extractors import Extractor, extract_bottlenecks, open_extractor

SEEDS = range(10)
# A scene in the file names that `Builder` writes.
SCENE_NAME = re.compile(r"(video\d+|burst\d+)_")


@dataclass(frozen=True)
class Case:
    """A set of photos for which the judgement is measured.

    Attributes:
        name: A description of the photos.
        build: Writes the photos to a folder.
        has_test_folder: Whether the folder contains train and test instead of the classes.
    """

    name: str
    build: Callable[[Path], None]
    has_test_folder: bool = False


class Builder:
    """Writes the photos of the cases.

    Args:
        photos: The folder of the photos.
        flowers: The folder of all flower photos.
    """

    def __init__(self, photos: Path, flowers: Path):
        self._photos, self._all_flowers = photos, flowers

    def cases(self) -> list[Case]:
        """Return all cases."""
        return [
            Case("12 videos x 20 frames, slow camera, random labels", lambda root: self.videos(root, SLOW_CAMERA)),
            Case("12 videos x 20 frames, fast camera, random labels", lambda root: self.videos(root, FAST_CAMERA)),
            Case("6 videos x 30 frames, fast camera, random labels",
                 lambda root: self.videos(root, FAST_CAMERA, 6, 30)),
            Case("30 videos x 15 frames of flowers, fast camera", self.class_videos),
            Case("bursts of 3 to 6 photos of a flower, 24 per class", lambda root: self.bursts(root, 24, 5)),
            Case("bursts of 3 to 6 photos of a flower, 6 per class", lambda root: self.bursts(root, 6, 5)),
            Case("one class of bursts, four of 120 flowers", self.one_class_of_bursts),
            Case("castings", self.castings),
            Case("castings, train and test", lambda root: copy_tree(self._photos / "casting", root), True),
            Case("digits", WRITERS["digits"]),
            Case("600 flowers", lambda root: copy_tree(self._photos / "flowers", root)),
            Case("3,670 flowers", lambda root: copy_tree(self._all_flowers, root)),
            Case("trash", lambda root: copy_tree(self._photos / "trash", root)),
            Case("100 flowers, 20 per class", lambda root: self.few_flowers(root, 5, 20)),
            Case("two classes of 120 flowers", lambda root: self.few_flowers(root, 2, 120)),
            Case("flowers and trash, 11 classes", self.many_classes),
            Case("600 flowers and 30 copies of them", self.duplicates)]

    def flowers(self, seed: int) -> dict[str, list[Path]]:
        """Return the photos of each class in random order."""
        rng = np.random.default_rng(seed)
        folders = sorted((self._photos / "flowers").iterdir())
        classes = {folder.name: sorted(folder.glob("*.jpg")) for folder in folders}
        return {label: [paths[row] for row in rng.permutation(len(paths))] for label, paths in classes.items()}

    def videos(self, root: Path, camera: tuple[float, float, float], n_videos: int = 12, n_frames: int = 20) -> None:
        """Write videos, and give a random half of them one label and the other half another."""
        rng, paths = np.random.default_rng(0), sorted(self._all_flowers.glob("*/*.jpg"))
        labels = rng.permutation(["heads", "tails"] * (n_videos // 2))
        for video, row in enumerate(rng.choice(len(paths), n_videos, replace=False)):
            frames = frame_paths(root / labels[video], f"video{video:02}_frame", n_frames)
            write_video(open_photo(paths[row]), frames, rng, camera)

    def class_videos(self, root: Path) -> None:
        """Write six videos of each kind of flower."""
        rng = np.random.default_rng(1)
        for label, paths in self.flowers(1).items():
            for video, path in enumerate(paths[:6]):
                frames = frame_paths(root / label, f"video{video:02}_frame", 15)
                write_video(open_photo(path), frames, rng, FAST_CAMERA)

    def bursts(self, root: Path, count: int, n_classes: int) -> None:
        """Write bursts of each kind of flower."""
        rng = np.random.default_rng(2)
        for label, paths in list(self.flowers(2).items())[:n_classes]:
            for burst, path in enumerate(paths[:count]):
                write_burst(open_photo(path), frame_paths(root / label, f"burst{burst:03}_", int(rng.integers(3, 7))),
                            rng)

    def one_class_of_bursts(self, root: Path) -> None:
        """Write bursts of one kind of flower, and single photos of the others."""
        self.bursts(root, 27, 1)
        for label, paths in list(self.flowers(3).items())[1:]:
            link_all(paths, root / label)

    def castings(self, root: Path) -> None:
        """Merge the training and test photos."""
        for part in ("train", "test"):
            for folder in (self._photos / "casting" / part).iterdir():
                link_all(sorted(folder.iterdir()), root / folder.name, f"{part}_")

    def few_flowers(self, root: Path, n_classes: int, count: int) -> None:
        """Write some of the flowers."""
        for label, paths in list(self.flowers(4).items())[:n_classes]:
            link_all(paths[:count], root / label)

    def many_classes(self, root: Path) -> None:
        """Write flowers and rubbish."""
        self.few_flowers(root, 5, 60)
        copy_tree(self._photos / "trash", root)

    def duplicates(self, root: Path) -> None:
        """Write all flowers, and smaller copies of 5 % of them."""
        rng = np.random.default_rng(5)
        for label, paths in self.flowers(5).items():
            link_all(paths, root / label)
            for number, path in enumerate(paths[:6]):
                photo, scale = open_photo(path), rng.uniform(0.5, 0.9)
                photo.resize((int(scale * photo.width), int(scale * photo.height))).save(
                    root / label / f"copy{number}.jpg", quality=75)


def open_photo(path: Path) -> Image.Image:
    """Return a photo."""
    with Image.open(path) as photo:
        return photo.convert("RGB")


def frame_paths(folder: Path, prefix: str, count: int) -> list[Path]:
    """Return the paths of the photos of a scene."""
    return [folder / f"{prefix}{number:03}.jpg" for number in range(count)]


def link_all(paths: list[Path], folder: Path, prefix: str = "") -> None:
    """Link photos into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        os.symlink(path.resolve(), folder / (prefix + path.name))


def copy_tree(source: Path, root: Path) -> None:
    """Copy a folder, without text files."""
    shutil.copytree(source, root, ignore=shutil.ignore_patterns("*.txt"), dirs_exist_ok=True)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--flowers", type=Path, required=True)
    parser.add_argument("--tfhub_module", default="efficientnet_lite0")
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    flags = parser.parse_args()
    extractor = open_extractor(flags.tfhub_module, model_dir=flags.work_dir / "models")
    for case in Builder(flags.photos, flags.flowers).cases():
        root = flags.work_dir / "repeated_scenes" / re.sub(r"\W+", "_", case.name)
        if not root.exists():
            case.build(root)
        dataset = read_case(case, root, extractor, flags.work_dir)
        print(judgement_row(case, dataset), flush=True)


def read_case(case: Case, root: Path, extractor: Extractor, work_dir: Path) -> Dataset:
    """Return the photos of a case with their bottlenecks."""
    dataset = read_dataset(root / "train" if case.has_test_folder else root)
    if case.has_test_folder:
        dataset = with_test_photos(dataset, read_dataset(root / "test"))
    return extract_bottlenecks(dataset, extractor, work_dir / "bottlenecks").dataset


def judgement_row(case: Case, dataset: Dataset) -> str:
    """Return a row of the table: how many seeds are judged correctly, and how many test photos repeat a scene (%)."""
    n_correct, found, true, seconds = 0, [], [], []
    n_frequent = 0
    for seed in SEEDS:
        split = split_photos(dataset, SplitOptions(seed=seed))
        start = time.perf_counter()
        matches = find_scene_matches(split)
        seconds.append(time.perf_counter() - start)
        assert matches
        repeats = repeats_scene(split, matches.rows)
        n_frequent += are_frequent(repeats, matches.y)
        n_correct += matches.are_frequent == are_frequent(repeats, matches.y)
        certain = matches.expected < MAX_EXPECTED_IF_CERTAIN
        for values, fractions in ((found, certain), (true, repeats)):
            values.append(100 * fractions.mean())
    return (f"| {case.name} | {len(dataset)} | {n_frequent} of {len(SEEDS)} | {n_correct} of {len(SEEDS)} | "
            f"{format_range(true)} | {format_range(found)} | {np.median(seconds):.3f} |")


def format_range(values: list[float]) -> str:
    """Return the median and the range of percentages."""
    return f"{np.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def scene_of(photo: Photo) -> str:
    """Return the scene of a photo: its video or burst, or the photo itself."""
    match = SCENE_NAME.match(photo.name)
    return f"{photo.label}/{match[1]}" if match else photo.uri


def repeats_scene(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Return whether each of these test photos really shows the scene of a training photo: bool [rows]."""
    assert dataset.split
    scenes = np.array([scene_of(photo) for photo in dataset.photos])
    return np.isin(scenes[rows], scenes[dataset.split.parts != TEST])


if __name__ == "__main__":
    main()
