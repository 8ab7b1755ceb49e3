"""Decoded photos in one file on disk, for a training that sees each of them many times."""
from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from scripts.console import UserError, progress_bar

from .pixels import PIXELS_VERSION, PhotoError, load_pixels
from .tree import Photo


def store_pixels(photos: Sequence[Photo], height: int, width: int, folder: Path, workers: int) -> np.ndarray:
    """Decodes photos into a file of `folder`, or opens it where it is there already.

    Returns:
        uint8 [photos, height, width, 3], memory-mapped, read-only.

    Raises:
        UserError: a photo cannot be read any more, or there is no space.
    """
    content = "".join(photo.digest for photo in photos)
    key = hashlib.blake2b(f"{content}/{height}/{width}/{PIXELS_VERSION}".encode(), digest_size=6).hexdigest()
    path = folder / f"pixels-{key}.npy"
    if not path.exists():
        part = path.with_suffix(".part")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stored = np.lib.format.open_memmap(part, "w+", np.uint8, (len(photos), height, width, 3))
            with ThreadPoolExecutor(workers) as pool, progress_bar(len(photos), "Decoding", "photo") as bar:
                for row, pixels in enumerate(pool.map(lambda photo: load_pixels(photo.path, height, width), photos)):
                    stored[row] = pixels
                    bar.update()
            stored.flush()
            part.replace(path)
        except PhotoError as error:
            raise UserError(f"A photo cannot be read any more: {error}.", "Run the same command again.") from error
        except OSError as error:
            raise UserError(f"The decoded photos cannot be kept in {folder}: {error.strerror}.",
                            "Give another folder with --bottleneck_dir.") from error
    return np.load(path, mmap_mode="r")
