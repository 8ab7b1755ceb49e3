"""A function in a limited process can neither crash this process, nor run for ever, fill the memory or write files."""
from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from tests import limited_functions as functions
from tfpoets.errors import ModelError
from tfpoets.limited_process import LimitError, run_limited

pytestmark = pytest.mark.first_run
GIGABYTE = 1 << 30


def run(function, *arguments, seconds: float = 20.0, memory_bytes: int = GIGABYTE):
    return run_limited(function, *arguments, seconds=seconds, memory_bytes=memory_bytes)


def test_the_result_and_errors_are_returned() -> None:
    assert run(functions.add, 1, 2) == 3
    with pytest.raises(ModelError, match="a problem") as caught:
        run(functions.fail)
    assert caught.value.remedy == "A remedy."


@pytest.mark.skipif(sys.platform != "linux", reason="the memory is limited only on Linux")
def test_the_memory_is_limited() -> None:
    run(functions.allocate, GIGABYTE // 2)
    with pytest.raises(LimitError, match="too much memory"):
        run(functions.allocate, 2 * GIGABYTE)


def test_a_crash_is_reported_with_its_signal() -> None:
    with pytest.raises(LimitError, match="crashes .SIGSEGV"):
        run(functions.crash)
    with pytest.raises(LimitError, match="crashes .exit code 5"):
        run(functions.leave)


def test_an_endless_function_is_killed_in_time() -> None:
    start = time.monotonic()
    with pytest.raises(LimitError, match="longer than 0.5 seconds"):
        run(functions.sleep, seconds=0.5)
    assert time.monotonic() - start < 30


@pytest.mark.skipif(sys.platform == "win32", reason="files are protected only on Linux and macOS")
def test_no_file_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too large"):
        run(functions.write, os.fspath(tmp_path / "file"))
    assert not (tmp_path / "file").exists() or (tmp_path / "file").stat().st_size == 0
