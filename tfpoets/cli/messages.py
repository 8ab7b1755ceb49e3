"""Errors, notes and progress bars on standard error."""
from __future__ import annotations

import json
import logging
import re
import shutil
import sys
import textwrap
import traceback
import warnings
from collections.abc import Mapping
from typing import Any, TextIO

from tfpoets.escaping import escape_for_terminal, escape_json
from tfpoets.progress import ProgressBar, show_progress
from tfpoets.tf_runtime import hide_native_messages

from .colours import highlight
from .invocation import program_name

# Printed lines are at most this long, so that they fit a terminal of 80 columns.
LINE_WIDTH = 79

# Options and commands in the messages of the library: `image_size`, `tfpoets retrain image_dir=FOLDER`, and options
# with their values, `image_dir=FOLDER seed=3`. A value with special characters is in single quotes.
_VALUE = "(?:'[^']*'|\"[^\"]*\"|[^ '\"`])+"
_QUOTED = re.compile(rf"`(?:tfpoets (?P<command>[a-z_0-9]+)(?P<options>(?: [a-z_]+={_VALUE})*)|"
                     rf"(?P<assignments>[a-z_]+={_VALUE}(?: [a-z_]+={_VALUE})*)|(?P<option>[a-z_0-9]+))`")
_flags: dict[str, str] = {}
_command: list[str] = []
_shows_tracebacks = False


def set_flags(flags: Mapping[str, str], command: str) -> None:
    """Set what `as_flags` inserts.

    Args:
        flags: The flag for each option name, such as "--tfhub_module" for "handle".
        command: The name of the running command, such as "retrain".
    """
    _flags.clear()
    _flags.update(flags)
    _command[:] = [command]


def flag_spelling(option: str) -> str:
    """Return the flag of the running command for an option, or "" if there is none."""
    return _flags.get(option, "")


def running_command() -> str:
    """Return the name of the running command, or "" before its arguments are parsed."""
    return _command[0] if _command else ""


def as_flags(text: str) -> str:
    """Replace the options and commands in a message of the library with what the user types.

    `image_size` becomes --image_size if the running command has such a flag, and `tfpoets retrain image_dir=FOLDER`
    becomes a command line in the form in which this command was started. Options with values become a command line of
    the running command. Other names only lose their backticks.
    """
    def replacement(match: re.Match[str]) -> str:
        if match["command"]:
            return program_name(match["command"]) + _as_arguments(match["options"])
        if match["assignments"]:
            return (program_name(_command[0]) if _command else "") + _as_arguments(f" {match['assignments']}")
        return _flags.get(match["option"], match["option"])
    return _QUOTED.sub(replacement, text)


def _as_arguments(options: str) -> str:
    """Return options in the form ` name=value` as flags; spaces in quoted values are unchanged."""
    return re.sub(rf" ([a-z_]+={_VALUE})", r" --\1", options)


def show_tracebacks(shown: bool) -> None:
    """Set whether the traceback of an error is printed above its message."""
    global _shows_tracebacks
    _shows_tracebacks = shown


def shows_tracebacks() -> bool:
    """Return whether tracebacks are printed."""
    return _shows_tracebacks


def print_message(sentence: str) -> None:
    """Print a sentence to standard error."""
    print(highlight(wrap_for_terminal(escape_for_terminal(sentence)), sys.stderr), file=sys.stderr, flush=True)


def print_traceback() -> None:
    """Print the traceback of the exception that is being handled to standard error."""
    print(escape_for_terminal(traceback.format_exc(), keep="\n"), end="", file=sys.stderr)


def print_lines(*lines: str, stream: TextIO | None = None) -> None:
    """Print lines for people to read; a name in them cannot control the terminal or look like another line.

    Args:
        lines: The lines, without line breaks.
        stream: The stream to print to (default: standard output).
    """
    for line in lines:
        print(highlight(escape_for_terminal(line), stream or sys.stdout), file=stream)
    (stream or sys.stdout).flush()


def print_json(value: Any, **options: Any) -> None:
    """Print a value as JSON on one line, for programs to read; it is safe to show on a terminal, too.

    Args:
        value: The value.
        options: Options of `json.dumps`.
    """
    print(escape_json(json.dumps(value, **{"ensure_ascii": False, **options})), flush=True)


def wrap_for_terminal(sentence: str) -> str:
    """Break a sentence between words at the width of the terminal, if standard error is one."""
    if not sys.stderr.isatty():
        return sentence
    return textwrap.fill(sentence, shutil.get_terminal_size().columns, break_long_words=False, break_on_hyphens=False)


class _MessageHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        text = escape_for_terminal(as_flags(self.format(record)), keep="\n" if record.exc_info else "")
        if record.levelno >= logging.WARNING:
            text = f"Warning: {text}"
        from tqdm import tqdm  # imported here, so that label_image starts faster
        # tqdm.write keeps the line from landing in the middle of a progress bar.
        tqdm.write(highlight(wrap_for_terminal(text), sys.stderr), file=sys.stderr)


def configure_messages(level: str = "INFO") -> None:
    """Show the messages and the progress of the library on standard error.

    Args:
        level: The lowest level to show: DEBUG, INFO, WARN, ERROR or FATAL.
    """
    logger = logging.getLogger("tfpoets")
    logger.handlers[:] = [_MessageHandler()]
    logger.setLevel(level)
    logger.propagate = False
    hide_native_messages(level != "DEBUG")
    # With ten thousand photos, small defects (truncated EXIF data, unusual transparency) are not worth a warning each.
    # The filter applies to the whole process: warnings.catch_warnings() replaces a global list and restores it later,
    # which goes wrong when several threads load photos at once.
    warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\.")
    for name in ("PIL", "gcsfs", "azure"):  # these log tracebacks of errors that are also raised
        logging.getLogger(name).setLevel(logging.CRITICAL)
    show_progress(_create_progress_bar)


class _CurrentStderr:
    """A stream that looks up `sys.stderr` at each write, because `redirect_native_stderr` replaces it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


def _create_progress_bar(total: int | None, description: str, unit: str, done: int, bytes_: bool) -> ProgressBar:
    """Return a progress bar with rate and remaining time. It is hidden if standard error is not a terminal."""
    from tqdm import tqdm  # imported here, so that label_image starts faster
    return tqdm(total=total, desc=description, unit="B" if bytes_ else f" {unit}", unit_scale=bytes_, initial=done,
                file=_CurrentStderr(), disable=None, dynamic_ncols=True, leave=False)
