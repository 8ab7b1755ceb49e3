"""A .keras file, which `keras.models.load_model` opens."""
from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfpoets.errors import ExportError, one_line
from tfpoets.extractors import TENSORFLOW_BATCH, Engine
from tfpoets.tf_runtime import full_precision, import_tensorflow, redirect_native_stderr

from ..metadata import Metadata
from ..target import SERVING, ExportTarget, Requirement

if TYPE_CHECKING:
    from ..exportable import Exportable

# An entry of the zip archive, which Keras ignores.
DESCRIPTION_ENTRY = "tfpoets.json"


class KerasTarget(ExportTarget):
    """The target for a .keras file, without labels: float32 pixels in [0, 1] to probabilities."""

    name = "keras"
    timed = False

    def file_name(self, stem: str) -> str:
        """Return the name of the file."""
        return f"{stem}.keras"

    def write(self, source: Exportable, path: Path) -> None:
        """Write the network and its last layer as a Keras model."""
        from ..keras_classifier import unique_layer_names  # imported here because label_image does not need it
        model = source.build_keras_model()
        try:
            with redirect_native_stderr(), unique_layer_names(model.outputs[0]):
                model.save(path)
        except Exception as error:  # layers of other libraries may raise any error
            raise ExportError(f"The network cannot be written as a .keras file: {one_line(error)}",
                              "Use only layers and operations of Keras (keras.ops), or the format "
                              "saved_model.") from error

        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(DESCRIPTION_ENTRY, json.dumps(source.description()))

    def stale_paths(self, path: Path) -> list[Path]:
        """Return the file if tfpoets wrote it; an earlier version did not mark its files."""
        try:
            with zipfile.ZipFile(path) as archive:
                return [path] if DESCRIPTION_ENTRY in archive.namelist() else []
        except (OSError, zipfile.BadZipFile):
            return []

    def open(self, path: Path, metadata: Metadata) -> Mapping[str, Engine]:
        """Return an engine that runs the file in Keras."""
        return {SERVING: KerasEngine(path)}

    def requirement(self, path: Path) -> Requirement:
        """Return how the file is used."""
        import keras
        return Requirement("", f"keras.models.load_model of Keras {keras.__version__} or later opens the file. The "
                           "model takes RGB pixels in [0, 1] and returns probabilities in the order of the labels.")


class KerasEngine:
    """An engine that runs a .keras file in Keras, in batches."""

    name = "keras"
    batch_size = TENSORFLOW_BATCH

    def __init__(self, path: Path):
        self._path = path

    def open(self) -> Callable[[np.ndarray], np.ndarray]:
        """Load the file as its users do; see `Engine`."""
        import_tensorflow()
        import keras
        try:
            with redirect_native_stderr():
                model = keras.models.load_model(self._path)
        except Exception as error:  # the code of layers may raise any error
            raise ExportError(f"keras.models.load_model cannot open the .keras file: {one_line(error)}",
                              "Use only layers and operations of Keras (keras.ops), without Lambda layers.") from error

        def run(photos: np.ndarray) -> np.ndarray:
            with full_precision:
                return _predict(model, photos)
        return run


def _predict(model: Any, photos: np.ndarray) -> np.ndarray:
    return np.asarray(model(photos, training=False))
