"""The user's files where no flag names others."""
from __future__ import annotations

from pathlib import Path

from tfpoets.exporting import DEFAULT_GRAPH

TF_FILES = Path("tf_files")
DEFAULT_TFLITE = DEFAULT_GRAPH.with_suffix(".tflite")


def default_graph() -> Path:
    """Return the classifier that is meant when none is named: the .tflite, or the .pb where there is only that."""
    return DEFAULT_GRAPH if DEFAULT_GRAPH.exists() and not DEFAULT_TFLITE.exists() else DEFAULT_TFLITE
