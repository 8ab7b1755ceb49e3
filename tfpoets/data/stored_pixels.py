"""Store decoded photos in a file, for training that uses each photo many times."""
from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfpoets.errors import DataError, PhotoError
from tfpoets.files import partial_path
from tfpoets.parallel import map_in_order
from tfpoets.progress import progress_bar

from .dataset import Photo
from .decode import PIXELS_VERSION, load_pixels
from .read_ahead import reading_ahead

# The file ends with a hash of everything before it.
HASH_BYTES = 16
READ_BYTES = 1 << 22


def store_pixels(photos: Sequence[Photo], height: int, width: int, folder: Path, workers: int) -> np.ndarray:
    """Decode photos into a file in `folder`, or open the file if it exists already and is undamaged.

    Args:
        photos: Photos with digests.
        height: The height of the result in pixels.
        width: The width of the result in pixels.
        folder: The folder of the file; created if it is missing.
        workers: The number of threads.

    Returns:
        uint8 [n, height, width, 3], memory-mapped and read-only.

    Raises:
        DataError: A photo can no longer be read, or the file cannot be written.
    """
    digests = "".join(photo.digest for photo in photos)
    key = hashlib.blake2b(f"{digests}/{height}/{width}/{PIXELS_VERSION}".encode(), digest_size=6).hexdigest()
    path = folder / f"pixels-{key}.npy"
    if not _is_intact(path):
        _write_pixels(photos, height, width, path, workers)
    return np.load(path, mmap_mode="r")


def _is_intact(path: Path) -> bool:
    """Return whether a file exists and ends with the hash of its content; earlier versions wrote none."""
    hash_ = hashlib.blake2b(digest_size=HASH_BYTES)
    try:
        with path.open("rb") as file:
            remaining = path.stat().st_size - HASH_BYTES
            while remaining > 0 and (content := file.read(min(READ_BYTES, remaining))):
                hash_.update(content)
                remaining -= len(content)
            return remaining == 0 and file.read() == hash_.digest()
    except OSError:
        return False


def _write_pixels(photos: Sequence[Photo], height: int, width: int, path: Path, workers: int) -> None:
    """Decode the photos and write their pixels to a .npy file, which appears when it is complete."""
    part, hash_ = partial_path(path), hashlib.blake2b(digest_size=HASH_BYTES)
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(photos), height, width, 3)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written instead of memory-mapped: with a memory map, a full disk would kill the process instead of raising an
        # error.
        beginning = io.BytesIO()
        np.lib.format.write_array_header_1_0(beginning, header)
        with part.open("wb") as file, reading_ahead(photos), progress_bar(len(photos), "Decoding", "photo") as bar:
            file.write(beginning.getvalue())
            hash_.update(beginning.getvalue())
            for pixels in map_in_order(lambda photo: load_pixels(photo.read(), height, width), photos, workers):
                file.write(pixels.tobytes())
                hash_.update(pixels.tobytes())
                bar.update()
            file.write(hash_.digest())
        part.replace(path)
    except PhotoError as error:
        raise DataError(f"A photo can no longer be read: {error}.", "Run the same command again.") from error
    except OSError as error:
        raise DataError(f"The decoded photos cannot be written to {path.parent}: {error.strerror}.",
                        "Choose another folder with `bottleneck_dir`.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
