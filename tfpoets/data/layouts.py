"""Recognize how a folder is laid out: class folders, possibly in folders for training, validation and test."""
from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


from .file_tree import FileTree
from .layout_advice import ambiguity_error, repeated_classes_error, unlabelled_error
from .part_names import PARTS, TEST, TRAINING, is_filler, parts_of_siblings

log = logging.getLogger(__name__)

MAX_NAMED_FILES = 3


@dataclass(frozen=True, eq=False)
class ClassFolder:
    """A folder whose photos, not counting those in its subfolders, all have the same label.

    Attributes:
        tree: The folder and its contents.
        label: The label of its photos, not yet checked.
        part: The part of the split that its photos are reserved for, one of PARTS; empty if the split decides.
    """

    tree: FileTree
    label: str
    part: str = ""


@dataclass(frozen=True, eq=False)
class Layout:
    """A possible layout of a folder.

    Attributes:
        folder: The folder that contains the class folders, or the folders for the parts.
        class_folders: The class folders.
    """

    folder: FileTree
    class_folders: tuple[ClassFolder, ...]

    @property
    def has_parts(self) -> bool:
        """Whether photos are reserved for parts of the split."""
        return any(folder.part for folder in self.class_folders)

    def is_directly_in(self, root: Path) -> bool:
        """Return whether all class folders are directly in a folder."""
        return all(folder.tree.path.parent == root for folder in self.class_folders)


def recognize_layout(tree: FileTree) -> Layout:
    """Return the only possible layout of a folder.

    The class folders may be directly in the folder, in folders for training, validation and test (`train/daisy`), or
    contain such folders (`daisy/train`). All of this may be inside other folders that contain nothing else, as
    is common in archives.

    Raises:
        DataError: There are several possible layouts, or none.
    """
    layouts = list(_possible_layouts(tree))
    if not layouts:
        raise unlabelled_error(tree)
    if len(layouts) > 1:
        raise ambiguity_error(tree, [layout.folder for layout in layouts])
    return layouts[0]


def is_test_folder(folder: Path) -> bool:
    """Return whether a folder contains the test photos of a dataset with a folder for training next to it."""
    folder = folder.resolve()
    try:
        parts = parts_of_siblings(entry.name for entry in folder.parent.iterdir() if entry.is_dir())
    except OSError:
        return False
    return parts.get(folder.name) == PARTS[TEST] and PARTS[TRAINING] in parts.values()


def log_unused_files(tree: FileTree, layout: Layout) -> None:
    """Log the photos that are not used because of where they are, folders without photos, and other files."""
    used = {id(folder.tree) for folder in layout.class_folders}
    inside_class = {id(inner) for folder in layout.class_folders for inner in folder.tree.walk()}
    for folder in tree.walk():
        if folder.photos and id(folder) not in used:
            place = ("directly in" if folder.photo_folders else "in", folder.path,
                     "a folder inside a class folder" if id(folder) in inside_class else "outside the class folders")
            log.warning("Ignored %s %s %s, %s.", _format_count(len(folder.photos)), *place)
    for folder in layout.folder.folders:
        if not folder.total:
            log.warning("The folder %s contains no photos; it is not used as a class.", folder.path)
    log_other_files(tree)


def log_other_files(tree: FileTree) -> None:
    """Log the files that are not photos."""
    paths = [(folder.path / name).relative_to(tree.path).as_posix()
             for folder in tree.walk() for name in folder.other_files]
    if paths:
        named = ", ".join(paths[:MAX_NAMED_FILES])
        more = f" and {len(paths) - MAX_NAMED_FILES} more" if len(paths) > MAX_NAMED_FILES else ""
        log.info("%s skipped, because %s: %s%s.", "1 file is" if len(paths) == 1 else f"{len(paths)} files are",
                 "it is not a photo" if len(paths) == 1 else "they are not photos", named, more)


def _format_count(count: int) -> str:
    return "1 photo" if count == 1 else f"{count} photos"


def _possible_layouts(tree: FileTree) -> Iterator[Layout]:
    """Yield the possible layouts of a folder.

    They are those of the folders in it if the folder itself has no class folders, or if it has only one class and a
    folder in it has several.
    """
    class_folders = _class_folders_here(tree)
    labels = {folder.label for folder in class_folders}
    inner = [layout for folder in tree.photo_folders for layout in _possible_layouts(folder)]
    if len(labels) > 1 or class_folders and not any(len({folder.label for folder in layout.class_folders}) > 1
                                                    for layout in inner):
        yield Layout(tree, tuple(class_folders))
    else:
        yield from inner


def _class_folders_here(tree: FileTree) -> list[ClassFolder]:
    """Return the class folders of a folder that contains class folders or folders for the parts; possibly none."""
    part_of = parts_of_siblings(folder.name for folder in tree.photo_folders)
    by_part = [class_folder for folder in tree.photo_folders if folder.name in part_of
               for class_folder in _class_folders(_unwrap(folder).photo_folders, part_of[folder.name])]
    others = [folder for folder in tree.photo_folders if folder.name not in part_of]
    if any(folder.part == PARTS[TRAINING] for folder in by_part):
        classes = _classes_and_their_parts(others)
        if {folder.label for folder in classes} & {folder.label for folder in by_part}:
            raise repeated_classes_error(tree, next(folder for folder in tree.photo_folders
                                                    if part_of.get(folder.name) == PARTS[TRAINING]))
        return by_part
    # A folder called "train" next to class folders, with photos directly in it, is the class of trains. Folders named
    # after the other parts are never classes.
    if others:
        others += [folder for folder in tree.photo_folders
                   if part_of.get(folder.name) == PARTS[TRAINING] and folder.photos]
    classes = _classes_and_their_parts(others)
    labels = {folder.label for folder in classes}
    return classes + [folder for folder in by_part if folder.label in labels or not classes]


def _classes_and_their_parts(folders: Sequence[FileTree]) -> list[ClassFolder]:
    """Return the class folders among folders; a class may have folders for the parts, `daisy/train`."""
    part_of = [parts_of_siblings(inner.name for inner in folder.photo_folders) for folder in folders]
    if len(folders) > 1 and all(not folder.photos and len(parts) == len(folder.photo_folders)
                                for folder, parts in zip(folders, part_of)):
        return [ClassFolder(inner, folder.name, parts[inner.name]) for folder, parts in zip(folders, part_of)
                for inner in folder.photo_folders if inner.photos]
    return _class_folders(folders)


def _class_folders(folders: Sequence[FileTree], part: str = "") -> list[ClassFolder]:
    """Return the class folders among the folders.

    The photos of a class may be in a folder inside it (`daisy/images/1.jpg`), if these folders do not look like
    classes themselves.
    """
    if len(folders) == 1 and is_filler(folders[0].name):
        return []
    innermost = [_innermost(folder) for folder in folders]
    wrapped = [(folder.name, inner.name) for folder, inner in zip(folders, innermost) if folder is not inner]
    are_wrappers = len({name for _, name in wrapped}) == 1 or all(is_filler(name) or name == outer
                                                                  for outer, name in wrapped)
    return [ClassFolder(inner, folder.name, part) for folder, inner in zip(folders, innermost)
            if inner.photos and (folder is inner or are_wrappers)]


def _unwrap(folder: FileTree) -> FileTree:
    """Skip outer folders that contain only one folder, as long as that one contains folders: `train/train/daisy`."""
    while not folder.photos and len(folder.photo_folders) == 1 and folder.photo_folders[0].photo_folders:
        folder = folder.photo_folders[0]
    return folder


def _innermost(folder: FileTree) -> FileTree:
    """Skip outer folders that contain only one folder: `daisy/images/1.jpg`."""
    while not folder.photos and len(folder.photo_folders) == 1:
        folder = folder.photo_folders[0]
    return folder
