"""What a command writes to standard error: errors, notes and progress bars."""
from __future__ import annotations

import logging
import re
import shutil
import sys
import textwrap
import warnings
from collections.abc import Mapping
from typing import Any

from tfpoets.progress import ProgressBar, show_progress
from tfpoets.tf_runtime import hide_native_messages

from .invocation import called_as

# The width of the lines that commands print, so that a terminal of 80 columns breaks none.
LINE_WIDTH = 79

# Options and commands as the library names them: `image_size`, `tfpoets retrain image_dir=FOLDER`.
_QUOTED = re.compile(r"`(?:tfpoets (?P<command>[a-z_0-9]+)(?P<options>(?: [a-z_]+=[^ `]+)*)|(?P<option>[a-z_0-9]+))`")
_flags: dict[str, str] = {}


def set_flags(flags: Mapping[str, str]) -> None:
    """Make `as_flags` use the flags of the command that runs: names of options to what the user writes."""
    _flags.clear()
    _flags.update(flags)


def as_flags(text: str) -> str:
    """Return a message of the library in the terms of the command line.

    `image_size` becomes --image_size where the running command has such a flag, and `tfpoets retrain image_dir=FOLDER`
    becomes the command line that does this, in the form in which the user called this one. Other names lose their
    backticks.
    """
    def shown(match: re.Match[str]) -> str:
        if match["command"]:
            return called_as(match["command"]) + match["options"].replace(" ", " --")
        return _flags.get(match["option"], match["option"])
    return _QUOTED.sub(shown, text)


def print_message(sentence: str) -> None:
    """Print a sentence to standard error."""
    print(wrapped(sentence), file=sys.stderr, flush=True)


def wrapped(sentence: str) -> str:
    """Return the sentence broken between words at the width of the terminal, if standard error is one."""
    if not sys.stderr.isatty():
        return sentence
    return textwrap.fill(sentence, shutil.get_terminal_size().columns, break_long_words=False, break_on_hyphens=False)


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        text = as_flags(self.format(record))
        if record.levelno >= logging.WARNING:
            text = f"Warning: {text}"
        from tqdm import tqdm  # here, because label_image starts without
        # Through tqdm, so that a line never lands in the middle of a progress bar.
        tqdm.write(wrapped(text), file=sys.stderr)


def configure_messages(level: str = "INFO") -> None:
    """Show the library's notes from `level` (DEBUG, INFO, WARN, ERROR or FATAL) on, and its progress, to a person."""
    logger = logging.getLogger("tfpoets")
    logger.handlers[:] = [_Handler()]
    logger.setLevel(level)
    logger.propagate = False
    hide_native_messages(level != "DEBUG")
    # A photo's small oddities (EXIF cut off, a palette with holes) are no news to a person with ten thousand photos.
    # The filter holds for the whole process: warnings.catch_warnings() swaps a global list and puts the old one back,
    # which goes wrong where several threads load photos at once.
    warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    show_progress(_bar)


class _StandardError:
    """Whatever standard error is at the moment of writing; see `redirect_native_stderr`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


def _bar(total: int | None, what: str, unit: str, done: int, bytes_: bool) -> ProgressBar:
    """A bar with rate and time left; silent where standard error is no terminal."""
    from tqdm import tqdm  # here, because label_image starts without
    return tqdm(total=total, desc=what, unit="B" if bytes_ else f" {unit}", unit_scale=bytes_, initial=done,
                file=_StandardError(), disable=None, dynamic_ncols=True, leave=False)
