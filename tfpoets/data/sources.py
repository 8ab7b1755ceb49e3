"""Where photos with labels come from: the list of sources, and the one way to read a dataset."""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tfpoets.errors import DataError, closest_match

from .dataset import Dataset
from .folder_source import FolderSource
from .local_files import FileReader


class PhotoSource(FileReader, Protocol):
    """Photos with labels at one location. It can be pickled; processes and threads share it."""

    def dataset(self, least_classes: int = 2) -> Dataset:
        """List the photos, without reading any; each has this source as its `source`.

        Args:
            least_classes: how many classes there must be.

        Raises:
            DataError: the location holds no such photos.
        """


# The first that recognises a location reads it: each takes the location and returns a PhotoSource or None.
PHOTO_SOURCES: list[Callable[[str], PhotoSource | None]] = [FolderSource.at]


def open_source(location: Path | str) -> PhotoSource:
    """Return the source of the photos at a location.

    Raises:
        DataError: there is nothing at the location that any source can read.
    """
    location = os.fspath(location)
    for find in PHOTO_SOURCES:
        source = find(location)
        if source is not None:
            return source
    if "://" in location:
        raise DataError(f"Photos cannot be read from {location}.", "Give a folder on this machine.")
    raise _nothing_at(Path(location))


def read_dataset(location: Path | str, least_classes: int = 2) -> Dataset:
    """List photos with their labels, without reading any.

    Args:
        location: a folder that holds one folder of photos per class, or another location that PHOTO_SOURCES know.
        least_classes: how many classes there must be; a classifier needs two.

    Returns:
        The dataset; its photos have no digest yet.

    Raises:
        DataError: there are no such photos; the sentence says why.
    """
    return open_source(location).dataset(least_classes)


def _nothing_at(root: Path) -> DataError:
    if root.exists():
        return DataError(f"{root} is a file, not a folder of photos.",
                         "If it is an archive, unpack it first; then give the folder that holds one folder per class.")
    siblings = [path.name for path in root.parent.iterdir()] if root.parent.is_dir() else []
    guess = closest_match(root.name, siblings)
    return DataError(f"There is no folder {root}.", f"Did you mean {root.parent / guess}?" if guess else
                     "Give `image_dir` the folder that holds one folder of photos per class.")
