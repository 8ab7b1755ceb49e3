"""Read the number of pixels from the header of a photo without a decoder.

Some decoders reserve memory for all pixels, or decode them, when they open a file. These functions read no more than
the header. A damaged header may make them raise struct.error or IndexError.
"""
from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

from .photo_size import Size

# The boxes of ISO/IEC 14496-12 and ISO/IEC 15444-1 in which the sizes of images are, and the number of bytes before
# the first box in each.
CONTAINER_BOXES = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"jp2h": 0, b"moov": 0, b"trak": 0}
MAX_BOXES = 10_000
MAX_TAGS = 1000
MAX_ICONS = 256
GIF_APPLICATION = 0xFF
TIFF_WIDTH, TIFF_HEIGHT = 256, 257
TIFF_INTEGERS = {1: "B", 3: "H", 4: "L", 16: "Q"}
# A plain header of a netpbm file (https://netpbm.sourceforge.net/doc/ppm.html), with comments between its numbers.
_PPM_SPACE = rb"\s+(?:#[^\r\n]{0,200}[\r\n]\s*){0,9}"
PPM_HEADER = re.compile(rb"P([1-6fy]|0CMYK)[A-Z]{0,4}" + (_PPM_SPACE + rb"(\d{1,10})(?=\s)") * 2
                        + rb"(?:" + _PPM_SPACE + rb"(-?[\d.]{1,10})\s)?")
PPM_HEADER_BYTES = 1024


def png_size(file: BinaryIO) -> Size | None:
    """Return the size of a PNG."""
    header = _read(file, 8, 16)
    return Size(*struct.unpack_from(">II", header, 8)) if header[4:8] == b"IHDR" else None


def webp_size(file: BinaryIO) -> Size | None:
    """Return the size of a WebP, which is that of the canvas if it is animated."""
    header = _read(file, 0, 30)
    kind = header[12:16]
    if kind == b"VP8X":
        return Size(1 + int.from_bytes(header[24:27], "little"), 1 + int.from_bytes(header[27:30], "little"))
    if kind == b"VP8L":
        sides = struct.unpack_from("<I", header, 21)[0]
        return Size(1 + (sides & 0x3FFF), 1 + (sides >> 14 & 0x3FFF))
    width, height = struct.unpack_from("<HH", header, 26)
    return Size(width & 0x3FFF, height & 0x3FFF) if kind == b"VP8 " else None


def gif_size(file: BinaryIO) -> Size | None:
    """Return the size of a GIF: its first frame may be larger than the screen that its header states."""
    screen = Size(*struct.unpack("<HH", _read(file, 6, 4)))
    frame = find_gif_frame(file)
    if frame is None:
        return screen
    left, top, width, height = frame
    return Size(max(screen.width, left + width), max(screen.height, top + height))


def find_gif_frame(file: BinaryIO, max_blocks: int = 2000) -> tuple[int, int, int, int] | None:
    """Return the left edge, the upper edge, the width and the height of the first frame of a GIF.

    Args:
        file: The file, at any position.
        max_blocks: The number of blocks to skip before the search is given up.

    Returns:
        None if the frame was not found.
    """
    flags = _read(file, 10, 3)[0]
    file.seek(13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0))
    while max_blocks > 0:
        kind = file.read(2)
        if kind[:1] == b",":
            return struct.unpack("<HHHH", kind[1:] + file.read(7))
        if kind[:1] != b"!" or len(kind) < 2:
            return None
        n_blocks = _skip_blocks(file, max_blocks)
        # After an extension with fewer blocks than it needs, Pillow reads on elsewhere.
        if n_blocks < (2 if kind[1] == GIF_APPLICATION else 1):
            return None
        max_blocks -= n_blocks
    return None


def _skip_blocks(file: BinaryIO, max_blocks: int) -> int:
    """Skip blocks of data up to the empty one that ends them, and return how many there were."""
    n_blocks = 0
    while (length := file.read(1)) not in (b"", b"\0") and n_blocks < max_blocks:
        file.seek(length[0], 1)
        n_blocks += 1
    return n_blocks


def bmp_size(file: BinaryIO) -> Size | None:
    """Return the size of a BMP."""
    return _dib_size(_read(file, 14, 12))


def _dib_size(header: bytes) -> Size | None:
    header_bytes = int.from_bytes(header[:4], "little")
    if header_bytes == 12:
        return Size(*struct.unpack_from("<HH", header, 4))
    if header_bytes not in (40, 52, 56, 64, 108, 124):
        return None
    # A negative height means that the rows are stored from the top; to Pillow, a negative width is a large one.
    width, height = struct.unpack_from("<Ii", header, 4)
    return Size(width, abs(height))


def ico_size(file: BinaryIO) -> Size | None:
    """Return the size of the largest image in an icon, which may be larger than the directory of the icon states."""
    largest = None
    n_icons = struct.unpack("<H", _read(file, 4, 2))[0]
    for index in range(min(n_icons, MAX_ICONS)):
        start = struct.unpack("<I", _read(file, 6 + 16 * index + 12, 4))[0]
        header = _read(file, start, 24)
        if header.startswith(b"\x89PNG"):
            size: Size | None = Size(*struct.unpack_from(">II", header, 16))
        else:
            size = _dib_size(header)  # twice as high as the icon: the mask follows the image
        if size and (largest is None or size.pixels > largest.pixels):
            largest = size
    return largest if n_icons <= MAX_ICONS else None


def tiff_size(file: BinaryIO) -> Size | None:
    """Return the size of the first image of a TIFF or BigTIFF."""
    start = _read(file, 0, 16)
    order = "<" if start.startswith(b"II") else ">"
    is_big = 43 in start[2:4]
    offset = struct.unpack_from(order + ("Q" if is_big else "L"), start, 8 if is_big else 4)[0]
    n_tags = struct.unpack(order + ("Q" if is_big else "H"), _read(file, offset, 8 if is_big else 2))[0]
    values = {}
    for _ in range(min(n_tags, MAX_TAGS)):
        tag = file.read(20 if is_big else 12)
        number, kind = struct.unpack_from(order + "HH", tag)
        if number in (TIFF_WIDTH, TIFF_HEIGHT) and kind in TIFF_INTEGERS:
            values[number] = struct.unpack_from(order + TIFF_INTEGERS[kind], tag, 12 if is_big else 8)[0]
    return Size(values[TIFF_WIDTH], values[TIFF_HEIGHT]) if len(values) == 2 else None


def box_size(file: BinaryIO) -> Size | None:
    """Return the size of the largest image in an AVIF, HEIF or JPEG 2000 file, such as the grid that tiles make up."""
    if _read(file, 0, 4) == b"\xff\x4f\xff\x51":  # a JPEG 2000 codestream without a container
        right, lower, left, upper = struct.unpack(">IIII", _read(file, 8, 16))
        return Size(right - left, lower - upper)
    end = file.seek(0, 2)
    return max(_sizes_in_boxes(file, 0, end, [MAX_BOXES]), key=lambda size: size.pixels, default=None)


def _sizes_in_boxes(file: BinaryIO, start: int, end: int, remaining: list[int]) -> Iterator[Size]:
    """Yield the sizes in the boxes between two positions; `remaining` limits the number of boxes."""
    while start + 8 <= end and remaining[0]:
        remaining[0] -= 1
        length, kind = struct.unpack(">I4s", _read(file, start, 8))
        content = start + 8
        if length == 1:
            length, content = struct.unpack(">Q", _read(file, content, 8))[0], content + 8
        stop = min(end, start + length) if length else end
        if stop < content:
            return
        if kind == b"ispe" and content + 12 <= stop:  # ISO/IEC 23008-12, 6.5.3
            yield Size(*struct.unpack(">II", _read(file, content + 4, 8)))
        elif kind == b"ihdr" and content + 8 <= stop:  # ISO/IEC 15444-1, I.5.3.1
            height, width = struct.unpack(">II", _read(file, content, 8))
            yield Size(width, height)
        elif kind in CONTAINER_BOXES:
            yield from _sizes_in_boxes(file, content + CONTAINER_BOXES[kind], stop, remaining)
        start = stop


def ppm_size(file: BinaryIO) -> Size | None:
    """Return the size of a netpbm file."""
    match = PPM_HEADER.match(_read(file, 0, PPM_HEADER_BYTES))
    return match and Size(int(match[2]), int(match[3]))


def _read(file: BinaryIO, position: int, size: int) -> bytes:
    file.seek(position)
    return file.read(size)
