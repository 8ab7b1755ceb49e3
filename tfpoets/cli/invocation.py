"""Command lines for the user to copy, in the form in which the program was started."""
from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path


def program_name(command: str) -> str:
    """Return what to type to start a command: `tfpoets retrain`, `python -m scripts.retrain` and so on.

    The form is that in which the user started this program: `python -m` stores the name of the module in `__main__`.
    """
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    module = spec.name if spec else ""
    if module.startswith("scripts."):
        return f"python -m scripts.{command}"
    if module.startswith("tfpoets."):
        return f"python -m tfpoets {command}"
    return f"tfpoets {command}"


def command_line(command: str, *arguments: str | Path) -> str:
    """Return a complete command line, quoted for the shell of the operating system."""
    return " ".join([program_name(command), *(quote(str(argument)) for argument in arguments)])


def quote(argument: str) -> str:
    """Quote an argument for the shell of the operating system, if necessary."""
    return subprocess.list2cmdline([argument]) if os.name == "nt" else shlex.quote(argument)
