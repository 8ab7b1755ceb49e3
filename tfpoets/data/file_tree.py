"""List a folder with everything below it, and tell photos from other files."""
from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from .formats import has_photo_signature, has_photo_suffix
from .photo_files import read_photo_header

log = logging.getLogger(__name__)

# Folders further down are not listed, so that a wrong folder (such as the home folder) does not take minutes.
MAX_DEPTH = 10
# Files and folders that operating systems and tools create, in lower case. They are skipped without a message.
JUNK_NAMES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin"})


@dataclass
class FileTree:
    """A folder, with the photos, other files and folders in it, each in order of their names.

    Attributes:
        path: The path of the folder, or its address.
        photos: The names of the photos directly in it.
        other_files: The names of the files directly in it that are not photos, without junk.
        folders: The folders directly in it.
        total: The number of photos in the folder and below it.
    """

    path: PurePath
    photos: list[str] = field(default_factory=list)
    other_files: list[str] = field(default_factory=list)
    folders: list[FileTree] = field(default_factory=list)
    total: int = 0

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.path.name

    @property
    def photo_folders(self) -> list[FileTree]:
        """The folders directly in this one that have photos in them or below them."""
        return [folder for folder in self.folders if folder.total]

    def walk(self) -> Iterator[FileTree]:
        """Yield this folder and all folders below it, each before the ones in it."""
        yield self
        for folder in self.folders:
            yield from folder.walk()

    def photo_paths(self) -> Iterator[PurePath]:
        """Yield the paths of all photos in the folder and below it."""
        for folder in self.walk():
            for name in folder.photos:
                yield folder.path / name


def is_junk(name: str) -> bool:
    """Return whether a file or folder of this name is hidden or was created by the operating system."""
    return name.startswith(".") or name.lower() in JUNK_NAMES


def list_tree(root: Path) -> FileTree:
    """List a folder and everything below it, at most MAX_DEPTH levels deep.

    A file is a photo if its name has the suffix of an image format, or if it has the header of one. Only files without
    such a suffix are opened. Links to folders are followed, except to a folder that contains the link.

    Raises:
        OSError: The folder cannot be listed. A folder below it that cannot be listed is only logged.
    """
    return _list_tree(root, ())


def list_photos(folder: Path) -> list[Path]:
    """Return the paths of the photos directly in a folder."""
    return [folder / entry.name for entry in _list_entries(folder, is_root=True)
            if not is_junk(entry.name) and not _is_folder(entry) and _is_photo(entry)]


def _list_tree(path: Path, ancestors: tuple[str, ...]) -> FileTree:
    tree, real_path = FileTree(path), os.path.realpath(path)
    if real_path in ancestors:
        return tree
    for entry in _list_entries(path, is_root=not ancestors):
        if is_junk(entry.name):
            continue
        if not _is_folder(entry):
            (tree.photos if _is_photo(entry) else tree.other_files).append(entry.name)
        elif len(ancestors) < MAX_DEPTH:
            tree.folders.append(_list_tree(path / entry.name, (*ancestors, real_path)))
    tree.total = len(tree.photos) + sum(folder.total for folder in tree.folders)
    return tree


def _list_entries(path: Path, is_root: bool) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:  # tells files from folders without a stat call for each
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        if is_root:
            raise
        log.warning("The folder %s cannot be read: %s.", path, error.strerror)
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or something on a drive that does not respond
        return False


def _is_photo(entry: os.DirEntry[str]) -> bool:
    if has_photo_suffix(entry.name):
        return True
    try:
        if not entry.is_file():  # opening a pipe would wait for its writer
            return False
        with open(entry.path, "rb") as file:
            is_possible = has_photo_signature(file.read(16))
            file.seek(0)
            # Some signatures have only two bytes, which text can begin with, too.
            return is_possible and read_photo_header(file) is not None
    except OSError:
        return False
