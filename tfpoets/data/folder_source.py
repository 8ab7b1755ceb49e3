"""A folder with one folder of photos per class, and what is wrong with it, in a sentence that helps."""
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

# What operating systems and tools leave in folders; nobody put these there, so nobody wants to hear of them.
JUNK_NAMES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin"})


class FolderSource(LocalFiles):
    """A folder that holds one folder of photos per class; a folder's name is the label of its photos.

    Every file in a class folder that is not known junk counts as a photo until reading it proves otherwise.
    """

    def __init__(self, root: Path):
        self._root = root

    @classmethod
    def at(cls, location: str) -> FolderSource | None:
        """Return the source for a location, or None where it is not a folder."""
        return cls(Path(location)) if os.path.isdir(location) else None

    def dataset(self, least_classes: int = 2) -> Dataset:
        """List the photos.

        Raises:
            DataError: the folder is laid out in another way; the sentence says in which.
        """
        files: dict[str, list[Path]] = {}
        for folder in _folders(self._root):
            found = _files(folder)
            if found:
                files[_label(folder, files)] = found
        order = sorted(files)
        _check_classes(self._root, order, least_classes)
        _log_what_is_left_out(self._root, order)
        return Dataset(str(self._root), tuple(order),
                       tuple(self._photo(path, label) for label in order for path in files[label]))

    def _photo(self, path: Path, label: str) -> Photo:
        """A photo; TensorFlow for Poets' rule: files whose names agree up to `_nohash_` show one object."""
        stem, mark, _ = path.name.partition("_nohash_")
        return Photo(str(path), label, group=f"{label}/{stem}" if mark else "", source=self)


def is_junk(name: str) -> bool:
    """Whether a file or folder of this name is the operating system's or hidden, not the user's."""
    return name.startswith(".") or name.lower() in JUNK_NAMES


def _folders(folder: Path) -> list[Path]:
    return _entries(folder, lambda entry: entry.is_dir())


def _files(folder: Path) -> list[Path]:
    return _entries(folder, lambda entry: not entry.is_dir())


def _entries(folder: Path, wanted: Callable[[os.DirEntry], bool]) -> list[Path]:
    """What a folder holds but junk, by name; without asking the disk about each."""
    with os.scandir(folder) as entries:
        return [folder / name for name in sorted(entry.name for entry in entries
                                                 if not is_junk(entry.name) and wanted(entry))]


def _photo_files(folder: Path) -> list[Path]:
    return [path for path in _files(folder) if has_photo_suffix(path)]


def _label(folder: Path, taken: Container[str]) -> str:
    """The class a folder stands for: its name in Unicode NFC (macOS hands out NFD), otherwise as it is."""
    label = unicodedata.normalize("NFC", folder.name)
    if any(character in label for character in "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"):
        raise DataError(f"The name of the folder {folder.name!r} holds a line break, and the label file has one label "
                        "a line.", "Rename the folder.")
    try:
        label.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"The name of the folder {folder.name!r} is not valid text.", "Rename the folder.") from None
    if label in taken:
        raise DataError(f"Two folders are called {label!r}: their names look the same but are spelled with different "
                        "Unicode characters.", "Rename one, or put their photos into one folder.")
    return label


def _check_classes(root: Path, labels: list[str], least: int) -> None:
    """Raises the DataError that tells what kind of folder was given instead of a folder of class folders."""
    if len(labels) >= least:
        return
    if _photo_files(root):
        raise DataError(f"{root} holds photos itself, so it looks like one class, not like a folder of classes.",
                        f"Give the folder above it: `image_dir`={root.resolve().parent}")
    deeper = [folder for folder in _folders(root) if sum(bool(_photo_files(sub)) for sub in _folders(folder)) >= 2]
    if deeper:
        raise DataError(f"The photos under {root} lie one level too deep: its folder {deeper[0].name} holds the "
                        "folders of photos.", f"Give that one: `image_dir`={deeper[0]}")
    if labels:
        raise DataError(f"{root} holds photos of one class only ({labels[0]}); a classifier needs at least two.",
                        "Add a folder with photos of something else.")
    raise DataError(f"There are no photos in the folders of {root}.",
                    "It needs one folder per class, with the photos of that class inside.")


def _log_what_is_left_out(root: Path, labels: Sequence[str]) -> None:
    beside = len(_photo_files(root))
    if beside:
        log.warning("%d photos lie in %s itself, in no class folder; they are not used.", beside, root)
    for folder in _folders(root):
        if unicodedata.normalize("NFC", folder.name) not in labels:
            log.warning("The folder %s holds no files; it is not a class.", folder)
        for sub in _folders(folder):
            nested = len(_photo_files(sub))
            if nested:
                log.warning("%d photos lie deeper, in %s; they are not used.", nested, sub)
