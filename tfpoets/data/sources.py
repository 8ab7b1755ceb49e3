"""The list of photo sources, and the functions that find the source for a location and read its dataset."""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tfpoets.errors import DataError, OptionError, closest_match

from .cloud_address import SCHEMES, is_cloud_address
from .cloud_source import CloudSource
from .dataset import Dataset
from .dataset_options import DatasetOptions
from .folder_source import FolderSource, PatternSource
from .groups import with_groups
from .local_files import FileReader
from .manifest_source import ManifestSource
from .name_patterns import compile_pattern


class PhotoSource(FileReader, Protocol):
    """A source of labelled photos at one location.

    It can be pickled, and used by several threads and processes at once.
    """

    def dataset(self, min_classes: int = 2) -> Dataset:
        """List the photos, without reading any; the `source` of each photo is this object.

        Args:
            min_classes: The minimum number of classes.

        Raises:
            DataError: The location does not contain such photos.
        """


# Functions that take a location and return a PhotoSource, or None for a location of a different kind. The first one
# that returns a source is used. A source that needs an optional package must not import it before that, so that
# the others work without the package.
PHOTO_SOURCES: list[Callable[[str], PhotoSource | None]] = [CloudSource.at, FolderSource.at]


def open_source(location: Path | str) -> PhotoSource:
    """Return the source of the photos at a location.

    Args:
        location: A folder, an address in cloud storage, or another location that one of PHOTO_SOURCES recognizes.

    Raises:
        DataError: No source recognizes the location.
    """
    location = os.fspath(location)
    for make_source in PHOTO_SOURCES:
        source = make_source(location)
        if source is not None:
            return source
    if "://" in location:
        raise DataError(f"Photos cannot be read from {location}.",
                        f"Use a folder on this machine, or an address that begins with {SCHEMES}.")
    raise _not_a_folder(Path(location))


def read_dataset(location: Path | str | None, min_classes: int = 2, options: DatasetOptions = DatasetOptions(),
                 groups_required: bool = True) -> Dataset:
    """List the photos at a location with their labels, without decoding any.

    Args:
        location: A folder that holds one folder of photos per class, possibly in folders for training, validation and
            test; the address of such a folder in cloud storage; or another location that one of PHOTO_SOURCES
            recognizes. With `options.manifest`, the folder of the photos in the manifest, or None for the folder of
            the manifest itself.
        min_classes: The minimum number of classes; a classifier needs two.
        options: Where the labels and groups of the photos are, if not in the names of folders.
        groups_required: Whether `options.group_pattern` must match a photo.

    Returns:
        The dataset; its photos have no digests yet.

    Raises:
        DataError: The location does not contain such photos; the message describes what it contains instead.
        OptionError: There is neither a location nor a manifest.
    """
    dataset = _find_source(location, options).dataset(min_classes)
    if not options.group_pattern:
        return dataset
    return with_groups(dataset, options.group_pattern, options.manifest[0].parent if location is None else location,
                       groups_required)


def _find_source(location: Path | str | None, options: DatasetOptions) -> PhotoSource:
    """Return the source for a location and the options."""
    if options.manifest:
        return ManifestSource(options.manifest, None if location is None else _folder(location))
    if location is None:
        raise OptionError("`image_dir` is missing.", "Set it to the photo folder.")
    if not options.label_pattern:
        return open_source(location)
    pattern = compile_pattern("label_pattern", options.label_pattern, "label")
    return CloudSource.at(os.fspath(location), pattern) or PatternSource(_folder(location), pattern)


def _folder(location: Path | str) -> Path:
    if isinstance(location, str) and is_cloud_address(location):
        raise DataError(f"The photos of a `manifest` cannot be read from {location}.",
                        "Use a folder on this machine, or class folders in the bucket.")
    folder = Path(location)
    if not folder.is_dir():
        raise _not_a_folder(folder)
    return folder


def _not_a_folder(path: Path) -> DataError:
    if is_cloud_address(str(path).replace(":/", "://", 1)):  # Path("s3://bucket") has only one slash
        return DataError(f"{path} is the path of an address, which has lost a slash.", "Pass it as a string.")
    if path.exists():
        return DataError(f"{path} is a file, not a folder of photos.",
                         "If it is an archive, unpack it first; then use the folder that holds one folder per class.")
    if path.is_symlink():
        return DataError(f"{path} is a link that does not lead to a folder.",
                         "Set `image_dir` to the folder that holds one folder of photos per class.")
    siblings = [sibling.name for sibling in path.parent.iterdir()] if path.parent.is_dir() else []
    guess = closest_match(path.name, siblings)
    return DataError(f"There is no folder {path}.", f"Did you mean {path.parent / guess}?" if guess else
                     "Set `image_dir` to the folder that holds one folder of photos per class.")
