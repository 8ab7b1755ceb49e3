"""Functions that test_tf_process.py runs in a second process."""
from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from tfpoets.errors import ExportError


def describe_process() -> tuple[int, bool, bool]:
    """Return the id of the process, and whether it has imported TensorFlow and Keras."""
    print("printed in the second process")
    return os.getpid(), "tensorflow" in sys.modules, sys.modules.get("keras") is not None


def fail() -> None:
    """Raise an error with a remedy."""
    raise ExportError("No.", "Try again.")


def exit_unless(pid: int) -> int:
    """End the process unless it has the given id, which is returned."""
    if os.getpid() != pid:
        os._exit(1)
    return pid


def end_in_another_process(pid: int, how: str) -> int:
    """End the process with a signal, or raise an error, unless it has the given id, which is returned."""
    if os.getpid() == pid:
        return pid
    if how == "error":
        raise RuntimeError("std::bad_alloc")
    os.kill(os.getpid(), getattr(signal, how))
    time.sleep(60)
    return 0


def sleep_after_writing_pid(path: str) -> None:
    """Write the id of the process to a file, and sleep for a minute."""
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)
