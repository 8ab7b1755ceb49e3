"""Photos to try things on: handwritten digits without a network, flowers and CIFAR-10 with one.

Each set is built in a private folder beside the wanted one and renamed when it is whole, so that a run that was killed
leaves nothing that could be taken for it.
"""
from __future__ import annotations

import contextlib
import glob
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tfpoets.download import download_file, extract_tar_gz
from tfpoets.errors import DataError, TfpoetsError, one_line
from tfpoets.progress import progress_bar
from tfpoets.tf_runtime import import_tensorflow

DIGITS_COUNTS = dict(zip("0123456789", (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)))
DIGITS_SIDE = 64

FLOWERS_URL = "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz"
# Size and hash as TensorFlow Datasets records them (url_checksums/tf_flowers.txt): 228,813,984 bytes.
FLOWERS_SHA256 = "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c"
FLOWERS_COUNTS = {"daisy": 633, "dandelion": 898, "roses": 641, "sunflowers": 699, "tulips": 799}
FLOWERS_TOP = "flower_photos"
MAX_ARCHIVE_BYTES = 300_000_000
MAX_UNPACKED_BYTES = 1_000_000_000

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
# Under this name, without a suffix, Keras 3 looks for the archive before it downloads it.
CIFAR10_KERAS_NAME = "cifar-10-batches-py-target_archive"
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR10_COUNTS = {f"{part}/{name}": count for part, count in (("train", 5000), ("test", 1000))
                  for name in CIFAR10_CLASSES}

NETWORK_SECONDS = 30.0
# No set takes this long to build: a private folder that is older belongs to a killed run.
ABANDONED_SECONDS = 86400


@dataclass(frozen=True)
class Sample:
    """A set of sample photos on disk.

    Attributes:
        folder: where the set lies.
        image_dir: the folder of class folders in it, for retraining.
        counts: photos in each class folder, by its path relative to `folder`.
        was_there: whether the set was complete before, and nothing was written.
    """

    folder: Path
    image_dir: Path
    counts: Mapping[str, int]
    was_there: bool


def write_digits(folder: Path) -> Sample:
    """Writes the 1,797 handwritten digits that come with scikit-learn as 64 x 64 gray PNG files, the same each time.

    Source: the test part of "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository.

    Args:
        folder: gets the class folders '0' to '9'; a file's name is the digit's number in the data set, from 0000.

    Returns:
        What lies in `folder` now.

    Raises:
        DataError: when `folder` holds something else.
    """
    if _is_complete(folder, DIGITS_COUNTS, "the handwritten digits"):
        return Sample(folder, folder, DIGITS_COUNTS, was_there=True)
    pixels, labels = _digits()
    with _built_beside(folder) as built:
        _write_photos(built, pixels, labels, tuple(DIGITS_COUNTS), number_width=4)
    return Sample(folder, folder, DIGITS_COUNTS, was_there=False)


def write_flowers(folder: Path, url: str = FLOWERS_URL, *, sha256: str | None = FLOWERS_SHA256,
                  counts: Mapping[str, int] = FLOWERS_COUNTS) -> Sample:
    """Downloads TensorFlow's 3,670 flower photos (229 MB; CC-BY, photographers in LICENSE.txt) and unpacks them.

    Args:
        folder: becomes what the archive's top folder `flower_photos` holds.
        url: where the archive lies.
        sha256: the archive's SHA-256 as hexadecimal digits, None to take any.
        counts: how many photos each class must have at least for the set to be complete.

    Returns:
        What lies in `folder` now.

    Raises:
        DataError: when `folder` holds something else, the archive cannot be had, or it is not what it should be.
    """
    if _is_complete(folder, counts, "the flower photos"):
        return Sample(folder, folder, counts, was_there=True)
    with _built_beside(folder) as built:
        archive = built.with_name("flower_photos.tgz")
        _download_flowers(url, archive, sha256)
        unpacked = built.parent / "unpacked" / FLOWERS_TOP
        unpacked.mkdir(parents=True)
        extract_tar_gz(archive, unpacked.parent, MAX_UNPACKED_BYTES, url)
        os.replace(unpacked, built)
        found = _count_photos(built, counts)
        if found != dict(counts):
            raise DataError(f"{url} is not the archive that was expected: it holds {sum(found.values()):,} of the "
                            f"{sum(counts.values()):,} photos.", "Nothing was kept.")
    return Sample(folder, folder, counts, was_there=False)


def write_cifar10(folder: Path) -> Sample:
    """Writes the 60,000 photos of CIFAR-10, 32 x 32 in RGB, that Keras downloads (170 MB), as PNG files.

    Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.

    Args:
        folder: gets train/<class>/NNNNN.png and test/<class>/NNNNN.png; NNNNN is the photo's number in its part of
            the data set, from 00000, as published lists of wrong labels use it.

    Returns:
        What lies in `folder` now; its image_dir is the train folder.

    Raises:
        DataError: when `folder` holds something else, or Keras cannot get the data.
    """
    if _is_complete(folder, CIFAR10_COUNTS, "CIFAR-10"):
        return Sample(folder, folder / "train", CIFAR10_COUNTS, was_there=True)
    train, test = _load_cifar10()
    write_parts(folder, {"train": train, "test": test}, CIFAR10_CLASSES)
    return Sample(folder, folder / "train", CIFAR10_COUNTS, was_there=False)


def write_parts(folder: Path, parts: Mapping[str, tuple[np.ndarray, np.ndarray]], classes: tuple[str, ...]) -> None:
    """Writes photos from memory to `folder`/part/class/NNNNN.png; all of them appear at once.

    Args:
        folder: a folder that is empty or not there.
        parts: for each part (train, test) its photos, uint8 [photos, height, width, 3] or [photos, height, width],
            and their classes as indices into `classes`, integers [photos] or [photos, 1].
        classes: names of the class folders.
    """
    with _built_beside(folder) as built:
        for part, (pixels, labels) in parts.items():
            _write_photos(built / part, pixels, np.ravel(labels), classes, number_width=5)


def _write_photos(folder: Path, pixels: np.ndarray, labels: np.ndarray, classes: tuple[str, ...],
                  number_width: int) -> None:
    for name in classes:
        (folder / name).mkdir(parents=True)
    with progress_bar(len(pixels), "Writing photos", "photo") as bar:
        for number, (photo, label) in enumerate(zip(pixels, labels, strict=True)):
            Image.fromarray(photo).save(folder / classes[label] / f"{number:0{number_width}d}.png")
            bar.update()


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """The digits enlarged: uint8 [1797, 64, 64], and which digits they are: int64 [1797]."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    small = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    # Bicubic: the strokes of an 8 x 8 scan come out round, as if written, where nearest would give blocks.
    large = [Image.fromarray(scan).resize((DIGITS_SIDE, DIGITS_SIDE), Image.Resampling.BICUBIC) for scan in small]
    return np.stack([np.asarray(photo) for photo in large]), digits.target


def _download_flowers(url: str, archive: Path, sha256: str | None) -> None:
    try:
        download_file(url, archive, what="Downloading flower photos", max_bytes=MAX_ARCHIVE_BYTES, sha256=sha256,
                      timeout=NETWORK_SECONDS)
    except TfpoetsError as error:
        raise DataError(error.problem, f"{error.remedy} The digits need no network: "
                        "`tfpoets sample_photos` digits") from error


def _load_cifar10() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """(train photos uint8 [50000, 32, 32, 3], labels uint8 [50000, 1]), (test photos [10000, ...], labels)."""
    cifar10 = import_tensorflow().keras.datasets.cifar10
    timeout = socket.getdefaulttimeout()
    # Keras waits without end for a server that has gone silent, and offers no other way to say how long it may.
    socket.setdefaulttimeout(NETWORK_SECONDS)
    try:
        # Keras reports on standard output, which belongs to the command's result.
        with contextlib.redirect_stdout(sys.stderr):
            return cifar10.load_data()
    # Keras raises bare Exception for whatever the network did.
    except Exception as error:
        keras_folder = Path(os.environ.get("KERAS_HOME", "~/.keras")) / "datasets"
        raise DataError(f"Keras could not get CIFAR-10: {one_line(error)}",
                        f"Where there is no network, put {CIFAR10_URL} into {keras_folder} by hand, "
                        f"under the name {CIFAR10_KERAS_NAME}, and run the same command again.") from error
    finally:
        socket.setdefaulttimeout(timeout)


def _is_complete(folder: Path, counts: Mapping[str, int], what: str) -> bool:
    """True for the whole set, False for a folder that may be written; raises DataError for any other folder."""
    try:
        if not any(folder.iterdir()):
            return False
    except FileNotFoundError:
        return False
    except NotADirectoryError as error:
        raise DataError(f"{folder} is a file, not a folder.", "Give another folder with `output_dir`.") from error
    found = _count_photos(folder, counts)
    if found == dict(counts):
        return True
    raise DataError(f"{folder} is not empty and is no complete copy of {what}: it holds {sum(found.values()):,} of "
                    f"the {sum(counts.values()):,} photos.",
                    "Give another folder with `output_dir`, or remove this one and run the same command again.")


def _count_photos(folder: Path, counts: Mapping[str, int]) -> dict[str, int]:
    """How many photos each class folder has, up to the wanted number: photos that somebody added do not matter."""
    return {name: min(_count_files(folder / name), wanted) for name, wanted in counts.items()}


def _count_files(folder: Path) -> int:
    try:
        with os.scandir(folder) as entries:
            return sum(not entry.name.startswith(".") and entry.is_file() and entry.stat().st_size > 0
                       for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return 0


@contextlib.contextmanager
def _built_beside(folder: Path) -> Iterator[Path]:
    """A path beside `folder` where the block builds a folder; it becomes `folder` when the block ends well."""
    # Through links, so that the private folder lies on the same disk as the place it is renamed to.
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder)
    private = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
    try:
        built = private / "photos"
        yield built
        # Windows does not rename onto a folder, not even onto an empty one.
        if folder.is_dir():
            folder.rmdir()
        built.rename(folder)
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _remove_abandoned(folder: Path) -> None:
    for private in folder.parent.glob(f".{glob.escape(folder.name)}.*.partial"):
        with contextlib.suppress(OSError):
            if time.time() - private.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(private, ignore_errors=True)
