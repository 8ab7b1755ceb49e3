"""What readers of TensorFlow Lite metadata (MediaPipe, Android Studio) find inside a .tflite.

The layout is metadata_schema.fbs of TensorFlow Lite Support, version 1.5; numbers of slots below are the places of the
fields in it. There is no package that writes it on today's versions of Python and NumPy, so it is written here.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

METADATA_NAME, METADATA_IDENTIFIER, MODEL_IDENTIFIER = "TFLITE_METADATA", b"M001", b"TFL3"
# Values of the schema's enumerations and unions.
AXIS_LABELS, RGB = 2, 1
IMAGE_PROPERTIES, NORMALIZATION = 2, 1
MIN_PARSER_VERSION = "1.0.0"


def with_metadata(model: bytes, name: str, labels_file: str) -> bytes:
    """A .tflite from photos to probabilities, with a description of both inside.

    Args:
        model: with one input and one output.
        name: of the classifier.
        labels_file: name of the file in the zip archive at its end, where the labels stand, one a line.
    """
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema
    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
    entry, buffer = schema.MetadataT(), schema.BufferT()
    buffer.data = np.frombuffer(_description(name, labels_file), np.uint8)
    tree.buffers.append(buffer)
    entry.name, entry.buffer = METADATA_NAME, len(tree.buffers) - 1
    tree.metadata = [*(tree.metadata or []), entry]
    builder = flatbuffers.Builder(len(model) + len(buffer.data) + 1024)
    builder.Finish(tree.Pack(builder), file_identifier=MODEL_IDENTIFIER)
    return bytes(builder.Output())


def _description(name: str, labels_file: str) -> bytes:
    """A ModelMetadata table."""
    import flatbuffers
    builder = flatbuffers.Builder(1024)
    photo = _table(builder, 7, {
        0: _text(builder, "image"), 1: _text(builder, "A photo, resized as a whole, not cropped."),
        3: _table(builder, 3, {0: _byte(IMAGE_PROPERTIES), 1: _table(builder, 2, {0: _byte(RGB)})}),
        # (pixel - mean) / std: 0 to 255 becomes 0 to 1; ignored where the input is bytes.
        4: _tables(builder, [_table(builder, 2, {0: _byte(NORMALIZATION), 1: _table(
            builder, 2, {0: _floats(builder, [0.0]), 1: _floats(builder, [255.0])})})]),
        5: _table(builder, 2, {0: _floats(builder, [1.0]), 1: _floats(builder, [0.0])})})
    labels = _table(builder, 5, {0: _text(builder, labels_file), 2: _byte(AXIS_LABELS)})
    answer = _table(builder, 7, {
        0: _text(builder, "probability"), 1: _text(builder, "Of each label; they sum to 1."),
        5: _table(builder, 2, {0: _floats(builder, [1.0]), 1: _floats(builder, [0.0])}),
        6: _tables(builder, [labels])})
    graph = _table(builder, 10, {2: _tables(builder, [photo]), 3: _tables(builder, [answer])})
    builder.Finish(_table(builder, 8, {
        0: _text(builder, name), 1: _text(builder, "An image classifier retrained by tfpoets."),
        3: _tables(builder, [graph]), 7: _text(builder, MIN_PARSER_VERSION)}), file_identifier=METADATA_IDENTIFIER)
    return bytes(builder.Output())


def _table(builder: Any, slots: int, fields: dict[int, int | Callable[[Any, int], None]]) -> int:
    """Writes a table: offsets of what was written before, or what writes a number itself, by slot."""
    builder.StartObject(slots)
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
