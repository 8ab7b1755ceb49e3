"""Photos that would take far more memory or time to decode than their number of pixels explains.

Each function takes a random number generator, which determines the details, and returns the bytes of a file.
"""
from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

SIDES = (1, 255, 4_000, 7_000, 15_800, 16_383, 40_000, 65_535)
REPEATS = (100, 3_000, 50_000, 200_000)


def encode(size: tuple[int, int], format_: str, mode: str = "RGB", **options: Any) -> bytes:
    """Return a photo of random coarse colours in a format."""
    width, height = size
    pixels = np.random.default_rng(width * height).integers(0, 256, (4, 4, 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).convert(mode).save(content, format_, **options)
    return content.getvalue()


def _sides(rng: random.Random) -> tuple[int, int]:
    return rng.choice(SIDES), rng.choice(SIDES)


def jpeg_with_many_scans(rng: random.Random) -> bytes:
    """Return a progressive JPEG whose last scan is repeated."""
    content = encode((64, 48), "JPEG", rng.choice(("L", "RGB")), progressive=True)
    last_scan = content[content.rindex(b"\xff\xda"):-2]
    return _with_jpeg_size(content[:-2] + last_scan * rng.choice(REPEATS[:3]) + b"\xff\xd9", _sides(rng))


def jpeg_with_many_pixels(rng: random.Random) -> bytes:
    """Return a small JPEG that claims to be large."""
    content = encode((64, 48), "JPEG", rng.choice(("L", "RGB", "CMYK")), progressive=rng.random() < 0.5,
                     subsampling=rng.choice((0, 1, 2)))
    return _with_jpeg_size(content, _sides(rng))


def jpeg_with_scans_of_zeros(count: int, side: int, frame_marker: int) -> bytes:
    """Return a square gray JPEG with scans of a few bytes each that take long, since they refine blocks of zeros.

    Args:
        count: The number of scans.
        side: The side that the photo claims to have, in pixels.
        frame_marker: How it claims to be encoded: 0xC2 is progressive, 0xCA the same with arithmetic coding.
    """
    content = encode((64, 48), "JPEG", "L", progressive=True)
    head = _with_jpeg_size(content[:content.index(b"\xff\xc4")], (side, side))
    head = head.replace(b"\xff\xc2\x00", bytes([0xFF, frame_marker, 0]))
    # The only code of each Huffman table is one bit long. For coefficients, it means that 16,384 blocks or more end.
    tables = b"".join(_segment(0xC4, bytes([kind, 1, *bytes(15), symbol])) for kind, symbol in ((0, 0), (0x10, 0xE0)))
    n_blocks = (-(-side // 8)) ** 2
    data = bytes(-(-15 * -(-n_blocks // 16_384) // 8))
    refine = _scan(1, 63, 0x10) + data
    return head + tables + _scan(0, 0, 0) + _scan(1, 63, 0x01) + data + refine * count + b"\xff\xd9"


def _scan(first: int, last: int, bits: int) -> bytes:
    return _segment(0xDA, bytes([1, 1, 0, first, last, bits]))


def jpeg_with_slow_scans(rng: random.Random) -> bytes:
    """Return a JPEG with scans of a few bytes each that take long, with Huffman or arithmetic coding."""
    return jpeg_with_scans_of_zeros(rng.choice(REPEATS[:2]), rng.choice((255, 999, 4_000)), rng.choice((0xC2, 0xCA)))


def jpeg_with_another_frame_marker(rng: random.Random) -> bytes:
    """Return a JPEG of any size that claims to be encoded in another way."""
    content = jpeg_with_many_pixels(rng) if rng.random() < 0.5 else jpeg_with_many_scans(rng)
    frame = max(content.find(marker) for marker in (b"\xff\xc0\x00", b"\xff\xc2\x00"))
    marker = rng.choice((0xC1, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF))
    return content[:frame + 1] + bytes([marker]) + content[frame + 2:]


def _with_jpeg_size(content: bytes, size: tuple[int, int]) -> bytes:
    frame = max(content.find(marker) for marker in (b"\xff\xc0\x00", b"\xff\xc2\x00"))
    return content[:frame + 5] + struct.pack(">HH", size[1], size[0]) + content[frame + 9:]


def jpeg_with_many_segments(rng: random.Random) -> bytes:
    """Return a JPEG with many segments, or many fill bytes, before its pixels."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 5000) + bytes(60_000)
    segments = (_segment(0xFE, b""), _segment(0xE1, exif), b"\xff", _segment(0xE2, b"ICC_PROFILE\0\1\1"),
                _segment(0xED, b"Photoshop 3.0\0" + (b"8BIM\x04\0\0\0\0\0\0\0" * 5000)), b"\0")
    segment = rng.choice(segments)
    count = min(rng.choice(REPEATS), 8_000_000 // len(segment))
    content = encode((64, 48), "JPEG")
    return content[:2] + segment * count + content[2:]


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def png_with_many_chunks(rng: random.Random) -> bytes:
    """Return a PNG with many chunks before or after its pixels."""
    bomb = zlib.compress(bytes(1_000_000), 9)
    chunk = rng.choice((png_chunk(b"tEXt", b"a\0b"), png_chunk(b"zTXt", b"a\0\0" + bomb), png_chunk(b"IDAT", b""),
                        png_chunk(b"iCCP", b"a\0\0" + bomb), png_chunk(b"junk", b""), png_chunk(b"fcTL", bytes(26)),
                        png_chunk(b"iTXt", b"a\0\1\0\0\0" + bomb)))
    chunks = chunk * min(rng.choice(REPEATS), 8_000_000 // len(chunk))
    content = encode((64, 48), "PNG")
    position = rng.choice((33, len(content) - 12))
    return content[:position] + chunks + content[position:]


def png_bomb(count: int = 8000) -> bytes:
    """Return a PNG of 64 x 48 pixels with colour profiles that take about a millisecond each to decompress."""
    content = encode((64, 48), "PNG")
    profile = png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000), 9))
    return content[:33] + profile * count + content[33:]


def png_with_many_pixels(rng: random.Random) -> bytes:
    """Return a PNG of zeros with any size and type of pixels."""
    width, height = _sides(rng)
    bits, colour = rng.choice(((8, 2), (8, 6), (16, 6), (16, 0), (8, 4), (1, 0), (8, 3)))
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, rng.choice((0, 1)))
    palette = png_chunk(b"PLTE", bytes(768)) if colour == 3 else b""
    transparency = png_chunk(b"tRNS", bytes(2)) if colour in (0, 3) and rng.random() < 0.5 else b""
    data = zlib.compress(bytes(10_000_000), 9) * rng.choice((1, 3))
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + palette + transparency + png_chunk(b"IDAT", data)
            + png_chunk(b"IEND", b""))


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def icon_with_a_large_image(rng: random.Random) -> bytes:
    """Return an icon whose directory states 64 x 64 pixels, with a PNG or a bitmap of another size."""
    if rng.random() < 0.5:
        image = png_with_many_pixels(rng)
    else:
        width, height = _sides(rng)
        image = struct.pack("<IiiHHIIiiII", 40, width, height * 2, 1, 32, 0, 0, 0, 0, 0, 0) + bytes(10_000)
    n_entries = rng.choice((1, 300, 65_535))
    entry = struct.pack("<BBBBHHII", 64, 64, 0, 0, 1, 32, len(image), 6 + 16 * n_entries)
    return struct.pack("<HHH", 0, 1, n_entries) + entry * n_entries + image


def gif_with_many_blocks(rng: random.Random) -> bytes:
    """Return a GIF with many comments before its first frame, or a frame larger than its screen."""
    content = encode((64, 48), "GIF")
    start = 13 + (3 << (content[10] & 7) + 1)
    block = rng.choice((b"\xff" + bytes(255), b"\1a"))
    comment = b"!\xfe" + block * min(rng.choice(REPEATS), 8_000_000 // len(block)) + b"\0"
    frame = content.index(b",", start)
    size = struct.pack("<HH", *_sides(rng))
    return content[:start] + rng.choice((comment, b"!\xfe\1a\0" * 50_000, b"")) + content[start:frame + 5] + size \
        + content[frame + 9:]


def compressed_bitmap(rng: random.Random) -> bytes:
    """Return a run-length encoded BMP, which Pillow decodes in Python."""
    width, height = _sides(rng)
    runs = rng.choice((b"\1\7", b"\xff\7", b"\0\2\0\xff", b"\0\0", b"\0\xff" + bytes(256)))
    data = runs * min(2_000_000, 8_000_000 // len(runs))
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, rng.choice((0, 1, 2)), len(data), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 14 + 40 + 1024 + len(data), 0, 0, 14 + 40 + 1024) + header \
        + bytes(range(256)) * 4 + data


def plain_netpbm(rng: random.Random) -> bytes:
    """Return a netpbm file that Pillow decodes in Python, since it is text or has an unusual maximum."""
    width, height = _sides(rng)
    kind, maximum = rng.choice(((1, b""), (2, b"255 "), (3, b"9 "), (5, b"4095 "), (6, b"254 "), (5, b"65535 ")))
    comment = rng.choice((b"", b"#" + b"a" * 4_000_000 + b"\n"))
    return b"P%d\n%b%d %d %b" % (kind, comment, width, height, maximum) + rng.choice((b"1 ", b"1")) * 1_000_000


def tiff_with_any_layout(rng: random.Random) -> bytes:
    """Return a TIFF with many strips, huge tiles, or values that many entries share."""
    width, height = _sides(rng)
    count = rng.choice((1, 1_000, 300_000, 1_000_000, 2 ** 31))
    tags = {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, rng.choice((1, 5, 7, 8, 32773))),
            262: (3, 1, 1), 277: (3, 1, rng.choice((1, 1, 3, 65_535)))}
    if rng.random() < 0.5:
        tags.update({273: (4, count, 8), 278: (4, 1, rng.choice((1, height))), 279: (4, count, 8)})
    else:
        tags.update({322: (4, 1, rng.choice((1, 16, 65_536))), 323: (4, 1, rng.choice((1, 16, 65_536))),
                     324: (4, count, 8), 325: (4, count, 8)})
    body = bytes(4 * count if count < 2 ** 20 else 100)
    entries = b"".join(struct.pack("<HHII", tag, *value) for tag, value in sorted(tags.items()))
    entries += struct.pack("<HHII", 60_000, 1, min(len(body), 2 ** 20), 8) * rng.choice((0, 20_000))
    n_tags = len(entries) // 12
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + struct.pack("<H", n_tags) + entries + bytes(4)


def webp_with_a_large_canvas(rng: random.Random) -> bytes:
    """Return a WebP that claims a large canvas, or whose bitstream does."""
    width, height = _sides(rng)
    content = encode((64, 48), "WEBP", lossless=rng.random() < 0.5)
    if rng.random() < 0.5:
        image, kind = content[20:], content[12:16]
        sides = struct.pack("<HH", width & 0x3FFF, height & 0x3FFF)
        image = image[:6] + sides + image[10:] if kind == b"VP8 " else image[:1] + bytes([255] * 4) + image[5:]
        return content[:20] + image
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes([rng.choice((0, 2, 16))] + [0] * 3) \
        + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    frame = b"ANMF" + struct.pack("<I", 16 + len(content) - 12) + bytes(6) + (63).to_bytes(3, "little") \
        + (47).to_bytes(3, "little") + bytes(4) + content[12:]
    frames = frame * rng.choice((1, 10_000))
    return b"RIFF" + struct.pack("<I", 4 + len(canvas) + len(frames)) + b"WEBP" + canvas + frames


def avif_that_claims_another_size(rng: random.Random) -> bytes:
    """Return an AVIF whose container states another size than its pixels have."""
    size = rng.choice(((64, 48), (4_000, 3_000)))
    content = encode(size, "AVIF", speed=10, quality=20)
    position = content.index(b"ispe") + 8
    return content[:position] + struct.pack(">II", *_sides(rng)) + content[position + 8:]


def jpeg_2000_with_any_layout(rng: random.Random) -> bytes:
    """Return a JPEG 2000 with any size, size of tiles and number of components."""
    content = bytearray(encode((64, 48), "JPEG2000"))
    position = content.index(b"\xff\x51")
    width, height = _sides(rng)
    if rng.random() < 0.7:
        content[position + 6:position + 14] = struct.pack(">II", width, height)
        header = content.index(b"ihdr")
        content[header + 4:header + 12] = struct.pack(">II", height, width)
    if rng.random() < 0.7:
        content[position + 22:position + 30] = struct.pack(">II", rng.choice(SIDES), rng.choice(SIDES))
    return bytes(content)


HOSTILE: tuple[Callable[[random.Random], bytes], ...] = (
    jpeg_with_many_scans, jpeg_with_slow_scans, jpeg_with_another_frame_marker, jpeg_with_many_pixels,
    jpeg_with_many_segments, png_with_many_chunks, png_with_many_pixels,
    icon_with_a_large_image, gif_with_many_blocks, compressed_bitmap, plain_netpbm, tiff_with_any_layout,
    webp_with_a_large_canvas, avif_that_claims_another_size, jpeg_2000_with_any_layout)
