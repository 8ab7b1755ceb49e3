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

from tqdm import tqdm

from .errors import wrapped

_redirection = threading.Lock()


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if record.levelno >= logging.WARNING:
            text = f"Warning: {text}"
        # Through tqdm, so that a line never lands in the middle of a progress bar.
        tqdm.write(wrapped(text), file=sys.stderr)


def configure_logging(level: str = "INFO") -> None:
    """Shows the notes of all rooms from `level` (DEBUG, INFO, WARN, ERROR or FATAL) on, as plain sentences."""
    logger = logging.getLogger("scripts")
    logger.handlers[:] = [_Handler()]
    logger.setLevel(level)
    logger.propagate = False


@contextlib.contextmanager
def quiet_native_code() -> Iterator[None]:
    """Keeps what C++ libraries write to standard error away from the person; DEBUG logging lets it through.

    TensorFlow and LiteRT greet with lines that no environment variable turns off (abseil/abseil-cpp#1957), so the file
    descriptor itself is turned aside; what Python writes from another thread meanwhile is lost, hence for short calls.
    """
    if logging.getLogger("scripts").isEnabledFor(logging.DEBUG):
        yield
        return
    with _redirection:
        sys.stderr.flush()
        kept = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


def import_tensorflow() -> ModuleType:
    """Imports TensorFlow (about 3 s) without its start-up messages; every room gets it from here, inside functions."""
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings(), quiet_native_code():
        warnings.simplefilter("ignore")
        import tensorflow
        from absl import logging as absl_logging
    tensorflow.get_logger().setLevel(logging.ERROR)
    absl_logging.set_verbosity(absl_logging.ERROR)
    return tensorflow
