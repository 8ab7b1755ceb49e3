"""Recognize how a folder is laid out: class folders, possibly in folders for training, validation and test."""
from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from tfpoets.errors import join_names
from tfpoets.files import real_path

from .file_tree import FileTree, list_tree
from .layout_advice import (ambiguity_error, nested_classes_error, repeated_classes_error, training_folder_error,
                            unlabelled_error)
from .part_names import (PARTS, TEST, TRAINING, is_annotation, is_filler, labels_and_parts, part_of_value,
                         parts_of_siblings)

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

    @property
    def labels(self) -> frozenset[str]:
        """The labels of the class folders."""
        return frozenset(folder.label for folder in self.class_folders)

    def is_directly_in(self, root: PurePath) -> bool:
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
    """Return whether a folder contains the test photos of a dataset with photos for training next to it."""
    folder = real_path(folder)
    try:
        siblings = [entry for entry in folder.parent.iterdir() if entry.is_dir()]
    except OSError:
        return False
    parts = parts_of_siblings(entry.name for entry in siblings)
    return parts.get(folder.name) == PARTS[TEST] and any(
        parts.get(entry.name) == PARTS[TRAINING] and list_tree(entry).total for entry in siblings)


def log_unused_files(tree: FileTree, layout: Layout) -> None:
    """Log the photos that are not used because of where they are, folders without photos, and other files."""
    used = {id(folder.tree) for folder in layout.class_folders}
    inside_class = {id(inner) for folder in layout.class_folders for inner in folder.tree.walk()}
    _log_unused_photos(tree, used, inside_class)
    for folder in layout.folder.folders:
        if not folder.total:
            log.warning("The folder %s contains no photos; it is not used as a class.", folder.path)
    log_other_files(tree)


def _log_unused_photos(folder: FileTree, used: set[int], inside_class: set[int]) -> None:
    """Log the unused photos in and below a folder, with one message for each folder none of whose photos are used."""
    is_used = id(folder) in used
    place = "a folder inside a class folder" if id(folder) in inside_class else "outside the class folders"
    if not is_used and not any(id(inner) in used for inner in folder.walk()):
        if folder.total:
            hint = (" It was taken for test photos without labels; rename it if it is a class."
                    if _is_called_test(folder) and id(folder) not in inside_class else "")
            log.warning("Ignored %s in %s, %s.%s", format_photo_count(folder.total), folder.path, place, hint)
        return
    if folder.photos and not is_used:
        log.warning("Ignored %s directly in %s, %s.", format_photo_count(len(folder.photos)), folder.path, place)
    for inner in folder.folders:
        _log_unused_photos(inner, used, inside_class)


def log_other_files(tree: FileTree) -> None:
    """Log the files that are not photos."""
    paths = [(folder.path / name).relative_to(tree.path).as_posix()
             for folder in tree.walk() for name in folder.other_files]
    if paths:
        log.info("%s skipped, because %s: %s.", "1 file is" if len(paths) == 1 else f"{len(paths)} files are",
                 "it is not a photo" if len(paths) == 1 else "they are not photos", join_names(paths, MAX_NAMED_FILES))


def format_photo_count(count: int) -> str:
    """Return a number of photos as text."""
    return "1 photo" if count == 1 else f"{count} photos"


def _possible_layouts(tree: FileTree) -> Iterator[Layout]:
    """Yield the possible layouts of a folder.

    If the folder itself has no class folders, or has only one class while a folder inside it has several, these are
    the layouts of the folders inside it.
    """
    class_folders = _class_folders_here(tree)
    labels = {folder.label for folder in class_folders}
    inner = [layout for folder in tree.photo_folders for layout in _possible_layouts(folder)]
    has_classes = [layout for layout in inner if len(layout.labels) > 1]
    if class_folders and not any(folder.part for folder in class_folders):
        # Folders with classes inside them, next to class folders, may be classes as well.
        nested = [layout for layout in has_classes if not layout.labels & labels]
        if nested:
            raise nested_classes_error(tree, sorted(labels), [layout.folder for layout in nested])
    if len(labels) > 1 or class_folders and not has_classes:
        yield Layout(tree, tuple(class_folders))
    else:
        yield from inner


def _class_folders_here(tree: FileTree) -> list[ClassFolder]:
    """Return the class folders of a folder that contains class folders or folders for the parts; possibly none."""
    folders = tree.photo_folders
    names = labels_and_parts(folder.name for folder in folders)
    if names and all(folder.photos for folder in folders):  # cats_train, cats_test, dogs_train, dogs_test
        return [ClassFolder(folder, *names[folder.name]) for folder in folders]
    part_of = parts_of_siblings(folder.name for folder in folders)
    by_part = _classes_of_parts([folder for folder in folders if folder.name in part_of], part_of)
    others = [folder for folder in folders if folder.name not in part_of]
    if any(folder.part == PARTS[TRAINING] for folder in by_part):
        classes = _classes_and_their_parts(others)
        if {folder.label for folder in classes} & {folder.label for folder in by_part}:
            raise repeated_classes_error(tree, next(folder for folder in folders
                                                    if part_of.get(folder.name) == PARTS[TRAINING]))
        return by_part
    # A folder with photos that is called "train" or "val" next to class folders is a class, unless there are folders
    # for the parts. A folder called "test" is never a class.
    if others and not by_part:
        others = [folder for folder in folders
                  if folder.name not in part_of or folder.photos and not _is_called_test(folder)]
    classes = _classes_and_their_parts(others)
    labels = {folder.label for folder in classes}
    if by_part and not classes and others:
        raise training_folder_error(tree, [folder for folder in folders if part_of.get(folder.name) == PARTS[TEST]],
                                    [_unwrap(folder) for folder in others])
    return classes + [folder for folder in by_part if folder.label in labels or not classes]


def _is_called_test(folder: FileTree) -> bool:
    return part_of_value(folder.name) == PARTS[TEST] and "test" in folder.name.lower()


def _classes_of_parts(folders: Sequence[FileTree], part_of: Mapping[str, str]) -> list[ClassFolder]:
    """Return the class folders in the folders for the parts.

    If a folder for validation or testing contains a single folder that is not one of the training classes, the photos
    in it have no labels (`test/test/1.jpg`).
    """
    classes = {folder.name: _class_folders(_unwrap(folder).photo_folders, part_of[folder.name]) for folder in folders}
    training = {class_folder.label for class_folders in classes.values() for class_folder in class_folders
                if class_folder.part == PARTS[TRAINING]}
    return [class_folder for class_folders in classes.values() for class_folder in class_folders
            if not training or len(class_folders) > 1 or class_folder.label in training]


def _classes_and_their_parts(folders: Sequence[FileTree]) -> list[ClassFolder]:
    """Return the class folders among folders; a class may have folders for the parts, `daisy/train`.

    If two classes have such folders, their other folders are not used, and photos outside of them are for training.
    """
    part_of = [parts_of_siblings(inner.name for inner in folder.photo_folders if inner.photos) for folder in folders]
    if sum(PARTS[TRAINING] in parts.values() for parts in part_of) < 2:
        return _class_folders(folders)
    classes = []
    for folder, parts in zip(folders, part_of):
        if not parts:
            classes += _class_folders([folder])
            continue
        classes += [ClassFolder(inner, folder.name, parts[inner.name]) for inner in folder.photo_folders
                    if inner.name in parts]
        if folder.photos:
            classes.append(ClassFolder(folder, folder.name, PARTS[TRAINING]))
    return classes


def _class_folders(folders: Sequence[FileTree], part: str = "") -> list[ClassFolder]:
    """Return the class folders among the folders.

    The photos of a class may be in a folder inside it (`daisy/images/1.jpg`), if these folders do not look like
    classes themselves. Folders called `images` and `masks` are not classes.
    """
    n_other = sum(is_annotation(folder.name) for folder in folders)
    if (n_other or len(folders) == 1) and all(is_filler(folder.name) or is_annotation(folder.name)
                                              for folder in folders):
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
    """Skip outer folders that contain only one folder, apart from masks: `daisy/images/1.jpg`, `daisy/masks/1.png`."""
    while not folder.photos:
        inner = [folder for folder in folder.photo_folders if not is_annotation(folder.name)]
        if len(inner) != 1:
            break
        folder = inner[0]
    return folder
