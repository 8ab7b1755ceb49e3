"""Curves for TensorBoard."""
from __future__ import annotations

from pathlib import Path

from scripts.console import import_tensorflow, quiet_native_code


def write_summaries(folder: Path, curves: dict[str, list[dict[str, float]]]) -> None:
    """Writes curves, a run each.

    Args:
        folder: of this training alone; nothing in it or beside it is deleted.
        curves: by the run's name, points with their `step` and the figures measured there.
    """
    summary = import_tensorflow().summary
    for run, points in curves.items():
        with quiet_native_code():
            writer = summary.create_file_writer(str(folder / run))
        with writer.as_default():
            for point in points:
                for name, value in point.items():
                    if name != "step":
                        summary.scalar(name, value, step=int(point["step"]))
        writer.close()
