"""Read a photo, or a list of the names of photos, from standard input."""
from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from typing import BinaryIO

from tfpoets.errors import DataError

from .formats import has_photo_signature
from .photo_files import MAX_BYTES, read_photo_header

# Long enough for the signature of any image format.
SIGNATURE_BYTES = 16
MAX_LINE_BYTES = 1 << 16
# The marks at the beginning of a text that state its encoding. UTF-32 precedes UTF-16, whose mark it begins with.
BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
                    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
LIST_REMEDY = "Write one path or URL per line, in UTF-8, or pipe a single photo."


def read_photo_or_list(stream: BinaryIO) -> bytes | Iterator[str]:
    """Return the bytes of the photo on a stream, or the lines of the list on it, without line breaks and empty lines.

    A list in UTF-8 is read line by line, so that a program can write the names as they become known.

    Args:
        stream: A buffered binary stream.

    Raises:
        DataError: The content is neither a photo nor a list. For a list in UTF-8, this may also be raised by the
            iterator.
    """
    start = _read_start(stream)
    if has_photo_signature(start):
        content = start + stream.read(MAX_BYTES + 1 - len(start))
        # Names may begin like some formats: "BMW/1.jpg", "P1.jpg".
        if read_photo_header(content) is not None or not _is_list(content):
            return content
        return _lines(content, [])
    mark, encoding = next(((mark, encoding) for mark, encoding in BYTE_ORDER_MARKS if start.startswith(mark)),
                          (b"", _guess_encoding(start)))
    if encoding == "utf-8":
        if b"\0" in start:
            raise DataError("Standard input is neither a photo in a supported format nor a list of photos.",
                            LIST_REMEDY)
        return _lines(start[len(mark):], stream)
    try:
        text = (start + stream.read(MAX_BYTES)).decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(f"The list on standard input begins like {encoding.upper()}, but is not in this encoding.",
                        LIST_REMEDY) from error
    return iter([line for line in text.splitlines() if line])


def _read_start(stream: BinaryIO) -> bytes:
    """Read the first bytes, without waiting for more of them than the first line of a list has."""
    start = b""
    while len(start) < SIGNATURE_BYTES:
        byte = stream.read(1)
        start += byte
        if not byte or (byte == b"\n" and start.isascii() and b"\0" not in start):
            break
    return start


def _guess_encoding(start: bytes) -> str:
    """Return the encoding of a list without a mark. In UTF-16, every second byte of most names is zero."""
    if len(start) >= 4 and not any(start[1::2]) and all(start[::2]):
        return "utf-16-le"
    if len(start) >= 4 and not any(start[::2]) and all(start[1::2]):
        return "utf-16-be"
    return "utf-8"


def _is_list(content: bytes) -> bool:
    try:
        return "\0" not in content.decode("utf-8")
    except UnicodeDecodeError:
        return False


def _lines(start: bytes, stream: BinaryIO | list[bytes]) -> Iterator[str]:
    """Yield the lines of a list in UTF-8, of which the first bytes have already been read."""
    number = 0
    for line in _raw_lines(start, stream):
        number += 1
        if b"\0" in line or len(line) > MAX_LINE_BYTES:
            raise DataError(f"Line {number} of standard input is not the name of a photo.", LIST_REMEDY)
        name = _decode(line.rstrip(b"\r\n"), number)
        if name:
            yield name


def _raw_lines(start: bytes, stream: BinaryIO | list[bytes]) -> Iterator[bytes]:
    *complete, last = start.split(b"\n")
    yield from complete
    if isinstance(stream, list):
        yield last
        return
    yield last + stream.readline(MAX_LINE_BYTES + 1)
    while line := stream.readline(MAX_LINE_BYTES + 1):
        yield line


def _decode(line: bytes, number: int) -> str:
    """Return a line as text. If it is not UTF-8, a file whose name consists of exactly these bytes must exist."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        name = os.fsdecode(line)
        if os.path.exists(name):
            return name
        raise DataError(f"Line {number} of the list on standard input is neither in UTF-8 nor in UTF-16 with a byte "
                        "order mark.", "Save the list in UTF-8.") from error
