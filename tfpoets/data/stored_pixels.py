"""Decoded photos in one file on disk, for a training that sees each of them many times."""
from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tfpoets.errors import DataError, PhotoError
from tfpoets.progress import progress_bar

from .dataset import Photo
from .decode import PIXELS_VERSION, load_pixels


def store_pixels(photos: Sequence[Photo], height: int, width: int, folder: Path, workers: int) -> np.ndarray:
    """Decodes photos into a file of `folder`, or opens it where it is there already.

    Returns:
        uint8 [photos, height, width, 3], memory-mapped, read-only.

    Raises:
        DataError: a photo cannot be read any more, or there is no space.
    """
    content = "".join(photo.digest for photo in photos)
    key = hashlib.blake2b(f"{content}/{height}/{width}/{PIXELS_VERSION}".encode(), digest_size=6).hexdigest()
    path = folder / f"pixels-{key}.npy"
    try:
        return np.load(path, mmap_mode="r")
    except (FileNotFoundError, ValueError, EOFError):  # not there yet, or cut short
        _store(photos, height, width, path, workers)
    return np.load(path, mmap_mode="r")


def _store(photos: Sequence[Photo], height: int, width: int, path: Path, workers: int) -> None:
    part = path.with_suffix(".part")
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(photos), height, width, 3)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written, not mapped: a full disk is an error here, and the end of the process there.
        with part.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            with ThreadPoolExecutor(workers) as pool, progress_bar(len(photos), "Decoding", "photo") as bar:
                for pixels in pool.map(lambda photo: load_pixels(photo.read(), height, width), photos):
                    file.write(pixels.tobytes())
                    bar.update()
        part.replace(path)
    except PhotoError as error:
        part.unlink(missing_ok=True)
        raise DataError(f"A photo cannot be read any more: {error}.", "Run the same command again.") from error
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DataError(f"The decoded photos cannot be kept in {path.parent}: {error.strerror}.",
                        "Give another folder with `bottleneck_dir`.") from error
