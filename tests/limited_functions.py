"""Functions that another process runs in `test_limited_process.py`."""
from __future__ import annotations

import ctypes
import os
import time

from tfpoets.errors import ModelError


def add(a: int, b: int) -> int:
    return a + b


def fail() -> None:
    raise ModelError("There is a problem.", "A remedy.")


def allocate(size: int) -> None:
    bytearray(size)


def crash() -> None:
    ctypes.string_at(1)


def leave() -> None:
    os._exit(5)


def sleep() -> None:
    time.sleep(1000)


def write(path: str) -> None:
    with open(path, "wb") as file:
        file.write(b"x")
