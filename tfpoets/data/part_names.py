"""The parts of a split, and the names that datasets give them."""
from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

PARTS = ("training", "validation", "test")
TRAINING, VALIDATION, TEST = range(3)

# The words for each part in the names of folders and in tables, in lower case.
_WORDS = {**dict.fromkeys(("train", "training", "trainval", "trn"), "training"),
          **dict.fromkeys(("valid", "validation", "validate", "val", "vals", "dev", "development"), "validation"),
          **dict.fromkeys(("test", "tests", "testing", "tst", "holdout", "heldout", "eval", "evaluation"), "test")}
# Words that say nothing about the part: `training_set`, `images-test`.
_FILLERS = frozenset("data dataset folder folders img imgs image images photo photos picture pictures set sets split "
                     "subset jpg jpeg png".split())
# Further words in the names of tables.
_TABLE_WORDS = frozenset("annotation annotations class classes csv df info label labels list meta metadata".split())
# Folders with these names contain something else about each photo.
_ANNOTATIONS = frozenset("annotation annotations mask masks label labels groundtruth gt bbox bboxes xml".split())
_TOKEN = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![a-z])|[^\W\d_]+")


def part_of_value(value: str) -> str:
    """Return the part of a split that a name or a value in a table stands for, such as `train` or `PublicTest`.

    Other words may be anything.

    Returns:
        One of PARTS, or an empty string.
    """
    return _split_name(value)[0]


def part_of_file(path: Path) -> str:
    """Return the part that the name of a table, or else of its folder, stands for: `train_labels.csv`, `test/a.csv`.

    Returns:
        One of PARTS, or an empty string.
    """
    for name in (path.stem, path.parent.name):
        part, others = _split_name(name)
        if part and _TABLE_WORDS.issuperset(others):
            return part
    return ""


def parts_of_siblings(names: Iterable[str]) -> dict[str, str]:
    """Return the part that each of several names stands for, without the names that stand for none.

    Other words in a name are allowed if they are the same in all names with a part (`flowers_train` and
    `flowers_test`), or if another name stands for training without other words (`train` and `public_test`).
    """
    found = {name: _split_name(name) for name in names}
    found = {name: (part, others) for name, (part, others) in found.items() if part}
    is_common = len(found) > 1 and len({others for _, others in found.values()}) == 1
    has_training = any(part == PARTS[TRAINING] and not others for part, others in found.values())
    return {name: part for name, (part, others) in found.items()
            if is_common or not others or has_training and part != PARTS[TRAINING]}


def labels_and_parts(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return the label and the part that each name consists of: `cats_train`, `cats_test`, `dogs_train`, `dogs_test`.

    Returns:
        The label and the part by name; empty unless there are at least two labels, each with a training part, and at
        least one other part.
    """
    found = {name: (_without_part(name), _split_name(name)[0]) for name in names}
    pairs = set(found.values())
    labels = {label for label, _ in pairs}
    if (len(labels) < 2 or not all(label and part for label, part in pairs)
            or not all((label, PARTS[TRAINING]) in pairs for label in labels)
            or all(part == PARTS[TRAINING] for _, part in pairs)):
        return {}
    return found


def is_filler(name: str) -> bool:
    """Return whether the name of a folder says nothing about its photos, such as `images`."""
    part, others = _split_name(name)
    return not part and not others and bool(name.strip("0123456789 _-."))


def is_annotation(name: str) -> bool:
    """Return whether a folder of this name usually contains masks or other annotations of photos."""
    return name.lower().replace("_", "").replace(" ", "") in _ANNOTATIONS


def _split_name(name: str) -> tuple[str, tuple[str, ...]]:
    """Return the part that a word of the name stands for, or an empty string, and the other words."""
    words = [piece for match in _TOKEN.finditer(_join_hold_out(name)) for piece in _separate(match[0].lower())]
    parts = {_WORDS[word] for word in words if word in _WORDS}
    others = tuple(word for word in words if word not in _WORDS and word not in _FILLERS)
    if parts == {PARTS[TRAINING], PARTS[VALIDATION]}:  # train_val
        parts = {PARTS[TRAINING]}
    return (parts.pop(), others) if len(parts) == 1 else ("", others)


def _without_part(name: str) -> str:
    """Return a name without the word for a part and the separator next to it."""
    match = next((match for match in _TOKEN.finditer(name) if match[0].lower() in _WORDS), None)
    if match is None:
        return ""
    before, after = name[:match.start()].rstrip(" _-."), name[match.end():].lstrip(" _-.")
    return f"{before}_{after}" if before and after else before + after


def _join_hold_out(name: str) -> str:
    return re.sub(r"(?i)\b(hold|held)[ _-]out\b", "holdout", name.replace("_", " "))


def _separate(word: str) -> list[str]:
    """Remove a filler that is joined to the word for a part without a separator: `trainset`, `testimages`."""
    for part in _WORDS:
        if word.startswith(part) and word[len(part):] in _FILLERS:
            return [part]
    return [word]
