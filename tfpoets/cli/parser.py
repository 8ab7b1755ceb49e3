"""Parse command lines that are declared as tables of flags."""
from __future__ import annotations

import argparse
import codecs
import functools
import io
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tfpoets.escaping import has_unsafe_characters

from .arguments import ArgumentChecker
from .examples import format_examples
from .flags_file import FlagValues, given_flags, with_flags_from_file
from .interrupts import set_command
from .invocation import program_name
from .messages import configure_messages, set_flags, show_tracebacks
from .percentages import AmbiguousValueError
from .run_command import UsageError


@dataclass(frozen=True)
class Flag:
    """A flag or positional argument of a command.

    Attributes:
        name: The name of the flag, without dashes.
        help: One or two lines for --help, including the default; a function if it contains a list that may grow.
        option: The path of the option that the flag sets, relative to the options of the command (`split.seed`). It
            is empty if the command's `options_from` converts the value.
        parse: A function that converts the text to the value of the option, and raises ValueError or
            ArgumentTypeError. The options themselves check ranges.
        metavar: The placeholder of the value in --help.
        choices: All valid values, if there are only a few; a function if the list may grow.
        const: The value of a switch, which takes no argument other than true or false; None for other flags.
        required: Whether the flag is required.
        repeatable: Whether the flag may be given several times, which makes its value a list.
        nargs: The `nargs` of argparse for a positional argument, or "1" for exactly one; "" for a flag.
        aliases: Other names that messages of the library use for the option.
        bare: A function that returns whether an argument without the name of a flag is the value of this flag.
    """

    name: str
    help: str | Callable[[], str]
    option: str = ""
    parse: Callable[[str], Any] = str
    metavar: str | None = None
    choices: Sequence[Any] | Callable[[], Sequence[Any]] = ()
    const: Any = None
    required: bool = False
    repeatable: bool = False
    nargs: str = ""
    aliases: tuple[str, ...] = ()
    bare: Callable[[str], bool] | None = None

    @property
    def is_path(self) -> bool:
        """Whether the value is a path."""
        return self.parse in (path, location)

    @property
    def option_name(self) -> str:
        """The name of the option, without its path."""
        return self.option.rsplit(".", 1)[-1] or self.name

    @property
    def spelling(self) -> str:
        """The flag as the user writes it."""
        return (self.metavar or self.name) if self.nargs else f"--{self.name}"

    def add_to(self, group: argparse._ActionsContainer) -> None:
        """Add the flag to an argparse group, without a default, so that only flags the user gives have a value."""
        text = self.help if isinstance(self.help, str) else self.help()
        choices = self.choices() if callable(self.choices) else self.choices
        common: dict[str, Any] = {"help": text.replace("%", "%%"), "default": argparse.SUPPRESS}
        if self.nargs:
            # The default must not be SUPPRESS here: argparse would parse it as if the user had written it.
            nargs: dict[str, Any] = {} if self.nargs == "1" else {"nargs": self.nargs, "default": None}
            group.add_argument(self.name, type=self._parse, metavar=self.metavar, **{**common, **nargs})
        elif self.const is not None:
            group.add_argument(f"--{self.name}", action="store_const", const=self.const, **common)
        else:
            group.add_argument(f"--{self.name}", type=self._parse, metavar=self.metavar,
                               required=self.required, choices=choices or None,
                               action="append" if self.repeatable else "store", **common)

    @property
    def _parse(self) -> Callable[[str], Any]:
        """The function `parse`, with the flag in the message about an ambiguous value."""
        @functools.wraps(self.parse, updated=())  # argparse shows its name
        def parse(text: str) -> Any:
            try:
                return self.parse(text)
            except AmbiguousValueError as error:
                raise UsageError(str(error).format(flag=self.spelling)) from error
        return parse


@dataclass(frozen=True)
class Group:
    """Flags under one heading of --help; an empty title stands for argparse's default headings."""

    title: str
    flags: tuple[Flag, ...]
    description: str | None = None


# The name of the error handler that encodes what UTF-8 cannot encode.
UNENCODABLE = "tfpoets.unencodable"
MESSAGES = Group("messages", (
    Flag("logging_verbosity", "lowest level of messages to show: DEBUG, INFO (default), WARN, ERROR or FATAL",
         parse=str.upper, metavar="LEVEL", choices=("DEBUG", "INFO", "WARN", "ERROR", "FATAL")),
    Flag("verbose", "show more messages, as --logging_verbosity=DEBUG does", const=True),
    Flag("debug", "show the traceback of an error", const=True)),
    "Switches also take the words true and false: --debug=true.")


def parse_flags(command: str, description: str, groups: Sequence[Group], argv: list[str] | None) -> dict[str, Any]:
    """Parse a command line, and show messages of the level that it requests.

    Args:
        command: The name of the command, such as `retrain`.
        description: The description of the command for --help.
        groups: The flags of the command. --logging_verbosity, --verbose and --debug are added to them.
        argv: The command line without the name of the program (default: `sys.argv[1:]`).

    Returns:
        The values of the flags that were given, by name.

    Raises:
        UsageError: The command line is invalid.
    """
    return parse_command_line(command, description, groups, argv)[0]


def parse_command_line(command: str, description: str, groups: Sequence[Group], argv: Sequence[str] | None
                       ) -> tuple[dict[str, Any], FlagValues]:
    """Parse a command line as `parse_flags` does.

    Returns:
        The values of the flags that were given, by name; and the flags to be stored with what the command writes, in
        the form of `given_flags`.
    """
    groups = (*groups, MESSAGES)
    flags = [flag for group in groups for flag in group.flags]
    parser = _Parser(prog=program_name(command), usage=_usage(command, flags), description=description,
                     epilog=format_examples(command), allow_abbrev=False, formatter_class=_HelpFormatter)
    for group in groups:
        container = parser.add_argument_group(group.title, group.description) if group.title else parser
        for flag in group.flags:
            flag.add_to(container)
    set_command(command)
    set_flags({name: flag.spelling for flag in flags for name in (flag.option_name, *flag.aliases, flag.name)},
              command)
    arguments = complete_arguments(parser.prog, sys.argv[1:] if argv is None else argv, flags)
    args = parser.parse(arguments)
    default_level = "DEBUG" if args.pop("verbose", False) else "INFO"
    configure_messages(args.pop("logging_verbosity", default_level))
    show_tracebacks(args.pop("debug", False))
    if args.get("format", "text") != "text":
        write_utf8()
    return args, given_flags(arguments, flags)


def _usage(command: str, flags: Sequence[Flag]) -> str:
    """Return the usage: the arguments without the name of a flag, the required flags, and [options] for the others."""
    brackets = {"1": "{}", "?": "[{}]", "*": "[{} ...]", "+": "{} [{} ...]"}
    parts = [brackets[flag.nargs].format(flag.spelling, flag.spelling) for flag in flags if flag.nargs]
    parts += [f"[{flag.metavar}]" for flag in flags if flag.bare]
    parts += [f"{flag.spelling}={flag.metavar}" for flag in flags if flag.required]
    return " ".join([program_name(command), *parts, "[options]"])


def write_utf8() -> None:
    """Encode standard output as UTF-8, whatever the environment specifies, because programs will read it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        codecs.register_error(UNENCODABLE, _encode_surrogates)
        sys.stdout.reconfigure(encoding="utf-8", errors=UNENCODABLE)


def _encode_surrogates(error: UnicodeError) -> tuple[str | bytes, int]:
    """Encode the bytes of a file name that Python could not decode: unchanged if they are UTF-8, otherwise escaped."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    try:
        content = error.object[error.start:error.end].encode("ascii", "surrogateescape")
        if not has_unsafe_characters(content.decode("utf-8")):
            return content, error.end
    except UnicodeError:
        pass
    return codecs.backslashreplace_errors(error)


def option_values(args: dict[str, Any], groups: Sequence[Group]) -> dict[str, Any]:
    """Return the values of the options that the flags set, as nested dictionaries: `{"split": {"seed": 3}}`.

    Args:
        args: The values of the flags, from `parse_flags`.
        groups: The flags of the command.
    """
    values: dict[str, Any] = {}
    for flag in (flag for group in groups for flag in group.flags if flag.option and flag.name in args):
        *parents, name = flag.option.split(".")
        target = values
        for parent in parents:
            target = target.setdefault(parent, {})
        target[name] = args[flag.name]
    return values


def help_hint(program: str) -> str:
    """Return a sentence that recommends --help, for the end of an error message."""
    return f"Run {program} --help to see all flags."


def complete_arguments(program: str, argv: Sequence[str], flags: Sequence[Flag]) -> list[str]:
    """Return the arguments in the form that argparse expects, with those of the file that --flags_from names.

    This comes before argparse, which would report --image_dir as missing if --image_dri was given.

    Args:
        program: The name of the program and the command.
        argv: The arguments as they were typed.
        flags: The flags of the command.

    Raises:
        UsageError: An argument is not what the user meant, or the file cannot be used.
    """
    checked = ArgumentChecker(flags, help_hint(program)).check(argv)
    return with_flags_from_file(checked, argv, flags)


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UsageError, and explains arguments that are not what the user meant."""

    def parse(self, arguments: Sequence[str]) -> dict[str, Any]:
        namespace, unknown = self.parse_known_args(arguments)
        if unknown:
            self.error(f"Unexpected argument {unknown[0]!r}.")
        return {name: value for name, value in vars(namespace).items() if value not in (None, [])}

    def error(self, message: str) -> NoReturn:
        sentence = message[:1].upper() + message[1:]
        raise UsageError(sentence if sentence.endswith((".", "?")) else sentence + ".", help_hint(self.prog))


class _HelpFormatter(argparse.HelpFormatter):
    def __init__(self, prog: str, **options: Any):
        super().__init__(prog, max_help_position=30, **options)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Return a paragraph as lines; examples keep theirs."""
        return text if text.startswith("examples:") else super()._fill_text(text, width, indent)


def path(text: str) -> Path:
    """Convert the value of a flag to a path, and expand `~`, since shells do not expand it in `--flag=~/photos`."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty.")
    if "://" in text:
        raise argparse.ArgumentTypeError(f"{text} is an address, but a local path is needed.")
    return Path(os.path.expanduser(text))


def location(text: str) -> Path | str:
    """Convert the value of a flag to a location of photos: a path, or an unchanged URL."""
    return text if "://" in text else path(text)


def is_photo_folder(text: str) -> bool:
    """Return whether an argument without the name of a flag can be a folder of photos."""
    from tfpoets.data import is_cloud_address  # imported here, so that other commands start faster
    return os.path.isdir(text) or is_cloud_address(text)


def names(text: str) -> tuple[str, ...]:
    """Split a comma-separated list into lower-case names, without duplicates."""
    return tuple(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
