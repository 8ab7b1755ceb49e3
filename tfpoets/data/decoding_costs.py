"""Estimate from its header how much memory and time decoding a photo takes.

The figures per pixel are the highest memory use of `load_pixels` on photos of 24 million pixels with Pillow 13: the
decoded image, and the copies that conversions to RGB make of it. A damaged header may make the functions raise
struct.error or IndexError.
"""
from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

from .image_sizes import PPM_HEADER, PPM_HEADER_BYTES, find_gif_frame
from .jpeg_header import HUFFMAN_DCT_MARKERS, JpegHeader
from .photo_size import Size

# Bytes per pixel. RGB is stored in 4 bytes; other images are converted to it, and transparent ones are put on a white
# background first.
RGB, GRAY, GRAY_16_BIT, GRAY_32_BIT, CMYK = 4.3, 5.3, 7.3, 18.0, 8.3
RGBA, CONVERTED_TO_RGBA, PALETTE_WITH_TRANSPARENCY, WEBP = 9.3, 13.3, 10.3, 17.5

# A block has 64 coefficients of 2 bytes. In 20,000 empty scans of 766,000 blocks, each block took 7 ns; in scans that
# refine blocks of zeros, whose data take three bytes for 16,000 blocks, 53 ns, and on a slow machine twice that.
BYTES_PER_BLOCK, SECONDS_PER_BLOCK, MAX_SECONDS_PER_BLOCK, SECONDS_PER_SCAN = 128, 7e-9, 1e-7, 5e-6
# A JPEG whose sides are at least twice as long as this is decoded at half the size or less.
FULL_SCALE_SIDE = 1280
# Pillow reads chunks in Python. Encoders write the pixels in chunks of 8 KB or more, or one for each row.
MIN_PNG_CHUNKS, BYTES_PER_PNG_CHUNK, MAX_OTHER_CHUNKS = 20_000, 4096, 200
PNG_PIXEL_CHUNKS = frozenset({b"IDAT", b"fdAT", b"fcTL"})


class Cost(NamedTuple):
    """An estimate of what decoding a photo takes.

    Attributes:
        memory: The memory in bytes.
        extra_seconds: A lower bound on the time that does not depend on the number of pixels alone, in seconds.
        max_extra_seconds: An upper bound on this time, in seconds.
        full_size_memory: The memory in bytes if the photo is not decoded at a reduced scale; 0 if it never is.
    """

    memory: float
    extra_seconds: float = 0.0
    max_extra_seconds: float = 0.0
    full_size_memory: float = 0.0


def jpeg_cost(file: BinaryIO, size: Size) -> Cost | None:
    """Estimate the cost of a JPEG: a progressive one needs memory for its coefficients, and time for every scan."""
    header = size
    if (not isinstance(header, JpegHeader) or not header.is_ordinary or header.bits != 8
            or header.frame_marker not in HUFFMAN_DCT_MARKERS):
        return None
    scale = 1 if min(header.width, header.height) < FULL_SCALE_SIDE else 1 / 4
    full = header.pixels * {1: GRAY, 4: CMYK}.get(len(header.sampling), RGB)
    if not header.has_several_scans:
        return Cost(full * scale, full_size_memory=full)
    file.seek(0)
    n_scans = file.read().count(b"\xff\xda")
    least, most = (n_scans * (header.n_blocks * seconds_per_block + SECONDS_PER_SCAN)
                   for seconds_per_block in (SECONDS_PER_BLOCK, MAX_SECONDS_PER_BLOCK))
    coefficients = header.n_blocks * BYTES_PER_BLOCK
    return Cost(full * scale + coefficients, least, most, full + coefficients)


def png_cost(file: BinaryIO, size: Size) -> Cost | None:
    """Estimate the cost of a PNG with an ordinary number of chunks."""
    end = file.seek(0, 2)
    file.seek(24)
    bits, colour_type = file.read(2)
    per_pixel = {0: GRAY if bits <= 8 else GRAY_16_BIT, 2: RGB, 3: GRAY, 4: CONVERTED_TO_RGBA, 6: RGBA}[colour_type]
    n_pixel_chunks = n_other_chunks = 0
    position = 8
    while position + 12 <= end:
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"IHDR" and position > 8:  # another size
            return None
        if kind in PNG_PIXEL_CHUNKS:
            n_pixel_chunks += 1
        else:
            n_other_chunks += 1
        if n_other_chunks > MAX_OTHER_CHUNKS or n_pixel_chunks > MIN_PNG_CHUNKS + end // BYTES_PER_PNG_CHUNK:
            return None
        if kind == b"tRNS":
            per_pixel = max(per_pixel, CONVERTED_TO_RGBA)
        position += 12 + length
    return Cost(size.pixels * per_pixel)


def webp_cost(file: BinaryIO, size: Size) -> Cost:
    """Estimate the cost of a WebP, whose decoder keeps several copies of the canvas."""
    return Cost(size.pixels * WEBP)


def gif_cost(file: BinaryIO, size: Size) -> Cost | None:
    """Estimate the cost of the first frame of a GIF, unless many other blocks precede it."""
    return Cost(size.pixels * PALETTE_WITH_TRANSPARENCY) if find_gif_frame(file) else None


def bmp_cost(file: BinaryIO, size: Size) -> Cost | None:
    """Estimate the cost of a BMP, unless it is compressed; Pillow decompresses it in Python."""
    file.seek(14)
    header = file.read(20)
    if header[0] == 12:
        return Cost(size.pixels * GRAY)
    bits, compression = struct.unpack_from("<HI", header, 14)
    if compression not in (0, 3):
        return None
    return Cost(size.pixels * (RGBA if bits == 32 else GRAY))


def ppm_cost(file: BinaryIO, size: Size) -> Cost | None:
    """Estimate the cost of a binary netpbm file with 1, 8 or (gray) 16 bits; Pillow decodes others in Python."""
    file.seek(0)
    match = PPM_HEADER.match(file.read(PPM_HEADER_BYTES))
    kinds = {(b"5", b"255"): GRAY, (b"6", b"255"): RGB, (b"5", b"65535"): GRAY_32_BIT}
    if match and match[1] == b"4":
        return Cost(size.pixels * GRAY)
    per_pixel = kinds.get((match[1], match[4])) if match else None
    return Cost(size.pixels * per_pixel) if per_pixel else None
