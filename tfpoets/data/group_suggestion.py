"""Find the part of the file name that photos of the same scene have in common."""
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from .name_patterns import compile_pattern

_DIGITS_OR_TEXT = re.compile(r"[0-9]+|[^0-9]+")
# Characters with a special meaning in a pattern, a shell or a message.
_SPECIAL = re.compile(r"[^\w .,+=@-]")
# A pattern must put this fraction of the pairs into the same group, and match this fraction of all names.
MIN_AGREEING, MIN_MATCHING = 0.8, 0.95
# There must be at least this many groups, and fewer than this fraction of the photos.
MIN_GROUPS, MAX_GROUP_FRACTION = 3, 0.8


def suggest_group_pattern(pairs: Sequence[tuple[str, str]], names: Iterable[str]) -> str:
    """Return a pattern such as "video{group}_frame*", or "" if no pattern of the file names separates the scenes.

    In a pattern, `{group}` stands for the part of the name that all photos of a scene have in common, and `*` for any
    text.

    Args:
        pairs: The file names of pairs of photos that show the same scene.
        names: The file names of all photos.
    """
    names = list(names)
    candidates = Counter(pattern for first, second in pairs if (pattern := _pattern_for(first, second)))
    for pattern, _ in candidates.most_common(3):
        for shorter in _with_constant_prefix(pattern, names):
            if _is_valid(shorter, pairs, names):
                return shorter
    return ""


def _pattern_for(first: str, second: str) -> str:
    """Return the pattern for two names that differ in one number, after the text that separates it from the group."""
    parts, other_parts = (_DIGITS_OR_TEXT.findall(name) for name in (first, second))
    if len(parts) != len(other_parts):
        return ""
    different = [index for index, (part, other) in enumerate(zip(parts, other_parts)) if part != other]
    if len(different) != 1 or different[0] < 2 or not parts[different[0]].isdigit():
        return ""
    separator = parts[different[0] - 1]
    if _SPECIAL.search(separator):
        return ""
    return "{group}" + separator + "*"


def _with_constant_prefix(pattern: str, names: Sequence[str]) -> list[str]:
    """Return the pattern with and without the text before the first number in the names; only without if it varies."""
    (prefix, count), = Counter(re.split("[0-9]", name)[0] for name in names).most_common(1)
    prefix = prefix if count >= MIN_MATCHING * len(names) else ""
    return [prefix + pattern, pattern] if prefix and not _SPECIAL.search(prefix) else [pattern]


def _is_valid(pattern: str, pairs: Sequence[tuple[str, str]], names: Sequence[str]) -> bool:
    """Return whether the pattern keeps the pairs together and divides the photos into a plausible number of groups."""
    compiled = compile_pattern("group_pattern", pattern, "group")
    group_of = {name: compiled.find(PurePath(name)) for name in names}
    groups = {group for group in group_of.values() if group}
    n_matching = sum(bool(group) for group in group_of.values())
    n_agreeing = sum(group_of[first] == group_of[second] != "" for first, second in pairs)
    return (n_matching >= MIN_MATCHING * len(group_of) and n_agreeing >= MIN_AGREEING * len(pairs)
            and MIN_GROUPS <= len(groups) <= MAX_GROUP_FRACTION * len(group_of))
