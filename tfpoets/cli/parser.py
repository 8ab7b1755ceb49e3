"""Command lines as tables of flags: what argparse leaves open is decided here, once for all commands."""
from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tfpoets.errors import closest_match

from .invocation import called_as
from .messages import configure_messages, set_flags
from .run_command import UsageError


@dataclass(frozen=True)
class Flag:
    """A flag of a command.

    Attributes:
        name: without dashes.
        help: one or two lines for --help, the default included; a function where a list that may grow is part of it.
        option: path of the option that the flag sets, below the options of its command (`split.seed`); empty where the
            command's `options_from` does more than pass the value on.
        parse: turns the text into the option's value; raises ValueError or ArgumentTypeError. Ranges are checked by
            the options themselves.
        metavar: what stands for the value in --help.
        choices: all possible values, where they are few; a function where the list may grow.
        value: what the flag alone stands for; None: it takes a value.
        required: whether the command cannot do without it.
        repeated: whether it may be given several times, and its value is a list.
        nargs: as argparse's, for an argument that has no dashes; "" for a flag. "1" is one argument.
        also: further names under which messages of the library mention what the flag sets.
    """

    name: str
    help: str | Callable[[], str]
    option: str = ""
    parse: Callable[[str], Any] = str
    metavar: str | None = None
    choices: Sequence[Any] | Callable[[], Sequence[Any]] = ()
    value: Any = None
    required: bool = False
    repeated: bool = False
    nargs: str = ""
    also: tuple[str, ...] = ()

    @property
    def option_name(self) -> str:
        """The option's own name, without the path to it."""
        return self.option.rsplit(".", 1)[-1] or self.name

    @property
    def spelling(self) -> str:
        """How a user writes it."""
        return (self.metavar or self.name) if self.nargs else f"--{self.name}"

    def add_to(self, group: argparse._ActionsContainer) -> None:
        """Add the flag to a parser's group; where it is not given there is no value at all."""
        text = self.help if isinstance(self.help, str) else self.help()
        choices = self.choices() if callable(self.choices) else self.choices
        common: dict[str, Any] = {"help": text, "default": argparse.SUPPRESS}
        if self.nargs:
            # Not SUPPRESS, which argparse would parse as if the user had written it.
            nargs: dict[str, Any] = {} if self.nargs == "1" else {"nargs": self.nargs, "default": None}
            group.add_argument(self.name, type=self.parse, metavar=self.metavar, **{**common, **nargs})
        elif self.value is not None:
            group.add_argument(f"--{self.name}", action="store_const", const=self.value, **common)
        else:
            group.add_argument(f"--{self.name}", type=self.parse, metavar=self.metavar, required=self.required,
                               choices=choices or None, action="append" if self.repeated else "store", **common)


@dataclass(frozen=True)
class Group:
    """Flags under a heading of --help; a heading of "" is argparse's own."""

    title: str
    flags: tuple[Flag, ...]
    description: str | None = None


MESSAGES = Group("messages", (
    Flag("logging_verbosity", "DEBUG, INFO (default), WARN, ERROR or FATAL", parse=str.upper, metavar="LEVEL",
         choices=("DEBUG", "INFO", "WARN", "ERROR", "FATAL")),
    Flag("debug", "show the traceback of an error", value=True)))


def parse_flags(command: str, description: str, groups: Sequence[Group], arguments: list[str] | None
                ) -> dict[str, Any]:
    """Parse a command line, and set up messages as it asks.

    Args:
        command: the command's name, `retrain` for instance.
        description: what it does, for --help.
        groups: its flags; --logging_verbosity and --debug are added.
        arguments: the command line without the program's name; None: the process's own.

    Returns:
        The value of each flag that was given, by the flag's name.

    Raises:
        UsageError: the command line is wrong.
    """
    parser = _Parser(prog=called_as(command), description=description, allow_abbrev=False,
                     formatter_class=_HelpFormatter)
    groups = (*groups, MESSAGES)
    for group in groups:
        added = parser.add_argument_group(group.title, group.description) if group.title else parser
        for flag in group.flags:
            flag.add_to(added)
    set_flags({name: flag.spelling for group in groups for flag in group.flags
               for name in (flag.option_name, *flag.also, flag.name)})
    given = parser.parse(sys.argv[1:] if arguments is None else arguments)
    configure_messages(given.pop("logging_verbosity", "INFO"))
    given.pop("debug", None)
    return given


def option_values(given: dict[str, Any], groups: Sequence[Group]) -> dict[str, Any]:
    """Return the options that flags set, by name; those of an option that holds others are in a dictionary of their
    own.

    Args:
        given: from `parse_flags`.
        groups: the flags of the command.
    """
    values: dict[str, Any] = {}
    for flag in (flag for group in groups for flag in group.flags if flag.option and flag.name in given):
        *above, name = flag.option.split(".")
        holder = values
        for part in above:
            holder = holder.setdefault(part, {})
        holder[name] = given[flag.name]
    return values


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one sentence that names the nearest flag for a misspelt one."""

    def parse(self, arguments: list[str]) -> dict[str, Any]:
        # Before argparse looks: it would complain of a missing --image_dir where --image_dri was meant.
        for argument in arguments:
            if argument.startswith("--") and argument.split("=", 1)[0] not in self._option_string_actions:
                self.error(self._unknown_sentence(argument))
        flags, unknown = self.parse_known_args(arguments)
        if unknown:
            self.error(self._unknown_sentence(unknown[0]))
        return {name: value for name, value in vars(flags).items() if value not in (None, [])}

    def error(self, message: str) -> NoReturn:
        sentence = message[:1].upper() + message[1:]
        raise UsageError(sentence if sentence.endswith((".", "?")) else sentence + ".",
                         f"See all flags with --help ({self.prog} --help).")

    def _unknown_sentence(self, argument: str) -> str:
        name = argument.split("=", 1)[0]
        if not name.startswith("-"):
            return f"There is no place for {argument!r} on this command line."
        guess = closest_match(name.replace("-", "_").replace("__", "--", 1), self._option_string_actions)
        return f"There is no flag {name}" + (f"; did you mean {guess}?" if guess else ".")


class _HelpFormatter(argparse.HelpFormatter):
    def __init__(self, prog: str, **options: Any):
        super().__init__(prog, max_help_position=30, **options)


def path(text: str) -> Path:
    """A flag's value as a path; `~` is the home folder, also in `--flag=~/photos` where no shell expands it."""
    if not text:
        raise argparse.ArgumentTypeError("an empty path was given.")
    return Path(os.path.expanduser(text))


def location(text: str) -> Path | str:
    """A flag's value as a place of photos: a path, or an address with a scheme as it is."""
    return text if "://" in text else path(text)


def names(text: str) -> tuple[str, ...]:
    """A flag's value as names separated by commas, each once, in lower case."""
    return tuple(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
