"""How a command runs: whatever goes wrong becomes one or two sentences and an exit code."""
from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable

from tfpoets.errors import OptionError, TfpoetsError, one_line, os_error_sentence

from .messages import as_flags, print_message


class UsageError(TfpoetsError):
    """A wrong command line."""


def run_command(command: Callable[[list[str] | None], int], arguments: list[str] | None = None) -> int:
    """Run a command and turn whatever goes wrong into a sentence on standard error.

    Args:
        command: takes the command line's arguments (None: those of the process) and returns an exit code.
        arguments: what to pass to it.

    Returns:
        The process's exit code: 0, 1 (failed), 2 (wrong command line) or 130 (interrupted).
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names that a terminal or an encoding cannot show must not end a run
            stream.reconfigure(errors="backslashreplace")
    debug = "--debug" in (sys.argv[1:] if arguments is None else arguments)
    try:
        return command(arguments)
    except KeyboardInterrupt:
        print_message("Stopped. What was finished is kept: the same command goes on from there.")
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has gone; nothing must be flushed to it when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            traceback.print_exc()
        print_message(f"Error: {_sentence(error)}")
        return 2 if isinstance(error, (UsageError, OptionError)) else 1


def _sentence(error: Exception) -> str:
    if isinstance(error, TfpoetsError):
        return as_flags(str(error))
    if isinstance(error, OSError):
        return os_error_sentence(error)
    return (f"this should not have happened: {type(error).__name__}: {one_line(error)} Run the same command with "
            "--debug to see where.")
