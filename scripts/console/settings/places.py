"""Where a person's files are, unless flags say otherwise."""
from __future__ import annotations

from pathlib import Path

TF_FILES = Path("tf_files")
DEFAULT_GRAPH = TF_FILES / "retrained_graph.pb"
DEFAULT_TFLITE = TF_FILES / "retrained_graph.tflite"
DEFAULT_LABELS = TF_FILES / "retrained_labels.txt"


def default_graph() -> Path:
    """The classifier that is meant when none is named: the .tflite, or the .pb where Poets left only that."""
    return DEFAULT_GRAPH if DEFAULT_GRAPH.exists() and not DEFAULT_TFLITE.exists() else DEFAULT_TFLITE
