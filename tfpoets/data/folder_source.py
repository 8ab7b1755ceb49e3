"""Read the photos of a folder that holds one folder per class."""
from __future__ import annotations

import logging
import os
import unicodedata
from collections.abc import Callable, Container, Sequence
from pathlib import Path

from tfpoets.errors import DataError

from .dataset import Dataset, Photo
from .formats import has_photo_suffix
from .local_files import LocalFiles

log = logging.getLogger(__name__)

# Files and folders that operating systems and tools create, in lower case. They are skipped without a message.
JUNK_NAMES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin"})
# The characters at which str.splitlines breaks a line.
LINE_BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


class FolderSource(LocalFiles):
    """A folder that holds one folder of photos per class; the name of a class folder is the label of its photos.

    Every file in a class folder counts as a photo, except known junk; reading the file later shows whether it is one.
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
        files: dict[str, list[Path]] = {}
        for folder in _list_folders(self._root):
            paths = _list_files(folder)
            if paths:
                files[_folder_label(folder, files)] = paths
        labels = sorted(files)
        _check_classes(self._root, labels, min_classes)
        _log_unused_photos(self._root, labels)
        return Dataset(str(self._root), tuple(labels),
                       tuple(self._photo(path, label) for label in labels for path in files[label]))

    def _photo(self, path: Path, label: str) -> Photo:
        # A rule of TensorFlow for Poets: files whose names are equal up to `_nohash_` show the same object.
        stem, separator, _ = path.name.partition("_nohash_")
        return Photo(str(path), label, group=f"{label}/{stem}" if separator else "", source=self)


def is_junk(name: str) -> bool:
    """Return whether a file or folder of this name is hidden or was created by the operating system."""
    return name.startswith(".") or name.lower() in JUNK_NAMES


def _list_folders(folder: Path) -> list[Path]:
    return _list_entries(folder, lambda entry: entry.is_dir())


def _list_files(folder: Path) -> list[Path]:
    return _list_entries(folder, lambda entry: not entry.is_dir())


def _list_entries(folder: Path, condition: Callable[[os.DirEntry], bool]) -> list[Path]:
    """List the entries of a folder that meet the condition, except junk, in order of their names."""
    with os.scandir(folder) as entries:  # tells files from folders without a stat call for each
        return [folder / name for name in sorted(entry.name for entry in entries
                                                 if not is_junk(entry.name) and condition(entry))]


def _list_photo_files(folder: Path) -> list[Path]:
    return [path for path in _list_files(folder) if has_photo_suffix(path)]


def _folder_label(folder: Path, other_labels: Container[str]) -> str:
    """Return the label of a class folder: its name in Unicode NFC (macOS may return NFD), otherwise unchanged.

    Raises:
        DataError: The name cannot be a label, or is the same as one of `other_labels`.
    """
    label = unicodedata.normalize("NFC", folder.name)
    if any(character in label for character in LINE_BREAKS):
        raise DataError(f"The name of the folder {folder.name!r} contains a line break, but the label file has one "
                        "label per line.", "Rename the folder.")
    try:
        label.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"The name of the folder {folder.name!r} is not valid text.", "Rename the folder.") from None
    if label in other_labels:
        raise DataError(f"Two folders are called {label!r}: their names look the same but are spelled with different "
                        "Unicode characters.", "Rename one, or move their photos into one folder.")
    return label


def _check_classes(root: Path, labels: list[str], min_classes: int) -> None:
    """Raise a DataError that explains what is wrong with the folder if it has too few classes."""
    if len(labels) >= min_classes:
        return
    if _list_photo_files(root):
        raise DataError(f"{root} contains photos directly: it looks like a single class, not a folder of classes.",
                        f"Use the folder above it: `image_dir`={root.resolve().parent}")
    class_parents = [folder for folder in _list_folders(root)
                     if sum(bool(_list_photo_files(subfolder)) for subfolder in _list_folders(folder)) >= 2]
    if class_parents:
        raise DataError(f"The photos under {root} are one level too deep: the class folders are in "
                        f"{class_parents[0].name}.", f"Use that folder: `image_dir`={class_parents[0]}")
    if labels:
        raise DataError(f"{root} contains photos of one class only ({labels[0]}); a classifier needs at least two.",
                        "Add a folder with photos of something else.")
    raise DataError(f"There are no photos in the folders of {root}.",
                    "It needs one folder per class, with the photos of that class inside.")


def _log_unused_photos(root: Path, labels: Sequence[str]) -> None:
    """Log photos and folders that are not used because of where they are."""
    n_in_root = len(_list_photo_files(root))
    if n_in_root:
        log.warning("Ignored %s directly in %s, outside the class folders.", _format_count(n_in_root), root)
    for folder in _list_folders(root):
        if unicodedata.normalize("NFC", folder.name) not in labels:
            log.warning("The folder %s contains no files; it is not used as a class.", folder)
        for subfolder in _list_folders(folder):
            n_nested = len(_list_photo_files(subfolder))
            if n_nested:
                log.warning("Ignored %s in %s, a folder inside a class folder.", _format_count(n_nested), subfolder)


def _format_count(count: int) -> str:
    return "1 photo" if count == 1 else f"{count} photos"
