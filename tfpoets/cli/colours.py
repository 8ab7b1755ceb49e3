"""Colours of a few words, on terminals that show colours."""
from __future__ import annotations

import os
import re
import sys
from typing import TextIO

BOLD, RED, YELLOW = "1", "31", "33"
# What is coloured: the verdict, and what a reader must not overlook.
_HIGHLIGHTS = ((re.compile(r"^((?:Final test accuracy|Accuracy) = \S+)"), BOLD),
               (re.compile(r"^(\s*(?:CAUTION|WARNING|Warning):)"), YELLOW),
               (re.compile(r"^(Error:)"), RED))


def shows_colours(stream: TextIO) -> bool:
    """Return whether a stream shows colours: a terminal, unless NO_COLOR or FORCE_COLOR say otherwise.

    See no-color.org and force-color.org; as in Python itself, NO_COLOR is the stronger one.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    if os.environ.get("TERM") == "dumb" or not stream.isatty():
        return False
    return sys.platform != "win32" or bool(os.environ.get("WT_SESSION") or os.environ.get("TERM"))


def highlight(line: str, stream: TextIO) -> str:
    """Return a line whose first words are coloured, if they are a verdict, a caution or an error."""
    for pattern, code in _HIGHLIGHTS:
        if pattern.match(line):
            return pattern.sub(f"\x1b[{code}m\\1\x1b[0m", line) if shows_colours(stream) else line
    return line
