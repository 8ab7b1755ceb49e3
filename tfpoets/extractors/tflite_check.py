"""Check a .tflite from another person, and run it for the first time in a process of its own."""
from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from tfpoets.graphs import FirstRun

from .engines import LiteRTModel, NotAnImageNetworkError


def check_tflite_file(path: Path, content: bytes, size: tuple[int, int] | None = None) -> None:
    """Check the operations of a .tflite, and whether it runs without a crash, unless it ran before.

    Args:
        path: The path of the file.
        content: The content of the file.
        size: Height and width in pixels, for a file that takes photos of any size.

    Raises:
        ModelError: The file is damaged, or contains an operation that is not known to be harmless.
    """
    first_run = FirstRun(path, "" if size is None else str(size))
    if not first_run.has_happened():
        from tfpoets.graphs import check_tflite  # imported here because a file that ran before does not need it
        check_tflite(content, str(path))
        first_run.run(run_tflite, content, size, library="litert")


def run_tflite(content: bytes, size: tuple[int, int] | None) -> None:
    """Run a .tflite on a gray photo, if it takes photos."""
    with contextlib.suppress(NotAnImageNetworkError):  # the caller explains what the file takes or returns
        model = LiteRTModel(content, size)
        model.run(np.full((1, model.height, model.width, 3), 0.5, np.float32))
