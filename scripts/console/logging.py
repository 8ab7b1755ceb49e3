"""Notes and warnings on standard error; results go to standard output by the commands themselves."""
from __future__ import annotations

import logging
import os
import sys
import warnings
from types import ModuleType

from tqdm import tqdm


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if record.levelno >= logging.WARNING:
            text = f"Warning: {text}"
        # Through tqdm, so that a line never lands in the middle of a progress bar.
        tqdm.write(text, file=sys.stderr)


def configure_logging(level: str = "INFO") -> None:
    """Shows the notes of all rooms from `level` (DEBUG, INFO, WARN, ERROR or FATAL) on, as plain sentences."""
    logger = logging.getLogger("scripts")
    logger.handlers[:] = [_Handler()]
    logger.setLevel(level)
    logger.propagate = False


def import_tensorflow() -> ModuleType:
    """Imports TensorFlow (about 3 s) without its start-up messages; every room gets it from here, inside functions."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("ABSL_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow
    tensorflow.get_logger().setLevel(logging.ERROR)
    return tensorflow
