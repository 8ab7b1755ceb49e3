"""The image formats that are read: the only table of them."""
from __future__ import annotations

import os
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """An image format.

    Attributes:
        name: Pillow's name of its reader.
        suffixes: of file names, in lower case, the usual one first.
        magic: matches the first 16 bytes of every file of the format.
        plugin: "package:function" that teaches Pillow to read it, loaded only for files that `family` matches; empty
            for a format that Pillow reads by itself.
        family: as `magic`, but for all files that the plugin may be able to read; None: the same.
    """

    name: str
    suffixes: tuple[str, ...]
    magic: re.Pattern[bytes]
    plugin: str = ""
    family: re.Pattern[bytes] | None = None

    def may_be(self, start: bytes) -> bool:
        """Return whether a file that starts with these 16 bytes is worth the format's plugin."""
        return bool((self.family or self.magic).match(start))


def _magic(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.DOTALL)


# What cameras, phones, scanners and browsers write. Pillow's other readers stay shut: PostScript would run
# Ghostscript, and some (TGA, XBM) can take a text file for a picture. JPEG includes MPO (photo pairs) and Ultra HDR.
FORMATS = (
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), _magic(rb"\xff\xd8\xff")),
    Format("PNG", (".png", ".apng"), _magic(rb"\x89PNG\r\n\x1a\n")),
    Format("WEBP", (".webp",), _magic(rb"RIFF.{4}WEBP")),
    Format("GIF", (".gif",), _magic(rb"GIF8[79]a")),
    Format("BMP", (".bmp", ".dib"), _magic(rb"BM")),
    Format("TIFF", (".tif", ".tiff"), _magic(rb"II[*+]\x00|MM\x00[*+]|MM[*]\x00|II\x00[*]")),
    # Both are ISO base media files (ISO/IEC 14496-12, 4.3), told apart by their brand.
    Format("AVIF", (".avif",), _magic(rb".{4}ftyp(avif|avis|mif1|msf1)")),
    Format("HEIF", (".heic", ".heif", ".hif"), _magic(rb".{4}ftyp(hei|hev|mif1|msf1)"),
           "pillow_heif:register_heif_opener", _magic(rb".{4}ftyp")),
    Format("JPEG2000", (".jp2", ".j2k", ".jpx", ".jpf", ".jpc", ".j2c"),
           _magic(rb"\xff\x4f\xff\x51|\x00\x00\x00\x0cjP  \r\n\x87\n")),
    Format("PPM", (".ppm", ".pgm", ".pbm", ".pnm"), _magic(rb"P[0-6fy]")),
    Format("ICO", (".ico",), _magic(rb"\x00\x00\x01\x00")))
SUFFIXES = frozenset(suffix for each in FORMATS for suffix in each.suffixes)


def has_photo_suffix(path: str | os.PathLike[str]) -> bool:
    """Whether a file's name ends as photos' names do, in upper or lower case.

    This only recognises where photos lie in a folder; what a file is, its bytes tell.
    """
    return os.path.splitext(path)[1].lower() in SUFFIXES


def suffixes_for(name: str) -> tuple[str, ...]:
    """Return the suffixes of a format, the usual one first; none for a format that is not in the table."""
    return next((each.suffixes for each in FORMATS if each.name == name), ())


def starts_like_photo(start: bytes) -> bool:
    """Whether a file that starts with these bytes (at least 16 of them, if it has so many) claims to be a photo."""
    return any(each.magic.match(start) for each in FORMATS)
