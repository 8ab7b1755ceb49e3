"""Curves and images for TensorBoard."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.tf_runtime import import_tensorflow, redirect_native_stderr

from .curves import Curves


def write_summaries(folder: Path, curves: Curves, images: dict[str, np.ndarray] | None = None) -> None:
    """Write each curve as a run, and the images as the run `test`.

    Args:
        folder: The log folder of this training run. Nothing in it is deleted.
        curves: The points of each run, each with its `step` and the metrics at that step.
        images: uint8 [height, width, 3], by name.
    """
    summary = import_tensorflow().summary
    for run, points in curves.items():
        writer = _create_writer(summary, folder / run)
        with writer.as_default():
            for point in points:
                for name, value in point.items():
                    if name != "step":
                        summary.scalar(name, value, step=int(point["step"]))
        writer.close()
    if images:
        writer = _create_writer(summary, folder / "test")
        with writer.as_default():
            for name, image in images.items():
                summary.image(name, image[None], step=0)
        writer.close()


def _create_writer(summary: Any, folder: Path) -> Any:
    with redirect_native_stderr():
        return summary.create_file_writer(str(folder))
