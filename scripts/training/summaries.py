"""Curves for TensorBoard."""
from __future__ import annotations

from pathlib import Path

from scripts.console import import_tensorflow, quiet_native_code

from .head import HeadFit


def write_summaries(folder: Path, fit: HeadFit) -> None:
    """Writes loss and accuracy along the path of L2 strengths, as runs `train` and `validation`.

    Args:
        folder: of this run alone; nothing in it or beside it is deleted.
        fit: its path, from the strongest L2 on: a step each.
    """
    summary = import_tensorflow().summary
    for part, figures in (("train", lambda step: (step.train_loss, step.train_accuracy)),
                          ("validation", lambda step: (step.validation_loss, step.validation_accuracy))):
        with quiet_native_code():
            writer = summary.create_file_writer(str(folder / part))
        with writer.as_default():
            for number, step in enumerate(fit.path):
                loss, accuracy = figures(step)
                summary.scalar("cross_entropy", loss, step=number)
                summary.scalar("accuracy", accuracy, step=number)
                summary.scalar("l2_strength", step.l2, step=number)
        writer.close()
