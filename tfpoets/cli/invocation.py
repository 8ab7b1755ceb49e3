"""The form in which the user called the program, for commands that are printed to be copied."""
from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path


def called_as(command: str) -> str:
    """Return a command as this process was called: `tfpoets retrain`, or `python -m scripts.retrain`, for instance.

    The form is told by the module that Python runs: `python -m` leaves its name in `__main__`.
    """
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    running = spec.name if spec else ""
    if running.startswith("scripts."):
        return f"python -m scripts.{command}"
    if running.startswith("tfpoets."):
        return f"python -m tfpoets {command}"
    return f"tfpoets {command}"


def command_line(command: str, *arguments: str | Path) -> str:
    """Return a whole command line that this system's shell takes."""
    return " ".join([called_as(command), *(quoted(str(argument)) for argument in arguments)])


def quoted(argument: str) -> str:
    """Return an argument as this system's shell needs it."""
    return subprocess.list2cmdline([argument]) if os.name == "nt" else shlex.quote(argument)
