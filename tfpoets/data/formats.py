"""The table of the image formats that can be read."""
from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from . import decoding_costs as costs
from . import image_sizes as sizes
from .jpeg_header import read_jpeg_header
from .photo_size import Size


@dataclass(frozen=True)
class Format:
    """An image format.

    Attributes:
        name: The name of Pillow's reader.
        suffixes: The suffixes of file names, in lower case, the most common one first.
        magic: A pattern that matches the first 16 bytes of every file of the format.
        plugin: "package:function", the function that registers the format with Pillow; called only for files that
            match `plugin_magic`. Empty for a format that Pillow reads without a plugin.
        plugin_magic: A pattern that matches the first 16 bytes of all files that the plugin may be able to read; None
            if that is the same as `magic`.
        size: A function that reads the number of pixels from the header of an open file, or returns None.
        cost: A function that estimates from the header what decoding takes, or returns None; None if that cannot be
            estimated for the format.
        min_bytes_per_pixel: The least memory that decoding takes if `cost` does not estimate it.
        seconds_per_pixel, seconds_per_byte: The most time on one core that decoding may take for each pixel, and in
            addition for each byte of the file; several times what it usually takes.
        brand: Matches the first 64 bytes of all files of the format, if `magic` does not tell it from another.
    """

    name: str
    suffixes: tuple[str, ...]
    magic: re.Pattern[bytes]
    plugin: str = ""
    plugin_magic: re.Pattern[bytes] | None = None
    size: Callable[[BinaryIO], Size | None] = lambda file: None
    cost: Callable[[BinaryIO, Size], costs.Cost | None] | None = None
    min_bytes_per_pixel: float = 4.0
    seconds_per_pixel: float = 5e-8
    seconds_per_byte: float = 1e-7
    brand: re.Pattern[bytes] | None = None

    def matches(self, first_bytes: bytes) -> bool:
        """Return whether a file that begins with these 64 bytes, or consists of fewer, is one of the format."""
        return bool(self.magic.match(first_bytes) and (self.brand is None or self.brand.search(first_bytes)))

    def needs_plugin(self, first_bytes: bytes) -> bool:
        """Return whether the format's plugin may be able to read a file that begins with these 16 bytes."""
        return bool(self.plugin and (self.plugin_magic or self.magic).match(first_bytes))


def _magic(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.DOTALL)


# The formats that cameras, phones, scanners and browsers write. Pillow's other readers are not used: PostScript would
# run Ghostscript, and some (TGA, XBM) can mistake a text file for an image. JPEG includes MPO (pairs of photos) and
# Ultra HDR.
FORMATS = (
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), _magic(rb"\xff\xd8\xff"),
           size=read_jpeg_header, cost=costs.jpeg_cost),
    Format("PNG", (".png", ".apng"), _magic(rb"\x89PNG\r\n\x1a\n"), size=sizes.png_size, cost=costs.png_cost),
    Format("WEBP", (".webp",), _magic(rb"RIFF.{4}WEBP"), size=sizes.webp_size, cost=costs.webp_cost),
    Format("GIF", (".gif",), _magic(rb"GIF8[79]a"), size=sizes.gif_size, cost=costs.gif_cost),
    Format("BMP", (".bmp", ".dib"), _magic(rb"BM"), size=sizes.bmp_size, cost=costs.bmp_cost),
    Format("TIFF", (".tif", ".tiff"), _magic(rb"II[*+]\x00|MM\x00[*+]|MM[*]\x00|II\x00[*]"), size=sizes.tiff_size),
    # AVIF and HEIF are both ISO base media files (ISO/IEC 14496-12, 4.3) and differ in their brand.
    Format("AVIF", (".avif",), _magic(rb".{4}ftyp(avif|avis|mif1|msf1)"), size=sizes.box_size,
           min_bytes_per_pixel=9.0, brand=_magic(rb"avi[fs]")),
    Format("HEIF", (".heic", ".heif", ".hif"), _magic(rb".{4}ftyp(hei|hev|mif1|msf1)"),
           "pillow_heif:register_heif_opener", _magic(rb".{4}ftyp"), size=sizes.box_size, min_bytes_per_pixel=7.0,
           seconds_per_pixel=1e-7, seconds_per_byte=3e-7),
    Format("JPEG2000", (".jp2", ".j2k", ".jpx", ".jpf", ".jpc", ".j2c"),
           _magic(rb"\xff\x4f\xff\x51|\x00\x00\x00\x0cjP  \r\n\x87\n"), size=sizes.box_size,
           min_bytes_per_pixel=8.0, seconds_per_pixel=1e-7, seconds_per_byte=3e-7),
    # Pillow reads plain text, and samples with unusual maxima, in Python.
    Format("PPM", (".ppm", ".pgm", ".pbm", ".pnm"), _magic(rb"P[0-6fy]"), size=sizes.ppm_size, cost=costs.ppm_cost,
           seconds_per_byte=1e-6),
    Format("ICO", (".ico",), _magic(rb"\x00\x00\x01\x00"), size=sizes.ico_size, min_bytes_per_pixel=9.0))
SUFFIXES = frozenset(suffix for format_ in FORMATS for suffix in format_.suffixes)


def has_photo_suffix(path: str | os.PathLike[str]) -> bool:
    """Return whether a file name has the suffix of an image format, in upper or lower case.

    Suffixes are only used to find photos in a folder. The format of a file is determined by its content.
    """
    return os.path.splitext(path)[1].lower() in SUFFIXES


def suffixes_for(name: str) -> tuple[str, ...]:
    """Return the suffixes of a format, the most common one first; empty if the format is not in the table."""
    return next((format_.suffixes for format_ in FORMATS if format_.name == name), ())


def has_photo_signature(first_bytes: bytes) -> bool:
    """Return whether a file begins like a file in one of the formats.

    Args:
        first_bytes: At least the first 16 bytes of the file, or the whole file if it is shorter.
    """
    return any(format_.magic.match(first_bytes) for format_ in FORMATS)
