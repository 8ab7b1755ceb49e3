"""Add TensorFlow Lite metadata, which MediaPipe and Android Studio read, to a .tflite.

The layout is metadata_schema.fbs of TensorFlow Lite Support, version 1.5; the slot numbers below are the positions of
the fields in that schema. It is written here because no package that writes it supports the current versions of Python
and NumPy.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

METADATA_NAME, METADATA_IDENTIFIER, MODEL_IDENTIFIER = "TFLITE_METADATA", b"M001", b"TFL3"
# Values of the schema's enumerations and unions.
AXIS_LABELS, RGB = 2, 1
IMAGE_PROPERTIES, NORMALIZATION = 2, 1
MIN_PARSER_VERSION = "1.0.0"
# The metadata entry with the version of TensorFlow Lite that a file needs.
RUNTIME_VERSION_NAME = b"min_runtime_version"


def add_tflite_metadata(model: bytes, name: str, labels_file: str) -> bytes:
    """Add a description of the input and the output to a .tflite.

    Args:
        model: A model with one input, a photo, and one output, probabilities.
        name: The name of the classifier.
        labels_file: The name of the label file, with one label per line, in the zip archive at the end of the .tflite.

    Returns:
        The content of the new .tflite, without an archive.
    """
    schema = import_schema()
    model_t = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
    entry, buffer = schema.MetadataT(), schema.BufferT()
    buffer.data = np.frombuffer(_model_metadata(name, labels_file), np.uint8)
    model_t.buffers.append(buffer)
    entry.name, entry.buffer = METADATA_NAME, len(model_t.buffers) - 1
    model_t.metadata = [*(model_t.metadata or []), entry]
    return pack_model(model_t, len(model) + len(buffer.data))


def min_runtime_version(model: bytes) -> str:
    """Return the oldest version of TensorFlow Lite that has all operators of a .tflite, such as "2.3".

    The converter stores it in each file (tensorflow/lite/tools/versioning/runtime_version.cc). Return "" if
    it is missing.
    """
    table = import_schema().Model.GetRootAsModel(model, 0)
    for entry in (table.Metadata(index) for index in range(table.MetadataLength())):
        if entry.Name() == RUNTIME_VERSION_NAME:
            version = table.Buffers(entry.Buffer()).DataAsNumpy().tobytes().rstrip(b"\0").decode()
            return ".".join(version.split(".")[:2])
    return ""


def import_schema() -> ModuleType:
    """Return the classes of schema.fbs of TensorFlow Lite, from LiteRT or, if it is not installed, TensorFlow."""
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError:
        from tensorflow.lite.python import schema_py_generated as schema
    return schema


def pack_model(model_t: Any, size: int) -> bytes:
    """Serialize a `ModelT` of about `size` bytes as a .tflite."""
    import flatbuffers
    builder = flatbuffers.Builder(size + 1024)
    builder.Finish(model_t.Pack(builder), file_identifier=MODEL_IDENTIFIER)
    return bytes(builder.Output())


def _model_metadata(name: str, labels_file: str) -> bytes:
    """Return a serialized ModelMetadata table."""
    import flatbuffers
    builder = flatbuffers.Builder(1024)
    photo = _table(builder, 7, {
        0: _text(builder, "image"), 1: _text(builder, "A photo, resized as a whole, not cropped."),
        3: _table(builder, 3, {0: _byte(IMAGE_PROPERTIES), 1: _table(builder, 2, {0: _byte(RGB)})}),
        # (pixel - mean) / std maps [0, 255] to [0, 1]. It is ignored for uint8 inputs.
        4: _tables(builder, [_table(builder, 2, {0: _byte(NORMALIZATION), 1: _table(
            builder, 2, {0: _floats(builder, [0.0]), 1: _floats(builder, [255.0])})})]),
        5: _table(builder, 2, {0: _floats(builder, [1.0]), 1: _floats(builder, [0.0])})})
    labels = _table(builder, 5, {0: _text(builder, labels_file), 2: _byte(AXIS_LABELS)})
    probabilities = _table(builder, 7, {
        0: _text(builder, "probability"), 1: _text(builder, "The probability of each label. They sum to 1."),
        5: _table(builder, 2, {0: _floats(builder, [1.0]), 1: _floats(builder, [0.0])}),
        6: _tables(builder, [labels])})
    graph = _table(builder, 10, {2: _tables(builder, [photo]), 3: _tables(builder, [probabilities])})
    builder.Finish(_table(builder, 8, {
        0: _text(builder, name), 1: _text(builder, "An image classifier retrained by tfpoets."),
        3: _tables(builder, [graph]), 7: _text(builder, MIN_PARSER_VERSION)}), file_identifier=METADATA_IDENTIFIER)
    return bytes(builder.Output())


def _table(builder: Any, n_slots: int, fields: dict[int, int | Callable[[Any, int], None]]) -> int:
    """Write a table, and return its offset.

    Args:
        builder: The flatbuffers.Builder.
        n_slots: The number of fields in the schema.
        fields: By slot, the offset of an object that has already been written, or a function that writes a number.
    """
    builder.StartObject(n_slots)
    for slot, value in fields.items():
        if callable(value):
            value(builder, slot)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
    return builder.EndObject()


def _byte(value: int) -> Callable[[Any, int], None]:
    return lambda builder, slot: builder.PrependInt8Slot(slot, value, 0)


def _text(builder: Any, text: str) -> int:
    return builder.CreateString(text)


def _floats(builder: Any, values: Sequence[float]) -> int:
    return builder.CreateNumpyVector(np.array(values, np.float32))


def _tables(builder: Any, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()
