"""Notes and warnings on standard error; results go to standard output by the commands themselves."""
from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import TextIO

from .errors import wrapped


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if record.levelno >= logging.WARNING:
            text = f"Warning: {text}"
        from tqdm import tqdm  # here, because label_image starts without
        # Through tqdm, so that a line never lands in the middle of a progress bar.
        tqdm.write(wrapped(text), file=sys.stderr)


def configure_logging(level: str = "INFO") -> None:
    """Shows the notes of all rooms from `level` (DEBUG, INFO, WARN, ERROR or FATAL) on, as plain sentences."""
    logger = logging.getLogger("scripts")
    logger.handlers[:] = [_Handler()]
    logger.setLevel(level)
    logger.propagate = False


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
def quiet_native_code() -> Iterator[None]:
    """Keeps what C++ libraries write to standard error away from the person; DEBUG logging lets it through.

    TensorFlow and LiteRT greet with lines that no environment variable turns off (abseil/abseil-cpp#1957), so the file
    descriptor itself is turned aside; Python's own standard error goes on to where it went.
    """
    if logging.getLogger("scripts").isEnabledFor(logging.DEBUG):
        yield
        return
    with _aside:
        yield


def import_tensorflow() -> ModuleType:
    """Imports TensorFlow (about 3 s) without its start-up messages; every room gets it from here, inside functions."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings(), quiet_native_code():
        warnings.simplefilter("ignore")
        import tensorflow
        from absl import logging as absl_logging
    tensorflow.get_logger().setLevel(logging.ERROR)
    absl_logging.set_verbosity(absl_logging.ERROR)
    return tensorflow


class _FullPrecision:
    """TensorFloat-32 switched off for as long as any thread asks for it; then it is what it was before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before = True

    def __enter__(self) -> None:
        experimental = import_tensorflow().config.experimental
        with self._lock:
            if self._users == 0:
                self._before = experimental.tensor_float_32_execution_enabled()
                experimental.enable_tensor_float_32_execution(False)
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                import_tensorflow().config.experimental.enable_tensor_float_32_execution(self._before)


# NVIDIA GPUs since 2020 multiply float32 matrices with 10 bits of the mantissa (TensorFloat-32) unless told otherwise.
# The vectors then differ from a CPU's by 0.2 % of the largest (seen on an H200). Used wherever vectors are computed or
# compared; training keeps the faster default.
full_precision = _FullPrecision()


@contextlib.contextmanager
def auto_mixed_precision(enabled: bool) -> Iterator[None]:
    """Let TensorFlow compute in 16 bits what tolerates it, on a GPU, in all functions that run inside the block.

    The option belongs to the whole process, so it is restored at the end: files that are proven afterwards must be
    computed in full precision.
    """
    if not enabled:
        yield
        return
    optimizer = import_tensorflow().config.optimizer
    before = bool(optimizer.get_experimental_options().get("auto_mixed_precision", False))
    optimizer.set_experimental_options({"auto_mixed_precision": True})
    try:
        yield
    finally:
        optimizer.set_experimental_options({"auto_mixed_precision": before})
