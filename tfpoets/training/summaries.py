"""Curves for TensorBoard."""
from __future__ import annotations

from pathlib import Path

import numpy as np

from tfpoets.tf_runtime import import_tensorflow, redirect_native_stderr


def write_summaries(folder: Path, curves: dict[str, list[dict[str, float]]],
                    pictures: dict[str, np.ndarray] | None = None) -> None:
    """Writes curves, a run each, and pictures, in a run `test`.

    Args:
        folder: of this training alone; nothing in it or beside it is deleted.
        curves: by the run's name, points with their `step` and the figures measured there.
        pictures: by name, uint8 [height, width, 3].
    """
    summary = import_tensorflow().summary
    for run, points in curves.items():
        with redirect_native_stderr():
            writer = summary.create_file_writer(str(folder / run))
        with writer.as_default():
            for point in points:
                for name, value in point.items():
                    if name != "step":
                        summary.scalar(name, value, step=int(point["step"]))
        writer.close()
    if pictures:
        with redirect_native_stderr():
            writer = summary.create_file_writer(str(folder / "test"))
        with writer.as_default():
            for name, picture in pictures.items():
                summary.image(name, picture[None], step=0)
        writer.close()
