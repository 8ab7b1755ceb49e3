"""Command lines: what argparse leaves open, said once for all commands."""
from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from .errors import UserError, nearest


# Far beyond what any network gains from; more would only fill the memory.
MOST_PIXELS_A_SIDE = 2048
MOST_PHOTOS_A_BATCH = 100_000
MOST_COPIES = 100


class CommandParser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one sentence, that names the nearest flag for a misspelt one.

    `--debug` (show tracebacks) and `--logging_verbosity` belong to every command and are added here.
    """

    def __init__(self, **options: Any):
        super().__init__(allow_abbrev=False, formatter_class=_HelpFormatter, **options)

    def parse(self, arguments: list[str] | None) -> argparse.Namespace:
        """Parses the command line; raises UserError (exit code 2) for one that is wrong."""
        general = self.add_argument_group("messages")
        general.add_argument("--logging_verbosity", default="INFO", type=str.upper, metavar="LEVEL",
                             choices=["DEBUG", "INFO", "WARN", "ERROR", "FATAL"],
                             help="DEBUG, INFO (default), WARN, ERROR or FATAL")
        general.add_argument("--debug", action="store_true", help="show the traceback of an error")
        arguments = sys.argv[1:] if arguments is None else arguments
        # Before argparse looks: it would complain of a missing --image_dir where --image_dri was meant.
        for argument in arguments:
            if argument.startswith("--") and argument.split("=", 1)[0] not in self._option_string_actions:
                self.error(self._unknown_sentence(argument))
        flags, unknown = self.parse_known_args(arguments)
        if unknown:
            self.error(self._unknown_sentence(unknown[0]))
        return flags

    def error(self, message: str) -> NoReturn:
        sentence = message[:1].upper() + message[1:]
        raise UserError(sentence if sentence.endswith(".") else sentence + ".",
                        f"See all flags with --help (python -m {self.prog} --help).", exit_code=2)

    def _unknown_sentence(self, argument: str) -> str:
        name = argument.split("=", 1)[0]
        if not name.startswith("-"):
            return f"There is no place for {argument!r} on this command line."
        guess = nearest(name.replace("-", "_").replace("__", "--", 1), self._option_string_actions)
        return f"There is no flag {name}" + (f"; did you mean {guess}?" if guess else ".")


class _HelpFormatter(argparse.HelpFormatter):
    def __init__(self, prog: str, **options: Any):
        super().__init__(prog, max_help_position=30, **options)


def path(text: str) -> Path:
    """A flag's value as a path; `~` is the home folder, also in `--flag=~/photos` where no shell expands it."""
    if not text:
        raise argparse.ArgumentTypeError("an empty path was given.")
    return Path(os.path.expanduser(text))


def percentage(text: str) -> float:
    """A flag's value as a share of the photos, in percent, 0 to 100."""
    value = float(text)
    if not 0 <= value < 100:
        raise argparse.ArgumentTypeError(f"{text} is not a percentage from 0 to below 100.")
    return value


def image_side(text: str) -> int:
    """A flag's value as the side of a network's input, in pixels."""
    value = positive_integer(text)
    if value > MOST_PIXELS_A_SIDE:
        raise argparse.ArgumentTypeError(f"{text} is more than {MOST_PIXELS_A_SIDE} pixels a side.")
    return value


def batch_size(text: str) -> int:
    """A flag's value as a number of photos at a time."""
    value = positive_integer(text)
    if value > MOST_PHOTOS_A_BATCH:
        raise argparse.ArgumentTypeError(f"{text} is more than {MOST_PHOTOS_A_BATCH:,} photos at a time.")
    return value


def batch_size_or_all(text: str) -> int:
    """The same, of which -1 means all."""
    return -1 if int(text) == -1 else batch_size(text)


def copies(text: str) -> int:
    """A flag's value as a number of copies of a photo."""
    value = positive_integer(text)
    if value > MOST_COPIES:
        raise argparse.ArgumentTypeError(f"{text} is more than {MOST_COPIES} copies of a photo.")
    return value


def folds(text: str) -> int:
    """A flag's value as a number of folds: one is held out, one chooses, the rest train."""
    value = int(text)
    if not 3 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not a number of folds from 3 to 100.")
    return value


def whole_number(text: str) -> int:
    """A flag's value as a whole number of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 0.")
    return value


def finite(text: str) -> float:
    """A flag's value as any number."""
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number.")
    return value


def positive(text: str) -> float:
    """A flag's value as a number above 0."""
    value = finite(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0.")
    return value


def score(text: str) -> float:
    """A flag's value as a score, 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a score from 0 to 1.")
    return value


def dropout(text: str) -> float:
    """A flag's value as a share of units to leave out, from 0 and below 1."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share from 0 and below 1.")
    return value


def coverage(text: str) -> float:
    """A flag's value as a share above 0, at most 1."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share above 0 and up to 1, such as 0.95.")
    return value


def positive_integer(text: str) -> int:
    """A flag's value as a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1.")
    return value
