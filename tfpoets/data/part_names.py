"""The parts of a split, and the names that datasets give them."""
from __future__ import annotations

import re
from collections.abc import Iterable

PARTS = ("training", "validation", "test")
TRAINING, VALIDATION, TEST = range(3)

# The words for each part in the names of folders and in tables, in lower case.
_WORDS = {**dict.fromkeys(("train", "training", "trn"), "training"),
          **dict.fromkeys(("valid", "validation", "validate", "val", "dev", "development"), "validation"),
          **dict.fromkeys(("test", "testing", "tst", "holdout", "heldout", "eval", "evaluation"), "test")}
# Words that say nothing about the part: `training_set`, `images-test`.
_FILLERS = frozenset("a data dataset folder folders img imgs image images photo photos picture pictures of part set "
                     "sets split subset the jpg jpeg png".split())


def part_of_value(value: str) -> str:
    """Return the part of a split that a value in a table stands for, such as `train` or `PublicTest`.

    Returns:
        One of PARTS, or an empty string.
    """
    return _split_name(value)[0]


def parts_of_siblings(names: Iterable[str]) -> dict[str, str]:
    """Return the part that each of several names stands for, without the names that stand for none.

    Other words in a name are allowed if they are the same in all names with a part: `flowers_train` and
    `flowers_test`.
    """
    found = {name: _split_name(name) for name in names}
    found = {name: (part, others) for name, (part, others) in found.items() if part}
    is_common = len(found) > 1 and len({others for _, others in found.values()}) == 1
    return {name: part for name, (part, others) in found.items() if is_common or not others}


def is_filler(name: str) -> bool:
    """Return whether the name of a folder says nothing about its photos, such as `images`."""
    part, others = _split_name(name)
    return not part and not others


def _split_name(name: str) -> tuple[str, tuple[str, ...]]:
    """Return the part that a word of the name stands for, or an empty string, and the other words."""
    words = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name))
    words = [piece for word in words for piece in _separate(word.lower())]
    parts = [_WORDS[word] for word in words if word in _WORDS]
    others = tuple(word for word in words if word not in _WORDS and word not in _FILLERS)
    return (parts[0], others) if len(set(parts)) == 1 else ("", others)


def _separate(word: str) -> list[str]:
    """Separate a part from a filler that is written together with it: `trainset`, `testimages`."""
    for part in _WORDS:
        if word.startswith(part) and word[len(part):] in _FILLERS:
            return [part]
    return [word]
