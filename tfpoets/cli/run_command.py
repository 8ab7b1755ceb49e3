"""Run a command, and turn errors into messages and exit codes."""
from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable

from tfpoets.errors import OptionError, TfpoetsError, one_line, os_error_sentence

from .exit_codes import FAILED, INTERRUPTED, INVALID_COMMAND_LINE
from .interrupts import is_only_task, raise_interrupts, report_interrupt, was_interrupted
from .messages import as_flags, print_message, print_traceback, show_tracebacks, shows_tracebacks
from .out_of_memory import forget_written, report_aborts, report_memory_error


class UsageError(TfpoetsError):
    """The command line is invalid."""


def run_command(command: Callable[[list[str] | None], int], argv: list[str] | None = None) -> int:
    """Run a command, and print any error as one or two sentences on standard error.

    Args:
        command: A function that takes the arguments of the command line and returns an exit code.
        argv: The arguments to pass to `command`; None stands for `sys.argv[1:]`.

    Returns:
        The exit code of the process, one of EXIT_CODES (`exit_codes.py`).
    """
    for stream in (sys.stdout, sys.stderr):
        # Printing a file name that the terminal's encoding cannot represent must not end the run.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    show_tracebacks("--debug" in (sys.argv[1:] if argv is None else argv))  # until the command line is parsed
    forget_written()
    if is_only_task():
        report_aborts()
    try:
        raise_interrupts()
        return command(argv)
    except KeyboardInterrupt:
        report_interrupt(print_message)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (such as `| head`) has closed the pipe, so Python must not flush to it on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if was_interrupted():  # some libraries turn KeyboardInterrupt into an error of their own
            report_interrupt(print_message)
            return INTERRUPTED
        if shows_tracebacks():
            print_traceback()
        if report_memory_error(error):
            return FAILED
        print_message(f"Error: {_format_error(error)}")
        return INVALID_COMMAND_LINE if isinstance(error, (UsageError, OptionError)) else FAILED


def _format_error(error: Exception) -> str:
    if isinstance(error, TfpoetsError):
        return as_flags(str(error))
    if isinstance(error, OSError):
        return os_error_sentence(error)
    return (f"Unexpected {type(error).__name__}: {one_line(error)} Run the same command with --debug to see the "
            "traceback.")
