"""TensorFlow as a process uses it: imported late and, if asked, quietly; precision for the length of a block."""
from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TextIO

_hidden = False
_imported = False


def hide_native_messages(hidden: bool = True) -> None:
    """Hide what TensorFlow and LiteRT write to standard error by themselves, from now on.

    They greet with lines that no environment variable turns off (abseil/abseil-cpp#1957), so the file descriptor
    itself is turned aside while they work. The command line asks for this; a host program keeps its messages and
    descriptors.
    """
    global _hidden
    _hidden = hidden


class _Aside:
    """Standard error of the process turned aside, for as many threads as ask for it at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking = 0
        self._kept = -1
        self._python: TextIO | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._asking += 1
            if self._asking > 1:
                return
            sys.stderr.flush()
            self._kept = os.dup(2)
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            own = sys.__stderr__
            if own is not None and sys.stderr is own:  # else Python's has gone elsewhere anyway
                self._python = own
                sys.stderr = open(self._kept, "w", encoding=own.encoding, errors="backslashreplace",
                                  buffering=1, closefd=False)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._asking -= 1
            if self._asking:
                return
            if self._python is not None:
                sys.stderr.flush()
                sys.stderr, self._python = self._python, None
            os.dup2(self._kept, 2)
            os.close(self._kept)


_aside = _Aside()


@contextlib.contextmanager
def redirect_native_stderr() -> Iterator[None]:
    """Hide what native code writes to standard error inside the block, where `hide_native_messages` asked for it.

    Python's own standard error goes on to where it went.
    """
    if not _hidden:
        yield
        return
    with _aside:
        yield


def import_tensorflow() -> ModuleType:
    """Import TensorFlow (about 3 s); all code gets it from here, inside functions.

    Where `hide_native_messages` asked for it, TensorFlow's start-up messages and notes are hidden, too.
    """
    global _imported
    if not _hidden or _imported:  # once is enough: what hides messages must not run beside other threads for nothing
        import tensorflow
        return tensorflow
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings(), redirect_native_stderr():
        warnings.simplefilter("ignore")
        import tensorflow
        from absl import logging as absl_logging
    tensorflow.get_logger().setLevel(logging.ERROR)
    absl_logging.set_verbosity(absl_logging.ERROR)
    _imported = True
    return tensorflow


class _Setting:
    """A setting of the whole process that has another value for as long as any thread is inside a block.

    Args:
        value: inside.
        read, write: get and set it.
    """

    def __init__(self, value: bool, read: Callable[[], bool], write: Callable[[bool], None]):
        self._value, self._read, self._write = value, read, write
        self._lock = threading.Lock()
        self._inside = 0
        self._before = value

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = self._read()
                self._write(self._value)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._write(self._before)


# NVIDIA GPUs since 2020 multiply float32 matrices with 10 bits of the mantissa (TensorFloat-32) unless told otherwise.
# The vectors then differ from a CPU's by 0.2 % of the largest (seen on an H200). Used wherever vectors are computed or
# compared; training keeps the faster default.
full_precision = _Setting(
    False, lambda: import_tensorflow().config.experimental.tensor_float_32_execution_enabled(),
    lambda on: import_tensorflow().config.experimental.enable_tensor_float_32_execution(on))

# TensorFlow computes in 16 bits what tolerates it, on a GPU, in all functions that run inside the block. Files that
# are proven afterwards must be computed in full precision.
auto_mixed_precision = _Setting(
    True, lambda: bool(import_tensorflow().config.optimizer.get_experimental_options().get("auto_mixed_precision")),
    lambda on: import_tensorflow().config.optimizer.set_experimental_options({"auto_mixed_precision": on}))
