"""TensorFlow Lite, with labels and metadata inside the file."""
from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.errors import ModelError, one_line
from tfpoets.extractors import Engine, LiteRTEngine, LiteRTModel, check_tflite_file, convert_to_tflite
from tfpoets.graphs import PROBABILITIES, TFPOETS_MARKER

from ..exportable import Exportable
from ..metadata import MAX_METADATA_BYTES, RETRAIN_REMEDY, Metadata
from ..target import SERVING, TFLITE_IDENTIFIER, TOLERANCE, ExportTarget, LoadedFile, Requirement
from .tflite_head import append_head, can_append_head
from .tflite_metadata import add_tflite_metadata, min_runtime_version

LABELS_ENTRY, METADATA_ENTRY = "labels.txt", "metadata.json"


class _TFLiteBase(ExportTarget):
    """The base class of the targets for .tflite files, which label one photo at a time."""

    def open(self, path: Path, metadata: Metadata) -> dict[str, Engine]:
        """Return a LiteRT engine for the file."""
        return {SERVING: LiteRTEngine(path)}

    def requirement(self, path: Path) -> Requirement:
        """Return the version of TensorFlow Lite that the converter recorded in the file."""
        version = min_runtime_version(path.read_bytes())
        return Requirement(f"TFLite {version}" if version else "")

    def check(self, path: Path, content: bytes) -> None:
        """Check the operations of a .tflite, and run it in a process of its own if it has not been run before."""
        if is_exported(content):
            check_tflite_file(path, content)

    def load(self, path: Path, content: bytes) -> LoadedFile | None:
        """Load a .tflite with the metadata inside it."""
        if not is_exported(content):
            return None
        metadata = read_metadata(content, str(path))
        try:
            model = LiteRTModel(content)
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{path} is damaged: {one_line(error)}", RETRAIN_REMEDY) from error
        if (model.height, model.width) != (metadata.input.height, metadata.input.width):
            raise ModelError(f"{path} does not match the metadata inside it.", RETRAIN_REMEDY)
        return LoadedFile(metadata, _OpenedEngine(content, model))


class _OpenedEngine(LiteRTEngine):
    """An engine that reuses an already loaded model for the first thread that opens the engine.

    Args:
        tflite: The content of the file.
        model: The loaded model.
    """

    def __init__(self, tflite: bytes, model: LiteRTModel):
        super().__init__(tflite)
        self._unused = [model]

    def open(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return the loaded model, or load the file into a new interpreter; see `Engine`."""
        try:
            return self._unused.pop().run
        except IndexError:
            return super().open()


class TFLiteClassifierTarget(_TFLiteBase):
    """The target for the .tflite that every run of retrain writes.

    The input is float32 [1, height, width, 3] in [0, 1]; the output is float32 [1, n_classes]. With a reject option,
    the unknown score, float32 [1], is a second output. TensorFlow Lite metadata is then omitted, because
    programs that read it expect a single output.
    """

    name = "classifier (.tflite)"
    selectable = False

    def file_name(self, stem: str) -> str:
        """Return the name of the .tflite file."""
        return f"{stem}.tflite"

    def needs_tensorflow(self, source: Exportable) -> bool:
        """Return False for a linear layer, which is appended to the .tflite of the extractor."""
        return not can_append_head(source.network)

    def write(self, source: Exportable, path: Path) -> None:
        """Write the classifier as TensorFlow Lite with all of its outputs."""
        if can_append_head(source.network):
            model = append_head(source.network.extractor.tflite_path.read_bytes(), source.network.head)
        else:
            model = convert_to_tflite(lambda pixels: list(source.add_to_graph(pixels).values()), *source.size)
        if source.metadata.unknown is None:
            model = add_tflite_metadata(model, source.name, LABELS_ENTRY)
        path.write_bytes(append_archive(model, source.metadata))


class TFLiteTarget(_TFLiteBase):
    """The target for a .tflite with TensorFlow Lite metadata, and the probabilities as its only output.

    Args:
        name: The name of the format.
        suffix: The end of the file name, after the stem.
        kind: The kind of quantization, as in `convert_to_tflite`.
        tolerance: The largest allowed difference in probability, as in ExportTarget.
    """

    def __init__(self, name: str, suffix: str, kind: str, tolerance: float | None = None):
        self.name, self.tolerance = name, tolerance
        self._suffix, self._kind = suffix, kind

    def file_name(self, stem: str) -> str:
        """Return the name of the .tflite file."""
        return f"{stem}{self._suffix}"

    def stale_paths(self, path: Path) -> list[Path]:
        """Return the file if it ends with an archive that contains metadata."""
        return [path] if path.is_file() and has_archive(path.read_bytes()) else []

    def write(self, source: Exportable, path: Path) -> None:
        """Write the graph as TensorFlow Lite, without an unknown score, because programs on phones expect one output.

        Raises:
            ExportError: There are no training photos to calibrate an 8-bit network.
        """
        def probabilities(pixels: Any) -> Any:
            return source.add_to_graph(pixels)[PROBABILITIES]
        calibration = source.load_calibration_pixels() if self._kind == "int8" else None
        model = convert_to_tflite(probabilities, *source.size, self._kind, calibration)
        model = add_tflite_metadata(model, source.name, LABELS_ENTRY)
        path.write_bytes(append_archive(model, replace(source.metadata, unknown=None)))


TFLITE_TARGETS: tuple[TFLiteTarget, ...] = (
    TFLiteTarget("tflite", "_float32.tflite", "float32", TOLERANCE),
    TFLiteTarget("tflite_float16", "_float16.tflite", "float16"),
    TFLiteTarget("tflite_dynamic", "_dynamic.tflite", "dynamic"),
    TFLiteTarget("tflite_int8", "_int8.tflite", "int8"))


def append_archive(model: bytes, metadata: Metadata) -> bytes:
    """Append a zip archive with labels and metadata to a .tflite.

    Interpreters read the flatbuffer from the front and ignore what follows it; zip readers begin at the end. Programs
    that read TensorFlow Lite metadata find associated files in the same way
    (tensorflow.org/lite/models/convert/metadata).
    """
    content = io.BytesIO(model)
    with zipfile.ZipFile(content, "a") as archive:
        for name, text in ((LABELS_ENTRY, "".join(f"{label}\n" for label in metadata.labels)),
                           (METADATA_ENTRY, metadata.embedded_json())):
            # The default time of a ZipInfo is fixed, so the bytes are reproducible.
            archive.writestr(zipfile.ZipInfo(name), text)
    return content.getvalue()


def is_exported(content: bytes) -> bool:
    """Return whether a file is a .tflite with metadata, or one that tfpoets wrote."""
    return content[4:8] == TFLITE_IDENTIFIER and (has_archive(content) or TFPOETS_MARKER.encode() in content)


def has_archive(model: bytes) -> bool:
    """Return whether a .tflite ends with an archive that contains metadata."""
    try:
        with zipfile.ZipFile(io.BytesIO(model)) as archive:
            return METADATA_ENTRY in archive.namelist()
    except Exception:  # a damaged archive can make zipfile raise nearly anything
        return False


def read_metadata(model: bytes, source: str) -> Metadata:
    """Read the metadata from the archive at the end of a .tflite.

    Args:
        model: The content of the file.
        source: The name of the file, for messages.

    Raises:
        ModelError: There is no metadata, or it cannot be used.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(model)) as archive, archive.open(METADATA_ENTRY) as entry:
            text = entry.read(MAX_METADATA_BYTES + 1)
    except Exception:  # a damaged archive can make zipfile raise nearly anything
        raise ModelError(f"{source} does not contain labels and metadata. It is incomplete, or was not written by "
                         "tfpoets.", RETRAIN_REMEDY) from None
    if len(text) > MAX_METADATA_BYTES:
        raise ModelError(f"The metadata of {source} has more than {MAX_METADATA_BYTES:,} bytes.", RETRAIN_REMEDY)
    return Metadata.from_json(text, source)
