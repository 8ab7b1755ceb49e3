"""The table of the image formats that can be read."""
from __future__ import annotations

import os
import re
from dataclasses import dataclass


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
    """

    name: str
    suffixes: tuple[str, ...]
    magic: re.Pattern[bytes]
    plugin: str = ""
    plugin_magic: re.Pattern[bytes] | None = None

    def needs_plugin(self, first_bytes: bytes) -> bool:
        """Return whether the format's plugin may be able to read a file that begins with these 16 bytes."""
        return bool(self.plugin and (self.plugin_magic or self.magic).match(first_bytes))


def _magic(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.DOTALL)


# The formats that cameras, phones, scanners and browsers write. Pillow's other readers are not used: PostScript would
# run Ghostscript, and some (TGA, XBM) can mistake a text file for an image. JPEG includes MPO (pairs of photos) and
# Ultra HDR.
FORMATS = (
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), _magic(rb"\xff\xd8\xff")),
    Format("PNG", (".png", ".apng"), _magic(rb"\x89PNG\r\n\x1a\n")),
    Format("WEBP", (".webp",), _magic(rb"RIFF.{4}WEBP")),
    Format("GIF", (".gif",), _magic(rb"GIF8[79]a")),
    Format("BMP", (".bmp", ".dib"), _magic(rb"BM")),
    Format("TIFF", (".tif", ".tiff"), _magic(rb"II[*+]\x00|MM\x00[*+]|MM[*]\x00|II\x00[*]")),
    # AVIF and HEIF are both ISO base media files (ISO/IEC 14496-12, 4.3) and differ in their brand.
    Format("AVIF", (".avif",), _magic(rb".{4}ftyp(avif|avis|mif1|msf1)")),
    Format("HEIF", (".heic", ".heif", ".hif"), _magic(rb".{4}ftyp(hei|hev|mif1|msf1)"),
           "pillow_heif:register_heif_opener", _magic(rb".{4}ftyp")),
    Format("JPEG2000", (".jp2", ".j2k", ".jpx", ".jpf", ".jpc", ".j2c"),
           _magic(rb"\xff\x4f\xff\x51|\x00\x00\x00\x0cjP  \r\n\x87\n")),
    Format("PPM", (".ppm", ".pgm", ".pbm", ".pnm"), _magic(rb"P[0-6fy]")),
    Format("ICO", (".ico",), _magic(rb"\x00\x00\x01\x00")))
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
