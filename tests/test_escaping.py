"""Text of strangers is escaped before it reaches a terminal or a spreadsheet, and ordinary text is not changed."""
from __future__ import annotations

import csv
import io
import json
import unicodedata

import pytest

from tfpoets.escaping import escape_for_csv, escape_for_terminal, escape_json, has_unsafe_characters

ORDINARY = ["roses", "größe", "日本語", "👨‍👩‍👧 family", "می‌خواهم", "עברית",
            "Screenshot 3.45.12\u202fPM", "a\u00a0b", "a\\b", "e\u0301"]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_unchanged(text: str) -> None:
    assert escape_for_terminal(text) == escape_for_csv(text) == escape_json(text) == text
    assert not has_unsafe_characters(text)


def test_no_character_that_a_terminal_obeys_or_hides_remains() -> None:
    for code in range(0x110000):
        character = chr(code)
        category = unicodedata.category(character)
        if category in ("Cc", "Zl", "Zp") or unicodedata.bidirectional(character) in (
                "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI") or 0xe0000 <= code < 0xe0080 \
                and category == "Cf":
            for escape in (escape_for_terminal, escape_for_csv):
                escaped = escape(f"a{character}b")
                assert escaped.isascii() and escaped.isprintable() and len(escaped) > 3, code


@pytest.mark.parametrize("text, escaped", [
    ("\x1b]0;title\x07", r"\x1b]0;title\x07"), ("a\nb\tc\r", r"a\nb\tc\r"), ("\x9b2J", r"\x9b2J"),
    ("photo\u202egpj.exe", r"photo\u202egpj.exe"), ("\u2028", r"\u2028"), ("\U000e0041", r"\U000e0041"),
    ("\u200b", r"\u200b")])
def test_escapes_are_those_of_python(text: str, escaped: str) -> None:
    assert escape_for_terminal(text) == escaped
    assert escaped.encode("ascii").decode("unicode_escape") == text


def test_characters_to_keep_are_not_escaped() -> None:
    assert escape_for_terminal("a\n\x1bb", keep="\n") == "a\n\\x1bb"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1", "a;=1", "a; +1;@b",
                                  "\u200b=1", "\n-1"])
def test_no_cell_of_a_csv_file_is_a_formula(text: str) -> None:
    stream = io.StringIO()
    csv.writer(stream).writerow([escape_for_csv(text), "x"])
    for separator in ",;\t":  # what a spreadsheet uses depends on the country
        for cell in next(csv.reader(io.StringIO(stream.getvalue()), delimiter=separator)):
            assert not cell.strip().startswith(("=", "+", "-", "@", "＝", "\t", "\r")), cell


def test_escaped_json_means_the_same() -> None:
    value = {"file": "\x1b[2J\x9b\u202e\x7f\n\U000e0041ü🌻", "labels": ["\u2028"]}
    for indent in (None, 2):
        text = escape_json(json.dumps(value, ensure_ascii=False, indent=indent))
        assert json.loads(text) == value and "ü🌻" in text
        assert not any(unicodedata.category(character) in ("Cc", "Cf", "Zl") for character in text.replace("\n", ""))
