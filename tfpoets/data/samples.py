"""Write sample photos: handwritten digits, which need no network, or flowers and CIFAR-10, which are downloaded.

Each set is written to a temporary folder next to its destination and renamed when it is complete, so that a killed run
leaves nothing that looks like a complete set.
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
# The size and hash are from TensorFlow Datasets (url_checksums/tf_flowers.txt): 228,813,984 bytes.
FLOWERS_SHA256 = "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c"
FLOWERS_COUNTS = {"daisy": 633, "dandelion": 898, "roses": 641, "sunflowers": 699, "tulips": 799}
FLOWERS_ARCHIVE_FOLDER = "flower_photos"
MAX_ARCHIVE_BYTES = 300_000_000
MAX_UNPACKED_BYTES = 1_000_000_000

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
# The name, without a suffix, under which Keras 3 looks for the archive before downloading it.
CIFAR10_KERAS_NAME = "cifar-10-batches-py-target_archive"
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR10_COUNTS = {f"{part}/{name}": count for part, count in (("train", 5000), ("test", 1000))
                  for name in CIFAR10_CLASSES}

TIMEOUT_SECONDS = 30.0
# No set takes this long to write: an older temporary folder was left by a killed run.
ABANDONED_SECONDS = 86400


@dataclass(frozen=True)
class SampleSet:
    """A set of sample photos on disk.

    Attributes:
        folder: The folder of the set.
        counts: The number of photos in each class folder, by the path of the class folder relative to `folder`.
        already_existed: Whether the set was complete before, so that nothing was written.
    """

    folder: Path
    counts: Mapping[str, int]
    already_existed: bool


def write_digits(folder: Path) -> SampleSet:
    """Write the 1,797 handwritten digits that come with scikit-learn as gray PNG files of 64 x 64 pixels.

    The files are identical every time. Source: the test part of "Optical Recognition of Handwritten Digits", UCI
    Machine Learning Repository.

    Args:
        folder: The destination of the class folders '0' to '9'. Each file is named after the index of its image in
            the data set, from 0000.

    Returns:
        The set in `folder`.

    Raises:
        DataError: `folder` contains something else.
    """
    if _is_complete(folder, DIGITS_COUNTS, "the handwritten digits"):
        return SampleSet(folder, DIGITS_COUNTS, already_existed=True)
    pixels, y = _load_digits()
    with _temporary_folder(folder) as temporary:
        _write_photos(temporary, pixels, y, tuple(DIGITS_COUNTS), number_width=4)
    return SampleSet(folder, DIGITS_COUNTS, already_existed=False)


def write_flowers(folder: Path, url: str = FLOWERS_URL, *, sha256: str | None = FLOWERS_SHA256,
                  counts: Mapping[str, int] = FLOWERS_COUNTS) -> SampleSet:
    """Download and unpack TensorFlow's 3,670 flower photos (229 MB; CC-BY, photographers in LICENSE.txt).

    Args:
        folder: The destination of the contents of the archive's folder `flower_photos`.
        url: The URL of the archive.
        sha256: The SHA-256 of the archive as hexadecimal digits, or None to accept any archive.
        counts: The minimum number of photos of each class in a complete set.

    Returns:
        The set in `folder`.

    Raises:
        DataError: `folder` contains something else, or the archive cannot be downloaded or is not the expected one.
    """
    if _is_complete(folder, counts, "the flower photos"):
        return SampleSet(folder, counts, already_existed=True)
    with _temporary_folder(folder) as temporary:
        archive = temporary.with_name("flower_photos.tgz")
        _download_flowers(url, archive, sha256)
        unpacked = temporary.parent / "unpacked" / FLOWERS_ARCHIVE_FOLDER
        unpacked.mkdir(parents=True)
        extract_tar_gz(archive, unpacked.parent, MAX_UNPACKED_BYTES, url)
        os.replace(unpacked, temporary)
        actual = _count_photos(temporary, counts)
        if actual != dict(counts):
            raise DataError(f"{url} is not the expected archive: it contains {sum(actual.values()):,} of the "
                            f"{sum(counts.values()):,} photos.", "Nothing was written.")
    return SampleSet(folder, counts, already_existed=False)


def write_cifar10(folder: Path) -> SampleSet:
    """Write the 60,000 photos of CIFAR-10, 32 x 32 pixels in RGB, which Keras downloads (170 MB), as PNG files.

    Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.

    Args:
        folder: The destination of the files train/<class>/NNNNN.png and test/<class>/NNNNN.png. NNNNN is the number of
            the photo in its part of the data set, from 00000; published lists of wrong labels use the same numbers.

    Returns:
        The set in `folder`.

    Raises:
        DataError: `folder` contains something else, or Keras cannot download the data.
    """
    if _is_complete(folder, CIFAR10_COUNTS, "CIFAR-10"):
        return SampleSet(folder, CIFAR10_COUNTS, already_existed=True)
    train, test = _load_cifar10()
    write_parts(folder, {"train": train, "test": test}, CIFAR10_CLASSES)
    return SampleSet(folder, CIFAR10_COUNTS, already_existed=False)


def write_parts(folder: Path, parts: Mapping[str, tuple[np.ndarray, np.ndarray]], labels: tuple[str, ...]) -> None:
    """Write photos from memory to the files `folder`/part/label/NNNNN.png, which appear all at once.

    Args:
        folder: The destination, which must be empty or missing.
        parts: The photos and targets of each part (train, test): uint8 [n, height, width, 3] or [n, height, width],
            and integers [n] or [n, 1], which are indices into `labels`.
        labels: The names of the class folders.
    """
    with _temporary_folder(folder) as temporary:
        for part, (pixels, y) in parts.items():
            _write_photos(temporary / part, pixels, np.ravel(y), labels, number_width=5)


def _write_photos(folder: Path, pixels: np.ndarray, y: np.ndarray, labels: tuple[str, ...],
                  number_width: int) -> None:
    for label in labels:
        (folder / label).mkdir(parents=True)
    with progress_bar(len(pixels), "Writing photos", "photo") as bar:
        for number, (photo, target) in enumerate(zip(pixels, y, strict=True)):
            Image.fromarray(photo).save(folder / labels[target] / f"{number:0{number_width}d}.png")
            bar.update()


def _load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the enlarged digits, uint8 [1797, 64, 64], and their targets, int64 [1797]."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    scans = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    # Bicubic resampling makes the strokes of an 8 x 8 scan round, like handwriting; nearest-neighbour gives blocks.
    photos = [Image.fromarray(scan).resize((DIGITS_SIDE, DIGITS_SIDE), Image.Resampling.BICUBIC) for scan in scans]
    return np.stack([np.asarray(photo) for photo in photos]), digits.target


def _download_flowers(url: str, archive: Path, sha256: str | None) -> None:
    try:
        download_file(url, archive, description="Downloading flower photos", max_bytes=MAX_ARCHIVE_BYTES,
                      sha256=sha256, timeout=TIMEOUT_SECONDS)
    except TfpoetsError as error:
        raise DataError(error.problem, f"{error.remedy} The digits need no download: "
                        "`tfpoets sample_photos` digits") from error


def _load_cifar10() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return the pixels, uint8 [n, 32, 32, 3], and targets, uint8 [n, 1], of 50,000 train and 10,000 test photos."""
    cifar10 = import_tensorflow().keras.datasets.cifar10
    timeout = socket.getdefaulttimeout()
    # By default Keras waits forever for a server that does not respond, and it has no option for a timeout.
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    try:
        # Keras prints progress to standard output, which is reserved for the results of the command.
        with contextlib.redirect_stdout(sys.stderr):
            return cifar10.load_data()
    # Keras raises a bare Exception for every network error.
    except Exception as error:
        keras_folder = Path(os.environ.get("KERAS_HOME", "~/.keras")) / "datasets"
        raise DataError(f"Keras could not download CIFAR-10: {one_line(error)}",
                        f"If this machine has no internet connection, download {CIFAR10_URL} on another one and "
                        f"save it in {keras_folder} as {CIFAR10_KERAS_NAME}; then run the "
                        "same command again.") from error
    finally:
        socket.setdefaulttimeout(timeout)


def _is_complete(folder: Path, counts: Mapping[str, int], set_name: str) -> bool:
    """Return whether a folder contains the complete set; False if it is empty or missing.

    Raises:
        DataError: The folder contains something else.
    """
    try:
        if not any(folder.iterdir()):
            return False
    except FileNotFoundError:
        return False
    except NotADirectoryError as error:
        raise DataError(f"{folder} is a file, not a folder.", "Choose another folder with `output_dir`.") from error
    actual = _count_photos(folder, counts)
    if actual == dict(counts):
        return True
    raise DataError(f"{folder} is not empty and not a complete copy of {set_name}: it contains "
                    f"{sum(actual.values()):,} of the {sum(counts.values()):,} photos.",
                    "Choose another folder with `output_dir`, or delete this one and run the same command again.")


def _count_photos(folder: Path, counts: Mapping[str, int]) -> dict[str, int]:
    """Return the number of photos in each class folder, at most the expected number: added photos do not count."""
    return {name: min(_count_files(folder / name), expected) for name, expected in counts.items()}


def _count_files(folder: Path) -> int:
    try:
        with os.scandir(folder) as entries:
            return sum(not entry.name.startswith(".") and entry.is_file() and entry.stat().st_size > 0
                       for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return 0


@contextlib.contextmanager
def _temporary_folder(folder: Path) -> Iterator[Path]:
    """Yield a path at which the block creates a folder; rename that to `folder` when the block succeeds."""
    # Symbolic links are resolved, so that the temporary folder is on the same disk as its destination.
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned_folders(folder)
    parent = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
    try:
        temporary = parent / "photos"
        yield temporary
        # Windows cannot rename to the name of an existing folder, even an empty one.
        if folder.is_dir():
            folder.rmdir()
        temporary.rename(folder)
    finally:
        shutil.rmtree(parent, ignore_errors=True)


def _remove_abandoned_folders(folder: Path) -> None:
    for temporary in folder.parent.glob(f".{glob.escape(folder.name)}.*.partial"):
        with contextlib.suppress(OSError):
            if time.time() - temporary.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(temporary, ignore_errors=True)
