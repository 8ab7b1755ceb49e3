"""Read a photo, or a list of the names of photos, from standard input."""
from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

from tfpoets.errors import DataError

from .formats import has_photo_signature
from .photo_files import MAX_BYTES, read_photo_header
from .text_files import NotTextError, decode_text, find_encoding

# Long enough for the signature of any image format, and for `find_encoding`.
SIGNATURE_BYTES = 16
MAX_LINE_BYTES = 1 << 16
LIST_REMEDY = "Write one path or URL per line, in UTF-8, or pipe a single photo."


def read_photo_or_list(stream: BinaryIO) -> bytes | Iterator[str]:
    """Return the bytes of the photo on a stream, or the lines of the list on it, without line breaks or empty lines.

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
    encoding, mark_length = find_encoding(start)
    if encoding == "utf-8":
        if b"\0" in start:
            raise DataError("Standard input is neither a photo in a supported format nor a list of photos.",
                            LIST_REMEDY)
        return _lines(start[mark_length:], stream)
    try:
        text = decode_text(start + stream.read(MAX_BYTES))
    except NotTextError as error:
        raise DataError(f"The list on standard input {error.description}.", LIST_REMEDY) from error
    return iter([line for line in text.splitlines() if line])


def _read_start(stream: BinaryIO) -> bytes:
    """Read the first bytes, but do not wait for any beyond the first line of a list."""
    start = b""
    while len(start) < SIGNATURE_BYTES:
        byte = stream.read(1)
        start += byte
        if not byte or (byte == b"\n" and start.isascii() and b"\0" not in start):
            break
    return start


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
