"""TensorFlow Lite, with labels and metadata inside the same file."""
from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from tfpoets.errors import ModelError, one_line
from tfpoets.extractors import Engine, LiteRTEngine, LiteRTModel, convert_to_tflite
from tfpoets.graphs import PROBABILITIES, TFPOETS_MARKER

from ..exportable import Exportable
from ..metadata import RUN_AGAIN, Metadata
from ..target import SERVING, TFLITE_IDENTIFIER, TOLERANCE, ExportTarget, LoadedFile
from .tflite_metadata import with_metadata

LABELS_ENTRY, METADATA_ENTRY = "labels.txt", "metadata.json"


class _TFLiteFile(ExportTarget):
    """What all .tflite files have in common: one photo in, and labels and metadata inside."""

    def open(self, path: Path, metadata: Metadata) -> dict[str, Engine]:
        return {SERVING: LiteRTEngine(path)}

    def load(self, path: Path, content: bytes) -> LoadedFile | None:
        if content[4:8] != TFLITE_IDENTIFIER or not (TFPOETS_MARKER.encode() in content or has_metadata(content)):
            return None
        metadata = unpacked_metadata(content, str(path))
        try:
            model = LiteRTModel(content)
        except ValueError as error:
            raise ModelError(f"{path} is damaged: {one_line(error)}", RUN_AGAIN) from error
        if (model.height, model.width) != (metadata.input.height, metadata.input.width):
            raise ModelError(f"{path} and the metadata inside it do not belong together.", RUN_AGAIN)
        return LoadedFile(metadata, LiteRTEngine(content))


class TFLiteClassifierTarget(_TFLiteFile):
    """The .tflite that every retraining writes: float32 [1, height, width, 3] in [0, 1] to [1, n_classes].

    It describes itself to readers of TensorFlow Lite metadata. A classifier with a reject option has a second output,
    float32 [1], of which such readers know nothing; then it does not.
    """

    name = "classifier (.tflite)"
    selectable = False

    def file_name(self, stem: str) -> str:
        return f"{stem}.tflite"

    def write(self, source: Exportable, path: Path) -> None:
        model = convert_to_tflite(lambda pixels: list(source.add_to_graph(pixels).values()), *source.size)
        if source.metadata.unknown is None:
            model = with_metadata(model, source.name, LABELS_ENTRY)
        path.write_bytes(packed(model, source.metadata))


class TFLiteTarget(_TFLiteFile):
    """A .tflite for phones: the probabilities alone, described for readers of TensorFlow Lite metadata.

    Args:
        name: of the format.
        suffix: of its files' names, behind the stem.
        kind: of numbers, as in `convert_to_tflite`.
        tolerance: as in ExportTarget.
    """

    def __init__(self, name: str, suffix: str, kind: str, tolerance: float | None = None):
        self.name, self.tolerance = name, tolerance
        self._suffix, self._kind = suffix, kind

    def file_name(self, stem: str) -> str:
        return f"{stem}{self._suffix}"

    def write(self, source: Exportable, path: Path) -> None:
        def probabilities(pixels: Any) -> Any:
            return source.add_to_graph(pixels)[PROBABILITIES]
        calibration = source.calibration() if self._kind == "int8" else None
        model = convert_to_tflite(probabilities, *source.size, self._kind, calibration)
        # Phones read one output.
        model = with_metadata(model, source.name, LABELS_ENTRY)
        path.write_bytes(packed(model, replace(source.metadata, unknown=None)))


TFLITE_TARGETS = (TFLiteTarget("tflite", "_float32.tflite", "float32", TOLERANCE),
                  TFLiteTarget("tflite_float16", "_float16.tflite", "float16"),
                  TFLiteTarget("tflite_dynamic", "_dynamic.tflite", "dynamic"),
                  TFLiteTarget("tflite_int8", "_int8.tflite", "int8"))


def packed(model: bytes, metadata: Metadata) -> bytes:
    """A .tflite with labels and metadata appended as a zip archive.

    Interpreters read the flatbuffer from the front and ignore what follows; zip readers look from the end. Readers of
    TensorFlow Lite metadata find associated files in this way (tensorflow.org/lite/models/convert/metadata).
    """
    content = io.BytesIO(model)
    with zipfile.ZipFile(content, "a") as archive:
        for name, text in ((LABELS_ENTRY, "".join(f"{label}\n" for label in metadata.labels)),
                           (METADATA_ENTRY, metadata.to_json())):
            archive.writestr(zipfile.ZipInfo(name), text)  # a ZipInfo's time is fixed: the same bytes every run
    return content.getvalue()


def has_metadata(model: bytes) -> bool:
    """Whether a .tflite carries metadata of ours."""
    try:
        with zipfile.ZipFile(io.BytesIO(model)) as archive:
            return METADATA_ENTRY in archive.namelist()
    except zipfile.BadZipFile:
        return False


def unpacked_metadata(model: bytes, source: str) -> Metadata:
    """The metadata inside a .tflite.

    Raises:
        ModelError: there is none.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(model)) as archive:
            return Metadata.from_json(archive.read(METADATA_ENTRY), source)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, NotImplementedError, RuntimeError):
        raise ModelError(f"{source} carries no labels and metadata: this program did not write it, or it is cut "
                         "short.",
                         "Run retrain to write it anew.") from None
