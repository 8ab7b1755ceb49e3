"""Decode text files that other programs wrote: tables, lists of photos, and label files."""
from __future__ import annotations

import codecs
import io
import zipfile
from collections.abc import Mapping

# The marks at the beginning of text that state its encoding. UTF-32 precedes UTF-16, whose mark it begins with.
BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
                    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
# How many bytes at the beginning of text without a mark determine its encoding.
SAMPLE_BYTES = 16
# Characters below U+0900 are those of the Latin, Greek, Cyrillic, Hebrew, Arabic and other alphabets.
_MAX_HIGH_BYTE = 8

SAVE_AS_CSV = "Save it as CSV UTF-8, which is one of the file types that Excel offers when it saves a file."
UNPACK = "Unpack it, and use the file inside."
# Files that are mistaken for text files: the first bytes, what the file is, and what to do.
_KINDS = ((b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is a file of an old version of Excel or Word (such as .xls)",
           SAVE_AS_CSV),
          (b"\x1f\x8b", "is a compressed file (gzip)", UNPACK),
          (b"BZh", "is a compressed file (bzip2)", UNPACK),
          (b"\xfd7zXZ\0", "is a compressed file (xz)", UNPACK),
          (b"7z\xbc\xaf\x27\x1c", "is an archive (7z)", UNPACK),
          (b"Rar!\x1a\x07", "is an archive (RAR)", UNPACK),
          (b"PAR1", "is a Parquet file", "Give it a name that ends in .parquet."),
          (b"%PDF-", "is a PDF document", SAVE_AS_CSV),
          (b"SQLite format 3\0", "is a database", SAVE_AS_CSV))
# The kinds of documents that are zip archives, by a file that they contain.
_DOCUMENTS: Mapping[str, str] = {"xl/workbook.xml": "is an Excel workbook (.xlsx)",
                                    "xl/workbook.bin": "is an Excel workbook (.xlsb)",
                                    "word/document.xml": "is a Word document (.docx)",
                                    "content.xml": "is an OpenDocument file (such as .ods)",
                                    "Index/Document.iwa": "is a Numbers spreadsheet"}


class NotTextError(ValueError):
    """A file is not text in UTF-8, UTF-16 or UTF-32.

    Attributes:
        description: What the file is, as the end of a sentence whose subject is the file.
        remedy: What to do; may be empty.
    """

    def __init__(self, description: str, remedy: str = ""):
        super().__init__(description)
        self.description, self.remedy = description, remedy


class OtherEncodingError(NotTextError):
    """A file may be text, but in an older encoding, such as Windows-1252."""


def find_encoding(start: bytes) -> tuple[str, int]:
    """Return the encoding of text, and the length of its byte order mark in bytes.

    Without a mark, the encoding is UTF-16 if every other byte at the start is zero or, in alphabets other than Latin,
    has a small value; otherwise it is UTF-8.

    Args:
        start: At least the first SAMPLE_BYTES bytes of the text, or all of it.
    """
    for mark, encoding in BYTE_ORDER_MARKS:
        if start.startswith(mark):
            return encoding, len(mark)
    sample = start[:SAMPLE_BYTES]
    if len(sample) >= 4:
        even, odd = sample[::2], sample[1::2]
        for encoding, low, high in (("utf-16-le", even, odd), ("utf-16-be", odd, even)):
            if all(low) and min(high) == 0 and max(high) <= _MAX_HIGH_BYTE:
                return encoding, 0
    return "utf-8", 0


def decode_text(data: bytes, is_complete: bool = True) -> str:
    """Decode text in UTF-8, or in UTF-16 or UTF-32 with or without a byte order mark, which is removed.

    Args:
        data: The bytes of the file, or of its beginning.
        is_complete: Whether the last character must be complete.

    Raises:
        OtherEncodingError: The file may be text in another encoding.
        NotTextError: The file is not text.
    """
    encoding, length = find_encoding(data)
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(data[length:], is_complete)
    except UnicodeDecodeError as error:
        raise _decoding_error(data, encoding, error.start) from None
    if "\0" in text:
        raise _kind_of_binary(data)
    return text


def _decoding_error(data: bytes, encoding: str, position: int) -> NotTextError:
    if encoding != "utf-8":
        return NotTextError(f"begins like {encoding[:6].upper()}, but is not in this encoding", SAVE_AS_CSV)
    if b"\0" in data or data.startswith(tuple(signature for signature, *_ in _KINDS)):
        return _kind_of_binary(data)
    line = data.count(b"\n", 0, position) + 1
    return OtherEncodingError(f"is not in UTF-8, but probably in Windows-1252 (ANSI) or another older encoding (line "
                              f"{line})", SAVE_AS_CSV)


def _kind_of_binary(data: bytes) -> NotTextError:
    """Return an error that states what a binary file is."""
    if data.startswith(b"PK\x03\x04"):
        return _kind_of_zip(data)
    return next((NotTextError(description, remedy) for signature, description, remedy in _KINDS
                 if data.startswith(signature)), NotTextError("is not a text file", SAVE_AS_CSV))


def _kind_of_zip(data: bytes) -> NotTextError:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
    except Exception:  # a damaged archive can make zipfile raise nearly anything
        names = set()
    description = next((description for name, description in _DOCUMENTS.items() if name in names), None)
    return NotTextError(description, SAVE_AS_CSV) if description else NotTextError("is a zip archive", UNPACK)
