"""Ctrl-C: one sentence and exit code 130, whenever and however often it is pressed.

This module imports nothing slow, because it must be ready before the imports of a command, which take a large part of
a second.
"""
from __future__ import annotations

import atexit
import os
import signal
import sys

from .exit_codes import INTERRUPTED

TYPE_CHECKING = False  # `typing` is not imported, because this module must be imported fast
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

# What to do next, for the commands that continue with the saved results of an interrupted run.
HINTS = {"retrain": "Run the same command again; it reuses saved bottlenecks and checkpoints.",
         "doctor": "Run the same command again; it reuses saved bottlenecks."}
_command = ""


def set_command(name: str) -> None:
    """Set the name of the running command, on which the message depends."""
    global _command
    _command = name


def interrupt_message() -> str:
    """Return the sentences that are printed when the running command is interrupted."""
    return f"Interrupted. {HINTS.get(_command, '')}".rstrip()


# Whether `run_process` was called, so that signal handlers may be changed.
_is_only_task = False


def run_process(command: Callable[[], int]) -> int:
    """Run a command as the only task of this process, and return its exit code.

    While the command is imported, and after it has returned, Ctrl-C ends the process immediately, since nothing needs
    to be cleaned up. In between, `run_command` calls `raise_interrupts`.

    Nothing changes if SIGINT is ignored, as in background jobs of a shell, or has a handler of another program.
    """
    global _is_only_task
    _is_only_task = True
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return command()
    signal.signal(signal.SIGINT, _exit_with_message)
    # The interpreter restores the default action, which would end the process without an exit code, unless the signal
    # is ignored. Of the functions that run on exit, the first one registered is the last one called.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    try:
        code = command()
    except SystemExit as stop:  # --help
        code = stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:  # outside of `run_command`
        report_interrupt(lambda sentence: print(sentence, file=sys.stderr, flush=True))
        code = INTERRUPTED
    try:
        sys.stdout.flush()
    except Exception:  # a closed pipe, or no standard output at all
        pass
    if code == INTERRUPTED:
        # Otherwise the interpreter would wait for threads, and end itself with a signal if the exception has passed
        # through a call of `exec`, although it was handled (`unhandled_keyboard_interrupt` in CPython's pythonrun.c).
        os._exit(code)
    signal.signal(signal.SIGINT, lambda *_: os._exit(code))
    return code


def is_only_task() -> bool:
    """Return whether a command runs as the only task of this process, even if the process ignores Ctrl-C."""
    return _is_only_task


def raise_interrupts() -> None:
    """Raise KeyboardInterrupt for the first Ctrl-C from now on, so that the command can clean up.

    The second one ends the process immediately. Nothing changes outside of `run_process`.
    """
    if signal.getsignal(signal.SIGINT) is _exit_with_message:
        signal.signal(signal.SIGINT, _raise_once)


def was_interrupted() -> bool:
    """Return whether KeyboardInterrupt was raised since `raise_interrupts`, even if some code has suppressed it."""
    return signal.getsignal(signal.SIGINT) is _exit_with_message


def report_interrupt(print_message: Callable[[str], None]) -> None:
    """Print that the command was interrupted, exactly once even if Ctrl-C is pressed meanwhile."""
    if signal.getsignal(signal.SIGINT) not in (_raise_once, _exit_with_message):
        print_message(interrupt_message())
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print_message(interrupt_message())
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))


def _raise_once(number: int, frame: FrameType | None) -> Any:
    signal.signal(signal.SIGINT, _exit_with_message)
    raise KeyboardInterrupt


def _exit_with_message(number: int, frame: FrameType | None) -> None:
    """End the process without cleaning up. It leaves behind the same files as a killed run."""
    try:
        line_break = "\n" if sys.stderr.isatty() else ""  # a progress bar, or ^C, is on the current line
        os.write(sys.stderr.fileno(), f"{line_break}{interrupt_message()}\n".encode())
        sys.stdout.flush()
    except Exception:  # there are no such streams, or the interrupted code is using them (RuntimeError)
        pass
    os._exit(INTERRUPTED)
