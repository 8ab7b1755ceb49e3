"""TensorFlow Lite, with labels and metadata inside the same file."""
from __future__ import annotations

import io
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tfpoets.data import network_input
from tfpoets.errors import ExportError, ModelError
from tfpoets.extractors import INPUT_NODE, Extractor, LiteRTModel, convert_to_tflite
from tfpoets.tf_runtime import import_tensorflow, quiet_native_code

from ..classifier_graph import Answers, add_classifier, read_graph
from ..metadata import Metadata
from .tflite_metadata import with_metadata

if TYPE_CHECKING:
    from tfpoets.training import Head

FLOAT32, FLOAT16, QUANTIZED = "tflite", "tflite_float16", "tflite_int8"
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
        height, width, kind, calibration: as in `convert_function`.
        name: of the classifier.
    """
    model = convert_function(lambda pixels: network(pixels).probabilities, height, width, kind, calibration)
    return with_metadata(model, name, LABELS_ENTRY)


def convert_function(network: Callable[[Any], Any], height: int, width: int, kind: str,
                     calibration: np.ndarray | None = None) -> bytes:
    """A function as a .tflite for one photo.

    Args:
        network: from a float32 tensor [n, height, width, 3] to its answers; adds itself to a graph.
        height, width: in pixels.
        kind: tflite: float32; tflite_float16: weights of 16 bits; tflite_dynamic: weights of 8 bits; tflite_int8:
            weights and activations of 8 bits, from the photo's bytes to uint8 in steps of 1 / 256.
        calibration: for tflite_int8, uint8 [n, height, width, 3]: photos that show the range of every activation.

    Raises:
        ExportError: the converter made something else of it.
    """
    tensorflow = import_tensorflow()
    spec = tensorflow.TensorSpec([1, height, width, 3], tensorflow.float32, name=INPUT_NODE)
    with quiet_native_code(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Statistics for quantized inputs")  # `calibration` has them
        # Pixels are not below 0, so ReLU leaves them as they are; it keeps the input's scale its own, where views of
        # it are put together and must all have one.
        given = (lambda pixels: network(tensorflow.nn.relu(pixels))) if kind == QUANTIZED else network
        concrete = tensorflow.function(given).get_concrete_function(spec)
        converter = tensorflow.lite.TFLiteConverter.from_concrete_functions([concrete])
        if kind != FLOAT32:
            converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
        if kind == FLOAT16:
            converter.target_spec.supported_types = [tensorflow.float16]
        if kind == QUANTIZED:
            assert calibration is not None
            converter.representative_dataset = lambda: ([photo] for photo in _whole_range(calibration))
            converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tensorflow.uint8
        model = converter.convert()
    if kind == QUANTIZED:
        _check_takes_bytes(model)
    return model


def _whole_range(calibration: np.ndarray) -> Iterator[np.ndarray]:
    """Photos one by one, the first with a black and a white pixel: the input's range is then exactly [0, 1]."""
    for number, photo in enumerate(calibration):
        pixels = network_input(photo[None])
        if number == 0:
            pixels[0, 0, 0], pixels[0, 0, 1] = 0.0, 1.0
        yield pixels


def _check_takes_bytes(model: bytes) -> None:
    """Raises an ExportError unless a photo's bytes are what the network takes, and bytes are what it gives."""
    tensors = LiteRTModel(model).tensors()
    scale, zero_point = tensors[0]["quantization"]
    if any(each["dtype"] != np.uint8 for each in tensors) or zero_point != 0 or abs(255 * scale - 1) > 1e-3:
        found = ", ".join(f"{each['dtype'].__name__} {each['quantization']}" for each in tensors)
        raise ExportError(f"The quantized network does not take the photo's bytes as they are ({found}).",
                          "Please report this, with the module you used.")


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
