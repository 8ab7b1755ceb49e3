"""Check the arguments of a command before argparse parses them, and explain those that it would misunderstand.

Command lines are copied from web pages and chat programs, which replace hyphens and quotation marks, and from other
shells, which have different rules for quotation marks.
"""
from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

from tfpoets.errors import closest_match

from .quotation_marks import check_quotation_marks, strip_decoration
from .run_command import UsageError

if TYPE_CHECKING:
    from .parser import Flag

# The words that turn a switch on and off, in upper or lower case. Only these two, so that the name of a folder is
# never mistaken for the value of a switch.
SWITCH_WORDS = {"true": True, "false": False}
HELP_FLAGS = ("-h", "--help")
# Characters that programs and keyboards use in place of a hyphen or an equals sign.
DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\u2500\u2796\u30fc\ufe58\ufe63\uff0d\u00ad"
EQUALS_SIGNS = "=\uff1d\ufe66"
DASH_NAMES = {"\u2013": "an en dash", "\u2014": "an em dash", "\u2212": "a minus sign"}
# What shells use at the end of a line to continue a command on the next one.
LINE_CONTINUATIONS = ("\\", "^", "`")
# The number of characters of an argument that a message shows.
MAX_SHOWN = 200
# Files that have to be saved in another format before --manifest can read them, as its message says.
SPREADSHEET_SUFFIXES = (".xlsx", ".xls", ".ods", ".json")
_ARGUMENT = re.compile(rf"(?P<prefix>/|[{DASHES}\s]*)(?P<name>[^\W\d][\w-]*)"
                       rf"(?P<separator>\s*[:,{EQUALS_SIGNS}]\s*|\s+|$)(?P<value>.*)", re.DOTALL)
_LOOKS_LIKE_SWITCH_VALUE = re.compile(r"\d+|yes|no|on|off|none", re.IGNORECASE)


class ArgumentChecker:
    """Checks the arguments of one command.

    Args:
        flags: The flags and positional arguments of the command.
        hint: A sentence that recommends --help.
    """

    def __init__(self, flags: Sequence[Flag], hint: str):
        self._flags: Mapping[str, Flag] = {f"--{flag.name}": flag for flag in flags if not flag.nargs}
        self._positional = [flag for flag in flags if flag.nargs]
        self._hint = hint

    def check(self, argv: Sequence[str]) -> list[str]:
        """Return the arguments in the form that argparse expects.

        A switch with the word `true` becomes a switch without a word, one with `false` is removed or, if there is one,
        replaced with its opposite (--nodoctor for --doctor), and a lone folder becomes the value of the flag that
        takes it (`Flag.bare`).

        Raises:
            UsageError: An argument is not what the user meant. The message shows what to write.
        """
        checked: list[str] = []
        stray: list[int] = []
        position = 0
        while position < len(argv):
            argument = argv[position]
            if argument == "--":  # what follows is positional
                if not self._positional:
                    raise UsageError("This command takes no argument --.", "Omit it.")
                return self._place_stray([*checked, *argv[position:]], stray)
            name, equals, value = argument.partition("=")
            if name in self._flags or name in HELP_FLAGS:
                position += self._check_flag(argv, position, checked)
                continue
            self._check_intention(argv, position)
            if not _is_flag_like(argument):
                self._check_positional(argv, position)
                stray.append(len(checked))
            checked.append(argument)
            position += 1
        return self._place_stray(checked, stray)

    def _check_flag(self, argv: Sequence[str], position: int, checked: list[str]) -> int:
        """Append a flag and its value to the checked arguments, and return how many arguments were used."""
        name, equals, value = argv[position].partition("=")
        following = argv[position + 1] if position + 1 < len(argv) else None
        flag = self._flags.get(name)
        if flag is None or flag.const is not None:
            return self._check_switch(name, value if equals else None, following, checked)
        if equals:
            if flag.is_path and not value and following and not _is_flag_like(following) and not self._positional:
                self._fail(f"There is a space after {name}=.", f"{name}={_quoted(following)}")
            check_quotation_marks(f"{name}=", argv, position, value, flag.is_path)
            checked.append(argv[position])
            return 1
        checked.append(name)
        if following is None or following.startswith("--"):
            return 1  # argparse reports the missing value
        if following.startswith(tuple(EQUALS_SIGNS)):
            value = following[1:] or "".join(argv[position + 2:position + 3])
            self._fail(f"There is a space before the = of {name}.", f"{name}={_quoted(value)}")
        self._check_intention(argv, position + 1, is_value=True)
        check_quotation_marks(f"{name}=", argv, position + 1, following, flag.is_path)
        checked.append(following)
        return 2

    def _check_switch(self, name: str, value: str | None, following: str | None, checked: list[str]) -> int:
        """Append a switch, unless it is turned off, and return how many arguments were used."""
        n_used = 1
        if value is None and following is not None and following.lower() in SWITCH_WORDS:
            value, n_used = following, 2
        elif value is None and following is not None and _LOOKS_LIKE_SWITCH_VALUE.fullmatch(following) \
                and not self._positional and not os.path.exists(following):
            value = following
        if value is not None and strip_decoration(value).lower() not in SWITCH_WORDS:
            raise UsageError(f"{name}={value} is not valid: {name} accepts only true or false.",
                             f"Write {name}, or omit it.")
        if value is None or SWITCH_WORDS[strip_decoration(value).lower()]:
            checked.append(name)
        else:
            opposite = f"--{name[4:]}" if name.startswith("--no") else f"--no{name[2:]}"
            checked[:] = [argument for argument in checked if argument != name]
            checked += [opposite] if opposite in self._flags else []
        return n_used

    def _check_intention(self, argv: Sequence[str], position: int, is_value: bool = False) -> None:
        """Raise a UsageError if an argument is not a known flag, but was probably meant as one.

        Args:
            argv: All arguments.
            position: The position of the argument.
            is_value: Whether the argument is where the value of a flag belongs. Then only exact names of flags are
                reported, and only after a prefix other than a single hyphen, such as an en dash.
        """
        argument = argv[position]
        if argument.strip() in LINE_CONTINUATIONS and not is_value:
            raise UsageError(f"The argument {argument.strip()} continues a line in another kind of shell, not in this "
                             "one.", "Write the command on one line, without it.")
        match = _ARGUMENT.fullmatch(strip_decoration(argument))
        if match is None or os.path.exists(argument):
            return
        dashes, separator = match["prefix"].strip(), match["separator"].strip()
        if is_value and not (dashes and dashes != "-"):
            return
        flag = self._find_flag(match["name"], dashes, separator, exact=is_value or dashes == "/")
        if flag is None:
            if dashes and dashes != "/" and _is_flag_like(argument):
                raise UsageError(f"There is no flag {argument.split('=', 1)[0]}.", self._hint)
            return
        if argument.startswith("--") and match["name"] not in (flag, flag[2:]) and separator in ("", "="):
            raise UsageError(f"There is no flag {argument.split('=', 1)[0]}; did you mean {flag}?", self._hint)
        value = match["value"] or ("" if flag in HELP_FLAGS or self._flags[flag].const is not None
                                   else "".join(argv[position + 1:position + 2]))
        correct = flag if flag in HELP_FLAGS or not value else f"{flag}={_quoted(value)}"
        problem = _describe(argument, dashes)
        if problem:
            self._fail(problem, correct)
        raise UsageError(f"Unexpected argument {_shown(argument)}; did you mean {correct}?", self._hint)

    def _find_flag(self, name: str, dashes: str, separator: str, exact: bool) -> str | None:
        """Return the flag that a name without its hyphens stands for, or None."""
        names = {**{flag[2:]: flag for flag in self._flags}, "help": "--help", "h": "--help"}
        normalized = name.lower().replace("-", "_").strip("_")
        if normalized in names:
            # A word that is the name of a flag may also be the name of a photo.
            return names[normalized] if dashes or separator or not self._positional else None
        guess = closest_match(normalized, names) if dashes or separator and not self._positional else None
        return None if exact or guess is None else names[guess]

    def _check_positional(self, argv: Sequence[str], position: int) -> None:
        start = f"{name}=" if (name := self._bare_flag(strip_decoration(argv[position]), argv)) else ""
        check_quotation_marks(start, argv, position, argv[position], is_path=True)

    def _bare_flag(self, value: str, argv: Sequence[str]) -> str | None:
        """Return the flag that takes a value without its name, if there is one for this value that is not given."""
        given = {argument.split("=", 1)[0] for argument in argv}
        return next((name for name, flag in self._flags.items()
                     if flag.bare and flag.bare(value) and name not in given), None)

    def _place_stray(self, checked: list[str], stray: Sequence[int]) -> list[str]:
        """Turn a lone folder into the value of a flag, and raise a UsageError for arguments that have no place."""
        remaining = list(stray)
        for index in stray:
            name = self._bare_flag(os.path.expanduser(checked[index]), checked)
            if name is not None:
                checked[index] = f"{name}={checked[index]}"
                remaining.remove(index)
        n_allowed = len(checked) if any(flag.nargs in "*+" for flag in self._positional) else len(self._positional)
        if len(remaining) > n_allowed:
            self._explain_stray(checked, remaining[n_allowed])
        return checked

    def _explain_stray(self, argv: Sequence[str], position: int) -> NoReturn:
        """Raise a UsageError that states what a stray argument probably means."""
        argument = argv[position]
        problem = f"Unexpected argument {_shown(argument)}"
        split = self._split_value(argv, position)
        if split:
            self._fail(f"{problem}: a value that contains spaces must be in quotes.", split)
        path = os.path.expanduser(argument)
        given = {name.split("=", 1)[0] for name in argv}
        meant = next((f"--{name}" for name in _usual_flags(path)
                      if f"--{name}" in self._flags and f"--{name}" not in given), None)
        if meant:
            raise UsageError(f"{problem}; did you mean {meant}={_quoted(argument)}?", self._hint)
        folder = next((name for name, flag in self._flags.items() if flag.bare and name not in given), None)
        if folder and not os.path.exists(path) and len(argument) <= MAX_SHOWN:
            raise UsageError(f"{problem}; did you mean {folder}={_quoted(argument)}? There is no folder of that name.",
                             self._hint)
        raise UsageError(f"{problem}.", self._hint)

    def _split_value(self, argv: Sequence[str], position: int) -> str | None:
        """Return the flag whose value was split at its spaces into several arguments, with the whole value in quotes.

        This is assumed if the argument directly follows the value of a flag that takes a path, unless that path
        exists.
        """
        start = next((index for index in range(position, -1, -1) if argv[index].startswith("--")), -1)
        if start < 0:
            return None
        name, equals, value = argv[start].partition("=")
        words = list(argv[start + 1:position + 1])
        flag = self._flags.get(name)
        first = value if equals else words[0]
        if flag is None or flag.const is not None or not flag.is_path or not (equals or len(words) > 1) \
                or os.path.exists(first):
            return None
        words += [word for word in _until_flag(argv[position + 1:])]
        return f'{name}="{" ".join([value, *words] if equals else words)}"'

    def _fail(self, problem: str, correct: str) -> NoReturn:
        raise UsageError(problem, f"Write {correct}")


def _until_flag(arguments: Sequence[str]) -> list[str]:
    count = next((index for index, argument in enumerate(arguments) if argument.startswith("-")), len(arguments))
    return list(arguments[:count])


def _is_flag_like(argument: str) -> bool:
    """Return whether argparse treats an argument as a flag."""
    return argument.startswith("-") and len(argument) > 1 and not re.fullmatch(r"-\d+|-\d*\.\d+", argument)


def _describe(argument: str, dashes: str) -> str:
    """Return a sentence about the characters before the name of a flag, or "" if they are two hyphens or none."""
    other = next((character for character in dashes if character not in "-/"), None)
    if other is not None:
        name = DASH_NAMES.get(other) or unicodedata.name(other, "another character").lower()
        return f"{_shown(argument)} begins with {name} ({other}), but flags begin with two hyphens."
    if argument.startswith("\\"):
        return f"{_shown(argument)} begins with a backslash, but flags begin with two hyphens."
    if dashes in ("-", "/"):
        return f"{_shown(argument)} begins with {dashes}, but flags begin with two hyphens."
    return ""


def _usual_flags(path: str) -> tuple[str, ...]:
    """Return the names of the flags that take a file or folder of this kind, the most likely one first."""
    from tfpoets.data import TABLE_SUFFIXES  # imported here, because it is needed only for a message
    suffix = os.path.splitext(path)[1].lower()
    if os.path.isdir(path):
        return "image_dir", "test_dir", "output_dir"
    if suffix == ".txt":
        return "labels", "manifest"
    if not os.path.isfile(path):
        return ()
    return ("manifest",) if suffix in (*TABLE_SUFFIXES, *SPREADSHEET_SUFFIXES) else ("graph", "input")


def _shown(argument: str) -> str:
    if len(argument) > MAX_SHOWN:
        argument = argument[:MAX_SHOWN] + "..."
    return f"'{argument}'" if argument.isprintable() else repr(argument)


def _quoted(value: str) -> str:
    return f'"{value}"' if re.search(r"\s", value) else value
