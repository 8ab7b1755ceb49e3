"""Check the operations of a .tflite before it is run, without TensorFlow and without the classes of its schema.

Importing the classes would take longer than labelling a photo. Only the list of operations is read (schema.fbs of
TensorFlow Lite; flatbuffers.dev/internals).
"""
from __future__ import annotations

import struct
from collections.abc import Iterator

from tfpoets.errors import ModelError

from .model_files import DAMAGED_REMEDY, TRUST_REMEDY

# Values of BuiltinOperator that call other parts of the model, which may then never end, that keep values from one
# photo to the next, or whose code is not part of LiteRT.
REFUSED = {31: "CALL", 32: "CUSTOM", 51: "DELEGATE", 118: "IF", 119: "WHILE", 129: "CALL_ONCE", 136: "HASHTABLE",
           137: "HASHTABLE_FIND", 138: "HASHTABLE_IMPORT", 139: "HASHTABLE_SIZE", 142: "VAR_HANDLE",
           143: "READ_VARIABLE", 144: "ASSIGN_VARIABLE", 173: "STABLEHLO_CUSTOM_CALL", 174: "STABLEHLO_REDUCE",
           190: "STABLEHLO_SCATTER", 198: "STABLEHLO_REDUCE_WINDOW", 199: "STABLEHLO_SORT", 200: "STABLEHLO_WHILE",
           206: "STABLEHLO_COMPOSITE", 209: "STABLEHLO_CASE"}
LAST_OPERATION = 209
# The positions of fields in their tables: Model.operator_codes, and the fields of OperatorCode.
OPERATOR_CODES, DEPRECATED_CODE, CUSTOM_CODE, BUILTIN_CODE = 1, 0, 1, 3
MAX_OPERATOR_CODES = 10_000
MAX_NAME = 100


def check_tflite(content: bytes, source: str) -> None:
    """Check that a .tflite contains only operations that compute their outputs from their inputs.

    Args:
        content: The content of the file.
        source: The name of the file in error messages.

    Raises:
        ModelError: The file contains another operation, or is damaged.
    """
    try:
        operations = list(_operations(content))
    except (struct.error, ValueError) as error:
        raise ModelError(f"{source} is damaged: its operations cannot be read.", DAMAGED_REMEDY) from error
    for number, custom_name in operations:
        if number in REFUSED or not 0 <= number <= LAST_OPERATION:
            name = custom_name or REFUSED.get(number, f"number {number}")
            raise ModelError(f"{source} contains the operation {name}, which is not known to be harmless.",
                             TRUST_REMEDY)


def _operations(content: bytes) -> Iterator[tuple[int, str]]:
    """Yield the number and, for custom operations, the name of each kind of operation in a .tflite."""
    model = _offset(content, 0)
    codes = _field(content, model, OPERATOR_CODES)
    if codes is None:
        return
    codes += _offset_value(content, codes)
    count = _offset_value(content, codes)
    if count > MAX_OPERATOR_CODES:
        raise ValueError(f"there are {count} kinds of operations")
    for position in range(codes + 4, codes + 4 + 4 * count, 4):
        table = _offset(content, position)
        fields = [_field(content, table, slot) for slot in (DEPRECATED_CODE, BUILTIN_CODE, CUSTOM_CODE)]
        old, new, name = fields
        # The newer field holds the numbers that do not fit into the older one, of 8 bits.
        number = max(0 if old is None else struct.unpack_from("<b", content, old)[0],
                     0 if new is None else struct.unpack_from("<i", content, new)[0])
        yield number, "" if name is None else _text(content, name)


def _offset_value(content: bytes, position: int) -> int:
    if position < 0:
        raise ValueError("an offset is negative")
    return struct.unpack_from("<I", content, position)[0]


def _offset(content: bytes, position: int) -> int:
    """Return the position to which the offset at a position leads."""
    return position + _offset_value(content, position)


def _field(content: bytes, table: int, slot: int) -> int | None:
    """Return the position of a field of a table, or None if the table does not have it."""
    if table < 0 or table + 4 > len(content):
        raise ValueError("a table is outside the file")
    layout = table - struct.unpack_from("<i", content, table)[0]
    if layout < 0:
        raise ValueError("a table is outside the file")
    size, = struct.unpack_from("<H", content, layout)
    if 4 + 2 * slot + 2 > size:
        return None
    offset, = struct.unpack_from("<H", content, layout + 4 + 2 * slot)
    return table + offset if offset else None


def _text(content: bytes, field: int) -> str:
    start = _offset(content, field)
    length = min(_offset_value(content, start), MAX_NAME)
    return content[start + 4:start + 4 + length].decode("utf-8", "replace")
