"""Find quotation marks that the shell has left around a value, because it does not treat them as such."""
from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from typing import NoReturn

from .run_command import UsageError

QUOTATION_MARKS = ("'\"`\u00b4\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a\u2032\u2033"
                   "\uff02\uff07")
# Characters that are left over from other shells, or that word processors and web pages insert.
_DECORATION = re.compile(rf"^[\\^\s{QUOTATION_MARKS}]+|[\s{QUOTATION_MARKS}]+$")


def strip_decoration(argument: str) -> str:
    """Return an argument without invisible characters, and without what other shells and programs leave around it.

    Quotation marks and spaces are removed at both ends; backslashes and carets, only at the beginning.
    """
    visible = "".join(character for character in argument if unicodedata.category(character) != "Cf"
                      or character == "\u00ad")
    return _DECORATION.sub("", visible)


def check_quotation_marks(start: str, argv: Sequence[str], position: int, value: str, is_path: bool) -> None:
    """Raise a UsageError if a value contains quotation marks that were meant for the shell.

    A path that exists under exactly this name is accepted.

    Args:
        start: The flag with the equals sign, such as "--seed="; "" for a positional argument.
        argv: All arguments; if the shell split the value at a space, the rest of it follows.
        position: The position of the value.
        value: The value.
        is_path: Whether the value is a path, which does not end with a quotation mark.
    """
    if len(value) < 2 or os.path.exists(value):
        return
    first, last = value[0] in QUOTATION_MARKS, value[-1] in QUOTATION_MARKS
    if first and not last:
        end = next((index for index in range(position + 1, len(argv)) if argv[index][-1:] in tuple(QUOTATION_MARKS)),
                   None)
        if end is None:
            return
        value, last = " ".join([value, *argv[position + 1:end + 1]]), True
    if first and last:
        _fail(f"{start}{value} contains {_name(value[0], value[-1])}, which this shell does not remove.", start,
              value[1:-1])
    if is_path and last and value[0] != value[-1]:
        _fail(f"{start}{value} ends with a quotation mark.", start, value[:-1])
    if is_path and '" --' in value:  # Windows: a backslash before the closing quotation mark
        _fail(f"The value of {start.rstrip('=') or 'the argument'} contains a quotation mark, because of the "
              "backslash before it.", start, value.split('"')[0])


def _name(first: str, last: str) -> str:
    """Return a term for a pair of quotation marks."""
    kind = {"'": "single ", '"': "double "}.get(first, "")
    return f"{kind}quotation marks ({first})" if first == last else f"the quotation marks {first} and {last}"


def _fail(problem: str, start: str, value: str) -> NoReturn:
    if value.endswith("\\"):
        value = value.rstrip("\\")  # in double quotes, it would escape the closing quotation mark on Windows
    quoted = f'"{value}"' if re.search(r"\s", value) else value
    raise UsageError(problem, f"Write {start}{quoted}")
