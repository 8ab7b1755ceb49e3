"""Open photo files with Pillow, within limits on their size, and explain why one cannot be read."""
from __future__ import annotations

import errno
import functools
import importlib
import io
import os
import re
import stat
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image
from PIL.ImageFile import ImageFile

from tfpoets.errors import PhotoError

from .formats import FORMATS
from .photo_gate import MAX_PIXELS, identify_photo, too_many_pixels_reason

BUILT_IN_FORMATS = [format_.name for format_ in FORMATS if not format_.plugin]

MAX_BYTES = 512 * 2 ** 20
# Pillow warns above its limit, and raises an error at twice as many pixels. Photos whose header states their size have
# already been checked by `check_photo`.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS

# The names of pipes that are already open, which shells insert for <(command). Opening one does not wait for a writer.
OPEN_PIPES = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")

PIECE_BYTES = 2 ** 20
# The largest height and width that the number of a header can contain.
MAX_SIDE = 0xFFFF

NOT_A_FILE = "it is not a regular file"
DAMAGED = "the file is damaged or in an unsupported format"


@dataclass(frozen=True)
class PhotoHeader:
    """The format and size that a photo's header states.

    Attributes:
        format: The name of one of FORMATS.
        height: The height in pixels, before the EXIF orientation is applied.
        width: The width in pixels, before the EXIF orientation is applied.
    """

    format: str
    height: int
    width: int

    def to_number(self) -> float:
        """Return the header as one number, which the cache can store as a measure.

        Its lowest 16 bits are the width, the next 16 the height, each at most 65,535, and the next 20 those of the
        CRC-32 of the name of the format. They fit into the 53 bits of a float.
        """
        return float(_format_code(self.format) << 32 | min(self.height, MAX_SIDE) << 16 | min(self.width, MAX_SIDE))

    @classmethod
    def from_number(cls, number: float) -> PhotoHeader | None:
        """Return the header for a number, or None if it is not the number of a header."""
        if not number > 0:  # also nan
            return None
        value = int(number)
        name = _formats_by_code().get(value >> 32)
        return cls(name, value >> 16 & MAX_SIDE, value & MAX_SIDE) if name else None


def _format_code(name: str) -> int:
    return zlib.crc32(name.encode()) & 0xFFFFF


@functools.cache
def _formats_by_code() -> dict[int, str]:
    return {_format_code(format_.name): format_.name for format_ in FORMATS}


def header_number(file: BinaryIO | bytes) -> float:
    """Return the header that `read_photo_header` reads as a number, or 0 if it cannot be read."""
    header = read_photo_header(file)
    return header.to_number() if header else 0.0


def open_file(source: str | os.PathLike[str] | bytes, allow_pipe: bool = False) -> BinaryIO:
    """Open a regular file, or the bytes of a file, for reading.

    Args:
        source: The path of the file, or its bytes.
        allow_pipe: Whether the path may also be that of a pipe that is already open, such as `<(command)` in a shell.

    Raises:
        PhotoError: The file cannot be opened, or is a device or a named pipe, which could be endless or block forever;
            the message is the reason.
    """
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        mode = os.stat(source).st_mode
        is_open_pipe = stat.S_ISFIFO(mode) and os.fspath(source).startswith(OPEN_PIPES)
        if allow_pipe and is_open_pipe:
            return open(source, "rb")
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise PhotoError(NOT_A_FILE)
        file = open(source, "rb", opener=_open_without_waiting)
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # replaced since
            file.close()
            raise PhotoError(NOT_A_FILE)
        return file
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise PhotoError(_open_error_reason(source, error)) from error


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file. If it has become a named pipe since it was examined, this does not wait for its writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_photo_bytes(file: BinaryIO) -> bytes:
    """Return the bytes of an open file.

    Raises:
        PhotoError: The file cannot be read, or is larger than MAX_BYTES.
    """
    try:
        size = _size_on_disk(file)
        data = b"" if size > MAX_BYTES else _read_all(file, size)
    except Exception as error:  # OSError, or whatever an archive or a network raises
        raise PhotoError(_input_output_reason(error)) from error
    if size > MAX_BYTES or len(data) > MAX_BYTES:
        raise PhotoError(too_large_reason())
    return data


def _read_all(file: BinaryIO, size: int) -> bytes:
    """Return the content of a file, or more than MAX_BYTES of it: some files of a system are endless.

    Args:
        file: The file.
        size: The expected size in bytes; 0 if it is not known.
    """
    pieces = [file.read(size or PIECE_BYTES)]
    total = len(pieces[0])
    while pieces[-1] and total <= MAX_BYTES:
        pieces.append(file.read(PIECE_BYTES) or b"")
        total += len(pieces[-1])
    return pieces[0] if len(pieces) <= 2 and not pieces[-1] else b"".join(pieces)


def too_large_reason() -> str:
    """Return the reason why a file with more than MAX_BYTES bytes is not used."""
    return f"it is larger than the {MAX_BYTES // 2**20} MB allowed"


def _size_on_disk(file: BinaryIO) -> int:
    """Return the size of a local file in bytes, without reading it; 0 if it is not a local file."""
    try:
        return os.fstat(file.fileno()).st_size
    except (AttributeError, io.UnsupportedOperation):
        return 0


def open_image(file: BinaryIO) -> ImageFile:
    """Open a photo with Pillow, reading only the header."""
    first_bytes = file.read(16)
    file.seek(0)
    # A plugin is loaded only for files that it may be able to read: loading the HEIF plugin takes 0.2 s.
    plugins = [format_ for format_ in FORMATS if format_.needs_plugin(first_bytes)]
    for format_ in plugins:
        _load_plugin(format_.plugin)
    return Image.open(file, formats=[*BUILT_IN_FORMATS, *(format_.name for format_ in plugins)])


@functools.cache
def _load_plugin(plugin: str) -> None:
    module, function = plugin.split(":")
    getattr(importlib.import_module(module), function)()


def read_photo_header(file: BinaryIO | bytes) -> PhotoHeader | None:
    """Return the header of a photo, or None if the header cannot be read. Nothing is decoded.

    Args:
        file: An open file, or the bytes of a file.
    """
    try:
        format_, size = identify_photo(io.BytesIO(file) if isinstance(file, bytes) else file)
    except Exception:  # OSError, or whatever an archive or a network raises
        return None
    return PhotoHeader(format_.name, size.height, size.width) if format_ and size else None


def decode_error_reason(error: Exception) -> str:
    """Return the reason why Pillow failed to decode a photo, in words that require no knowledge of Pillow.

    A malicious file can make Pillow raise OSError, SyntaxError, ValueError, struct.error, KeyError, IndexError,
    TypeError, ZeroDivisionError, OverflowError, MemoryError, and more.
    """
    if isinstance(error, Image.DecompressionBombError):
        number = re.search(r"\((\d+) pixels\)", str(error))
        return too_many_pixels_reason(int(number[1]) if number else MAX_PIXELS + 1)
    if isinstance(error, MemoryError):
        return "there is not enough memory to read it"
    # EINVAL is raised for a damaged photo that makes its decoder seek to a position before the start of the file.
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        return _input_output_reason(error)
    if re.search("truncated|end of file", str(error), re.IGNORECASE) or isinstance(error, EOFError):
        return "the file is cut short"
    return DAMAGED


def _open_error_reason(source: str | os.PathLike[str], error: Exception) -> str:
    """Return why a file could not be opened, in words."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError, ValueError)):
        return "there is no such file"
    # Windows reports "permission denied" when a folder is opened.
    if isinstance(error, IsADirectoryError) or os.path.isdir(source):
        return "it is a folder"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if getattr(error, "errno", None) == errno.ELOOP:
        return f"{NOT_A_FILE}, but a link that leads to itself"
    return _input_output_reason(error)


def _input_output_reason(error: Exception) -> str:
    return f"it cannot be read ({getattr(error, 'strerror', None) or 'the system gives no reason'})"
