"""What a command prints when there is too little memory: what was kept, and what needs less."""
from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tfpoets.memory_errors import is_memory_error, limit_is_near

from .exit_codes import FAILED
from .messages import as_flags, flag_spelling, print_message, running_command

BEGINNING = "Error: There is not enough memory"
# What a command has saved when it fails, and what needs less memory: text, or the names of flags.
KEPT = {"retrain": "the bottlenecks and checkpoints that were saved are kept, the files of the classifier were not "
                   "replaced",
        "doctor": "the bottlenecks that were saved are kept", "compare": "the bottlenecks that were saved are "
        "kept", "export": "files that were not finished are not there"}
NEEDS_LESS = {"retrain": ("fewer photos", "max_memory_gb", "nodoctor", "image_size", "batch_size"),
              "doctor": ("fewer photos", "image_size"), "compare": ("fewer photos", "image_size"),
              "evaluate": ("fewer photos",), "export": ("one format at a time",), "serve": ("image_size",)}
# How the flags among them are to be set.
SETTINGS = {"max_memory_gb": "a smaller {}", "image_size": "a smaller {}", "batch_size": "a smaller {}"}
_written: list[Path] = []


def note_written(graph: Path) -> None:
    """Remember that the files of a classifier have been published, for the sentence."""
    _written.append(graph)


def forget_written() -> None:
    """Forget the files of an earlier command of this process."""
    _written.clear()


def memory_sentence() -> str:
    """Return the sentence for the running command."""
    command = running_command()
    kept = KEPT.get(command, "")
    if _written:
        kept = f"the classifier in {_written[-1]} is complete, and what is written after it is missing"
    options = [SETTINGS.get(name, "{}").format(flag_spelling(name) or name) for name in NEEDS_LESS.get(command, ())
               if " " in name or flag_spelling(name)]
    needs_less = ""
    if options:
        listed = " or ".join(filter(None, (", ".join(options[:-1]), options[-1])))
        needs_less = f"{listed} {'needs' if len(options) == 1 else 'need'} less"
    reasons = ", and ".join(filter(None, (kept, needs_less)))
    return as_flags(f"{BEGINNING}{': ' if reasons else ''}{reasons}.")


def report_aborts() -> None:
    """Print the sentence, and exit with code 1, when a library ends this process because it cannot allocate memory.

    C++ code does so with `std::terminate`, which prints a message of its own and calls `abort`. Python's signal
    handlers run too late for this. If the memory is not the reason, the process ends as it would have done. Nothing
    changes where the C libraries have other names than on Linux.
    """
    try:
        libc, libstdcpp = ctypes.CDLL("libc.so.6"), ctypes.CDLL("libstdc++.so.6")
    except OSError:
        return
    set_terminate = libstdcpp._ZSt13set_terminatePFvvE
    set_terminate.restype = ctypes.c_void_p
    previous: list[Any] = []

    def on_abort(_: int) -> None:
        if not _end_if_memory_is_short():
            libc.signal(int(signal.SIGABRT), None)  # the default action, which `abort` repeats

    def on_terminate() -> None:
        if not _end_if_memory_is_short():
            previous[0]()

    _callbacks.extend([ctypes.CFUNCTYPE(None, ctypes.c_int)(on_abort), ctypes.CFUNCTYPE(None)(on_terminate)])
    libc.signal(int(signal.SIGABRT), _callbacks[-2])
    previous.append(ctypes.CFUNCTYPE(None)(set_terminate(_callbacks[-1])))


# They must not be collected as long as the C libraries may call them.
_callbacks: list[Any] = []


def _end_if_memory_is_short() -> bool:
    """End the process with the sentence if its memory is short; otherwise return False."""
    if not limit_is_near():
        return False
    try:
        line_break = "\n" if sys.stderr.isatty() else ""
        os.write(sys.stderr.fileno(), f"{line_break}{memory_sentence()}\n".encode())
    finally:
        os._exit(FAILED)


def report_memory_error(error: BaseException) -> bool:
    """Print the sentence if an error was caused by too little memory; return whether it was."""
    if not is_memory_error(error):
        return False
    print_message(memory_sentence())
    return True
