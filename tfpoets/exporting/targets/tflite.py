"""TensorFlow Lite, with labels and metadata inside the same file."""
from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tfpoets.errors import ModelError
from tfpoets.extractors import Extractor, convert_to_tflite

from ..classifier_graph import Answers, add_classifier, read_graph
from ..metadata import Metadata
from .tflite_metadata import with_metadata

if TYPE_CHECKING:
    from tfpoets.training import Head

QUANTIZED = "tflite_int8"
# The kind of each form that is a .tflite.
KINDS = {"tflite": "float32", "tflite_float16": "float16", "tflite_dynamic": "dynamic", QUANTIZED: "int8"}
LABELS_ENTRY, METADATA_ENTRY = "labels.txt", "metadata.json"


def tflite_model(extractor: Extractor, head: Head, has_score: bool) -> bytes:
    """The classifier as a float32 .tflite for one photo: float32 [1, height, width, 3] in [0, 1] -> [1, classes].

    It describes itself to readers of TensorFlow Lite metadata. A head with a score for unknown photos adds a second
    output, float32 [1], of which such readers know nothing; then it does not.
    """
    definition = read_graph(extractor)

    def outputs(pixels: Any) -> Any:
        return [each for each in add_classifier(pixels, definition, head, "probabilities") if each is not None]
    model = convert_to_tflite(outputs, extractor.height, extractor.width)
    return model if has_score else with_metadata(model, extractor.name, LABELS_ENTRY)


def convert_answers(network: Callable[[Any], Answers], height: int, width: int, kind: str, name: str,
                    calibration: np.ndarray | None) -> bytes:
    """A network's probabilities as a .tflite for one photo, described inside for readers of TensorFlow Lite metadata.

    Args:
        network: from float32 [n, height, width, 3] in [0, 1] to its answers; adds itself to a graph.
        height, width, calibration: as in `convert_to_tflite`.
        kind: one of KINDS' keys.
        name: of the classifier.
    """
    model = convert_to_tflite(lambda pixels: network(pixels).probabilities, height, width, KINDS[kind], calibration)
    return with_metadata(model, name, LABELS_ENTRY)


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
