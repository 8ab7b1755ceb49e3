"""Default paths of the command line."""
from __future__ import annotations

from pathlib import Path

from tfpoets.exporting import DEFAULT_GRAPH

TF_FILES = Path("tf_files")
DEFAULT_TFLITE = DEFAULT_GRAPH.with_suffix(".tflite")


def default_graph() -> Path:
    """Return the path of the default classifier: the .tflite, or the .pb if that is the only one that exists."""
    return DEFAULT_GRAPH if DEFAULT_GRAPH.exists() and not DEFAULT_TFLITE.exists() else DEFAULT_TFLITE
