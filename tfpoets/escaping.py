"""Escape text from files and networks before it reaches a terminal, a log or a spreadsheet.

Names of photos and folders, labels, and the metadata of a classifier may come from strangers.
"""
from __future__ import annotations

import json
import re
import unicodedata

# Control characters, line and paragraph separators, and characters that are invisible or change the direction of the
# text around them (Unicode categories).
_UNSAFE_CATEGORIES = frozenset(("Cc", "Cf", "Zl", "Zp"))
# Characters of the category Cf that are part of words and emoji (zero width joiner and non-joiner), or are visible
# (the signs that Arabic, Syriac and Kaithi put around numbers).
_SAFE_FORMAT_CHARACTERS = frozenset("\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2"
                                    "\U000110bd\U000110cd")
_NAMED_ESCAPES = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
# What a spreadsheet takes for a formula at the beginning of a cell, in ASCII and in full width. Some also split cells
# at semicolons, so a semicolon could begin a cell.
_FORMULA = re.compile("(^|;)(?=\\s*[=+\\-@\uff1d\uff0b\uff0d\uff20])")


def is_unsafe(character: str) -> bool:
    """Return whether a character could change what a terminal shows of the rest of a text."""
    return unicodedata.category(character) in _UNSAFE_CATEGORIES and character not in _SAFE_FORMAT_CHARACTERS


def has_unsafe_characters(text: str) -> bool:
    """Return whether a text contains a character that `escape_for_terminal` would escape."""
    return not text.isprintable() and any(map(is_unsafe, text))


def escape_for_terminal(text: str, keep: str = "") -> str:
    r"""Escape the characters of a text that a terminal would obey or not show, in the notation of Python.

    Args:
        text: The text, such as the name of a photo.
        keep: Characters to leave unchanged, such as "\n" for a text of several lines.

    Returns:
        The text with escapes such as `\x1b`, `\u202e` and `\n`.
    """
    if text.isprintable():
        return text
    return "".join(_escape(character) if is_unsafe(character) and character not in keep else character
                   for character in text)


def escape_for_csv(text: str) -> str:
    """Escape a text for a cell of a CSV file, so that no spreadsheet takes it for a formula.

    Args:
        text: The text, such as the name of a photo.

    Returns:
        The text, escaped as for a terminal. An apostrophe is put in front of =, +, - or @ at the beginning, and after
        a semicolon; spreadsheets take what follows for text (OWASP, "CSV Injection").
    """
    return _FORMULA.sub(r"\1'", escape_for_terminal(text))


def escape_json(text: str) -> str:
    """Replace the characters of a JSON text that a terminal would obey by the escapes of JSON, which mean the same."""
    if text.isprintable():
        return text
    return "".join(json.dumps(character)[1:-1] if is_unsafe(character) and character not in "\n\r\t" else character
                   for character in text)


def _escape(character: str) -> str:
    code = ord(character)
    return _NAMED_ESCAPES.get(character) or (f"\\x{code:02x}" if code < 0x100 else
                                             f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
