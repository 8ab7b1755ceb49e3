"""Completion of commands and flags in a shell, with argcomplete.

The shell starts `tfpoets` with the variable _ARGCOMPLETE and the line so far in COMP_LINE. Only the command in that
line is imported, since importing all of them takes seconds.
"""
from __future__ import annotations

import argparse
import importlib
import os
import shlex
from collections.abc import Mapping


def print_completions(commands: Mapping[str, str]) -> None:
    """Print the completions of the line in COMP_LINE, and end the process.

    Args:
        commands: The summary of each command, by name.
    """
    import argcomplete
    argcomplete.autocomplete(build_parser(commands, os.environ.get("COMP_LINE", "")))


def build_parser(commands: Mapping[str, str], line: str) -> argparse.ArgumentParser:
    """Return a parser that knows all commands, and the flags of the one in the line."""
    parser = argparse.ArgumentParser("tfpoets", allow_abbrev=False)
    parser.add_argument("--version", action="store_true")
    subparsers = parser.add_subparsers()
    chosen = _command_in(line).replace("-", "_")
    for name, summary in commands.items():
        command = subparsers.add_parser(name, help=summary, allow_abbrev=False)
        if name == chosen:
            _add_flags(command, name)
    return parser


def _command_in(line: str) -> str:
    """Return the second word of a line that may end in the middle of a word or a quotation."""
    try:
        words = shlex.split(line)
    except ValueError:  # an open quotation mark
        words = line.split()
    return words[1] if len(words) > 1 else ""


def _add_flags(parser: argparse.ArgumentParser, command: str) -> None:
    from .parser import MESSAGES
    for group in (*importlib.import_module(f"tfpoets.cli.{command}").FLAGS, MESSAGES):
        for flag in group.flags:
            flag.add_to(parser)
