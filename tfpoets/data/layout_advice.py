"""Errors for folders whose layout is not recognized; each names the option that makes them usable."""
from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from tfpoets.errors import DataError

from .file_tree import FileTree, is_junk
from .formats import has_photo_suffix
from .manifest import lists_photos
from .name_patterns import compile_pattern
from .part_names import PARTS, TEST, TRAINING, part_of_file, part_of_value, parts_of_siblings

# Patterns in which the names of photos often contain their label.
COMMON_PATTERNS = ("{index}_{label}", "{label}_{index}", "{index}-{label}", "{label}-{index}", "{index}.{label}",
                   "{label}.{index}", "{label} ({index})", "{label}{index}")
# The fraction of the names that a suggested pattern must match.
MIN_MATCHES = 0.95
MIN_PHOTOS_PER_LABEL = 2
# Words that cameras and programs put in front of the number of a photo.
_CAMERA_WORDS = frozenset("img image dsc dscn dscf pxl photo pic picture frame screenshot scan vid video "
                          "file".split())
MAX_LISTED_LAYOUTS = 4


def ambiguity_error(tree: FileTree, folders: Sequence[FileTree]) -> DataError:
    """Return the error for a folder that contains several folders of class folders.

    Args:
        tree: The folder.
        folders: The folders that can be used by themselves.
    """
    names = ", ".join(_relative(tree, folder) for folder in folders[:MAX_LISTED_LAYOUTS])
    # A folder inside a folder for a part is never recommended by itself: it might contain the test photos.
    choices = [format_options(image_dir=folder.path) for folder in folders if not _is_in_part(tree, folder)]
    choices = choices[:MAX_LISTED_LAYOUTS]
    if not choices or _may_be_classes(tree, folders):
        choices.append(f"{format_options(image_dir=tree.path, label_pattern='{label}/*/*')} (if {folders[0].name} and "
                       f"{folders[1].name} are classes)")
        choices.append(f"{format_options(image_dir=tree.path, label_pattern='{label}/*')} (if the folders in "
                       "them are the classes)")
    return DataError(f"{tree.path} contains {len(folders)} folders with class folders in them: {names}.",
                     f"Choose one of: {'; '.join(choices)}.")


def nested_classes_error(tree: FileTree, labels: Sequence[str], folders: Sequence[FileTree]) -> DataError:
    """Return the error for class folders next to folders that contain class folders.

    Args:
        tree: The folder that contains both.
        labels: The names of the class folders.
        folders: The other folders.
    """
    names = ", ".join(_relative(tree, folder) for folder in folders[:MAX_LISTED_LAYOUTS])
    pattern = format_options(image_dir=tree.path, label_pattern="^(?P<label>[^/]+)/")
    choices = [f"{pattern} (if {labels[0]} and {_relative(tree, folders[0])} are classes)",
               *(format_options(image_dir=folder.path) for folder in folders[:MAX_LISTED_LAYOUTS])]
    flat = ", ".join(labels[:MAX_LISTED_LAYOUTS])
    return DataError(f"{tree.path} contains photos in {flat}, but class folders in {names}.",
                     f"Choose one of: {'; '.join(choices)}.")


def repeated_classes_error(tree: FileTree, training: FileTree) -> DataError:
    """Return the error for a folder that contains class folders, and the same classes in a folder for training."""
    return DataError(f"{tree.path} contains class folders, and the folder {training.name} contains the same classes.",
                     f"Use {format_options(image_dir=training.path)}, or move one of the two elsewhere.")


def training_folder_error(tree: FileTree, test_folders: Sequence[FileTree], others: Sequence[FileTree]) -> DataError:
    """Return the error for a folder that contains test photos, and other folders of which one may be for training."""
    test = {"test_dir": test_folders[0].path} if test_folders else {}
    choices = [format_options(image_dir=folder.path, **test) for folder in others[:MAX_LISTED_LAYOUTS]]
    return DataError(f"{tree.path} contains folders for validation or testing, but it is not clear which folder is "
                     "for training.",
                     f"Choose one of: {'; '.join(choices)}." if len(choices) > 1 else f"Use {choices[0]}.")


def _is_in_part(tree: FileTree, folder: FileTree) -> bool:
    return any(part_of_value(name) for name in folder.path.relative_to(tree.path).parent.parts)


def _may_be_classes(tree: FileTree, folders: Sequence[FileTree]) -> bool:
    """Return whether the folders could be the classes, with subcategories inside them."""
    return (all(folder.path.parent == tree.path for folder in folders)
            and not any(parts_of_siblings(inner.name for inner in folder.photo_folders) for folder in folders))


def unlabelled_error(tree: FileTree) -> DataError:
    """Return the error for a folder in which photos have no class folders."""
    if not tree.total:
        return DataError(f"There are no photos in the folders of {tree.path}.",
                         "It needs one folder per class, with the photos of that class inside.")
    parts = parts_of_siblings(folder.name for folder in tree.photo_folders)
    problem = (f"The photos in {tree.path} are in {' and '.join(sorted(parts))}, without class folders." if parts else
               f"{tree.path} contains photos without class folders.")
    return DataError(problem, _labels_elsewhere(tree) or _class_folder_remedy(tree))


def single_class_error(tree: FileTree, label: str) -> DataError:
    """Return the error for a folder with only one class folder."""
    test_folders = [folder.name for folder in tree.photo_folders if folder.photos and "test" in folder.name.lower()]
    remedy = (f"If {test_folders[0]} is a class as well, rename its folder: photos in a folder of this name are never "
              "used for training." if test_folders else "Add a folder with photos of something else.")
    return DataError(f"{tree.path} contains photos of one class only ({label}); a classifier needs at least two.",
                     _labels_elsewhere(tree) or remedy)


def _labels_elsewhere(tree: FileTree) -> str:
    """Return how to use the labels in a table or in the file names; empty if there are none."""
    tables = _find_manifests(tree)
    if tables:
        names = " and ".join(dict.fromkeys(table.name for table in tables))
        return f"If {names} contains the labels, use {format_options(manifest=','.join(map(str, tables)))}."
    pattern, example, label = _guess_pattern([path.name for path in _training_photos(tree)])
    if pattern:
        return (f"If the names contain the labels ({label} in {example}), use "
                f"{format_options(image_dir=tree.path, label_pattern=pattern)}.")
    return ""


def _class_folder_remedy(tree: FileTree) -> str:
    if isinstance(tree.path, Path) and tree.photos and _looks_like_class_folder(tree.path.resolve()):
        parent = tree.path.resolve().parent
        return f"It looks like a single class. Use the folder above it: {format_options(image_dir=parent)}."
    return ("Put the photos of each class into a folder of its own, or write the labels to a table with the columns "
            "path and label, and use `manifest=labels.csv`.")


def _training_photos(tree: FileTree) -> Iterator[PurePath]:
    """Yield the paths of the photos that are not in a folder for validation or testing."""
    yield from (tree.path / name for name in tree.photos)
    parts = parts_of_siblings(folder.name for folder in tree.photo_folders)
    for folder in tree.photo_folders:
        if parts.get(folder.name, PARTS[TRAINING]) == PARTS[TRAINING]:
            yield from _training_photos(folder)


def _looks_like_class_folder(path: Path) -> bool:
    """Return whether there is another folder of photos next to this one."""
    try:
        siblings = [sibling for sibling in path.parent.iterdir()
                    if sibling != path and sibling.is_dir() and not is_junk(sibling.name)]
        return any(has_photo_suffix(child) for sibling in siblings for child in sibling.iterdir())
    except OSError:
        return False


def _find_manifests(tree: FileTree) -> list[Path]:
    """Return the tables with labels of the photos: one, or one for each part if their names or folders say so."""
    if not isinstance(tree.path, Path):  # tables in cloud storage are not read
        return []
    names = {name for path in tree.photo_paths() for name in (path.name, path.stem)}
    paths = [Path(folder.path / name) for folder in tree.walk() for name in folder.other_files]
    try:
        paths += sorted(path for path in tree.path.resolve().parent.iterdir() if not is_junk(path.name))
    except OSError:
        pass
    tables = [path for path in paths if lists_photos(path, names)]
    part_of = {path: part_of_file(path) for path in tables}
    by_part = {part: path for path, part in reversed(part_of.items()) if part}
    if PARTS[TRAINING] in by_part:
        return [by_part[part] for part in PARTS if part in by_part]
    return [path for path in tables if part_of[path] != PARTS[TEST]][:1]


def _guess_pattern(names: Sequence[str]) -> tuple[str, str, str]:
    """Return the pattern in which the names contain labels, with an example and its label; empty if there is none."""
    suffixes = {name[name.rfind("."):] for name in names}
    suffix = suffixes.pop() if len(suffixes) == 1 else ".*"
    for text in COMMON_PATTERNS:
        pattern = compile_pattern("label_pattern", text, "label")
        labels = [pattern.find(Path(name)) for name in names]
        counts = Counter(label for label in labels if label)
        plausible = [label for label, count in counts.items() if count >= MIN_PHOTOS_PER_LABEL and _is_label(label)]
        # In video01 and video02, the number is part of the name of a scene, not of a label.
        has_numbers = len({re.sub(r"\d+", "", label) for label in plausible}) < len(plausible)
        n_matches = sum(counts[label] for label in plausible)
        if len(plausible) > 1 and not has_numbers and n_matches >= MIN_MATCHES * len(names):
            example = next(name for name, label in zip(names, labels) if label)
            return text + suffix, example, pattern.find(Path(example))
    return "", "", ""


def _is_label(text: str) -> bool:
    letters = re.sub(r"[\W\d_]+", "", text)
    return len(letters) > 1 and letters.lower() not in _CAMERA_WORDS


def _relative(tree: FileTree, folder: FileTree) -> str:
    return folder.path.relative_to(tree.path).as_posix()


def format_options(**values: PurePath | str) -> str:
    """Return options in backticks; a command displays them as its command line (`cli/messages.py`)."""
    return f"`{' '.join(f'{name}={shlex.quote(str(value))}' for name, value in values.items())}`"
