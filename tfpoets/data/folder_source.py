"""Read the photos of a folder, whose labels are the names of class folders or are found in file names."""
from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path, PurePath

from tfpoets.errors import DataError

from .dataset import Dataset, Photo, count_photos
from .file_tree import FileTree, list_tree
from .labels import label_of_folder, label_of_text
from .layout_advice import single_class_error
from .layouts import Layout, format_photo_count, log_other_files, log_unused_files, recognize_layout
from .local_files import FileReader, LocalFiles
from .name_patterns import NamePattern
from .part_names import PARTS, TRAINING, parts_of_siblings

log = logging.getLogger(__name__)


class FolderSource(LocalFiles):
    """A folder with one folder of photos per class; the name of a class folder is the label of its photos.

    See `recognize_layout` for where the class folders may be. Folders for training, validation and test determine the
    parts of their photos.
    """

    def __init__(self, root: Path):
        self._root = root

    @classmethod
    def at(cls, location: str) -> FolderSource | None:
        """Return a source for the folder at `location`, or None if there is no folder."""
        return cls(Path(location)) if os.path.isdir(location) else None

    def dataset(self, min_classes: int = 2) -> Dataset:
        """List the photos.

        Args:
            min_classes: The minimum number of classes.

        Raises:
            DataError: The folder is not laid out in this way, or has fewer classes.
        """
        return read_class_folders(list_tree(self._root), self, min_classes)


class PatternSource(LocalFiles):
    """A folder of photos whose names contain their labels."""

    def __init__(self, root: Path, pattern: NamePattern):
        self._root, self._pattern = root, pattern

    def dataset(self, min_classes: int = 2) -> Dataset:
        """List the photos in the folder and below it.

        Args:
            min_classes: The minimum number of classes.

        Raises:
            DataError: No photo matches the pattern, or there are fewer classes.
        """
        return read_labels_in_names(list_tree(self._root), self._pattern, self, min_classes)


def read_class_folders(tree: FileTree, source: FileReader, min_classes: int) -> Dataset:
    """Return the photos of a folder whose class folders have the names of the labels.

    Args:
        tree: The folder.
        source: The reader that opens the photos.
        min_classes: The minimum number of classes.

    Raises:
        DataError: The folder is not laid out in this way, or has fewer classes.
    """
    layout = recognize_layout(tree)
    photos = list(_labelled_photos(layout, source))
    labels = sorted({photo.label for photo in photos})
    if len(labels) < min_classes:
        raise single_class_error(tree, labels[0])
    log_unused_files(tree, layout)
    description = ""
    if layout.has_parts or not layout.is_directly_in(tree.path):
        description = f"Recognized in {layout.folder.path}: {count_photos(photos)}."
        log.info(description)
    return Dataset(str(tree.path), tuple(labels), tuple(sort_photos(photos)), layout=description)


def _labelled_photos(layout: Layout, source: FileReader) -> Iterator[Photo]:
    folders: dict[tuple[str, str], PurePath] = {}  # the class folder of each label and part
    for folder in layout.class_folders:
        label, path = label_of_folder(folder.label, folder.tree.path), folder.tree.path
        other = folders.setdefault((label, folder.part), path)
        if other != path and other.parent == path.parent:
            raise DataError(f"Two folders are called {label!r}: their names look the same but are spelled with "
                            "different Unicode characters.",
                            "Rename one, or move their photos into one folder.")
        for name in folder.tree.photos:
            yield _make_photo(path / name, label, folder.part, source)


def read_labels_in_names(tree: FileTree, pattern: NamePattern, source: FileReader, min_classes: int) -> Dataset:
    """Return the photos of a folder and the folders below it whose names contain their labels.

    Args:
        tree: The folder.
        pattern: The pattern of the names.
        source: The reader that opens the photos.
        min_classes: The minimum number of classes.

    Raises:
        DataError: No photo matches the pattern, or there are fewer classes.
    """
    root, photos, unmatched = tree.path, [], []
    for path, part in _paths_and_parts(tree):
        label = pattern.find(path.relative_to(root))
        if label:
            photos.append(_make_photo(path, label_of_text(label, str(path)), part, source))
        else:
            unmatched.append(path)
    if not photos:
        raise DataError(f"`label_pattern`={pattern.text} matches none of the {tree.total} photos in "
                        f"{root}, such as {unmatched[0].relative_to(root)}." if unmatched else
                        f"There are no photos in {root}.", "Correct the pattern.")
    if unmatched:
        log.warning("Ignored %s whose names do not match `label_pattern`, such as %s.",
                    format_photo_count(len(unmatched)), unmatched[0].relative_to(root))
    labels = sorted({photo.label for photo in photos})
    if len(labels) < min_classes:
        raise DataError(f"`label_pattern`={pattern.text} finds only one label in {root}: {labels[0]}.",
                        "Correct the pattern.")
    log_other_files(tree)
    description = f"Labels found in the paths of the photos in {root}: {count_photos(photos)}."
    log.info(description)
    return Dataset(str(root), tuple(labels), tuple(sort_photos(photos)), layout=description)


def sort_photos(photos: list[Photo]) -> list[Photo]:
    """Return the photos sorted by label, part and URI."""
    return sorted(photos, key=lambda photo: (photo.label, photo.part, photo.uri))


def _paths_and_parts(tree: FileTree, part: str = "") -> Iterator[tuple[PurePath, str]]:
    """Yield the path and the part of each photo; folders for training, validation and test determine the parts."""
    for name in tree.photos:
        yield tree.path / name, part
    parts = {} if part else parts_of_siblings(folder.name for folder in tree.photo_folders)
    for folder in tree.photo_folders:
        yield from _paths_and_parts(folder, part or parts.get(folder.name, ""))


def reserved_part(part: str) -> str:
    """Return the value of `Photo.part`: photos for training are not reserved, so the split may divide them."""
    return "" if part == PARTS[TRAINING] else part


def _make_photo(path: PurePath, label: str, part: str, source: FileReader) -> Photo:
    # A rule of TensorFlow for Poets: files whose names are equal up to `_nohash_` show the same object.
    stem, separator, _ = path.name.partition("_nohash_")
    return Photo(str(path), label, group=f"{label}/{stem}" if separator else "", part=reserved_part(part),
                 source=source)
