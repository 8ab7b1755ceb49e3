"""A folder with one folder of photos per class, and what is wrong with it, in a sentence that helps."""
from __future__ import annotations

import hashlib
import logging
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tfpoets.errors import DataError, nearest

from .formats import has_photo_suffix

log = logging.getLogger(__name__)

# What operating systems and tools leave in folders; nobody put these there, so nobody wants to hear of them.
JUNK_NAMES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin"})


@dataclass(frozen=True, slots=True)
class Photo:
    """One file of a class folder.

    Attributes:
        path: where it lies.
        label: its class.
        digest: BLAKE2b-128 of the file's bytes as 32 hexadecimal digits; empty until the file has been read.
    """

    path: Path
    label: str
    digest: str = ""


@dataclass(frozen=True)
class Dataset:
    """The photos of a folder, ordered by label and then by file name.

    Attributes:
        root: the folder of class folders.
        labels: the classes in sorted order: the order of every classifier's outputs.
        photos: all photos, in the order that every matrix of bottlenecks keeps.
    """

    root: Path
    labels: tuple[str, ...]
    photos: tuple[Photo, ...]

    @property
    def targets(self) -> np.ndarray:
        """The photos' classes as indices into `labels`: int64 [photos]."""
        index = {label: i for i, label in enumerate(self.labels)}
        return np.array([index[photo.label] for photo in self.photos], np.int64)

    def only(self, kept: np.ndarray) -> Dataset:
        """The same labels with some of the photos: those where bool [photos] says so."""
        return replace(self, photos=tuple(photo for photo, keep in zip(self.photos, kept) if keep))

    def counts(self) -> dict[str, int]:
        """How many photos each label has, in label order."""
        counted = Counter(photo.label for photo in self.photos)
        return {label: counted[label] for label in self.labels}


def photo_digest(data: bytes) -> str:
    """The identity of a photo: BLAKE2b-128 (RFC 7693) of its file's bytes, as 32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def is_junk(name: str) -> bool:
    """Whether a file or folder of this name is the operating system's or hidden, not the user's."""
    return name.startswith(".") or name.lower() in JUNK_NAMES


def read_dataset(root: Path | str, least_classes: int = 2) -> Dataset:
    """Lists a folder of class folders, without reading a photo.

    Every file in a class folder that is not known junk counts as a photo until reading it proves otherwise.

    Args:
        root: a folder that holds one folder of photos per class.
        least_classes: how many there must be; a classifier needs two.

    Returns:
        The dataset; its photos have no digest yet.

    Raises:
        DataError: the folder is missing or laid out in another way; the sentence says in which.
    """
    root = Path(root)
    _check_is_folder(root)
    files: dict[str, list[Path]] = {}
    for folder in _folders(root):
        found = _files(folder)
        if found:
            files[_label(folder, files)] = found
    order = sorted(files)
    _check_classes(root, order, least_classes)
    _log_what_is_left_out(root, order)
    return Dataset(root, tuple(order), tuple(Photo(path, label) for label in order for path in files[label]))


def with_test_folder(dataset: Dataset, folder: Path) -> Dataset:
    """A dataset with the photos of another folder, of the same classes, behind its own.

    Raises:
        DataError: the two hold different classes.
    """
    tests = read_dataset(folder, least_classes=1)
    for having, lacking, where in ((dataset, tests, folder), (tests, dataset, dataset.root)):
        missing = sorted(set(having.labels) - set(lacking.labels))
        if missing:
            raise DataError(f"{where} has no photos of {', '.join(missing[:10])}; training and test must hold the "
                            "same classes.", "Add a folder for each, or take the other away.")
    return Dataset(dataset.root, dataset.labels, (*dataset.photos, *tests.photos))


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


def _check_is_folder(root: Path) -> None:
    if root.is_dir():
        return
    if root.exists():
        raise DataError(f"{root} is a file, not a folder of photos.",
                        "If it is an archive, unpack it first; then give the folder that holds one folder per class.")
    siblings = [path.name for path in root.parent.iterdir()] if root.parent.is_dir() else []
    guess = nearest(root.name, siblings)
    raise DataError(f"There is no folder {root}.", f"Did you mean {root.parent / guess}?" if guess else
                    "Give `image_dir` the folder that holds one folder of photos per class.")


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
