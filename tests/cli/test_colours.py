"""Colours are shown on terminals only, and NO_COLOR and FORCE_COLOR are respected."""
from __future__ import annotations

import io

import pytest

from tfpoets.cli.colours import highlight, shows_colours
from tfpoets.cli.messages import print_lines, print_message


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.parametrize("variables, in_terminal, in_file", [
    ({}, True, False), ({"NO_COLOR": "1"}, False, False), ({"FORCE_COLOR": "1"}, True, True),
    ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False), ({"NO_COLOR": ""}, True, False),
    ({"TERM": "dumb"}, False, False), ({"TERM": "dumb", "FORCE_COLOR": "1"}, True, True)])
def test_the_terminal_and_the_environment_decide(variables: dict[str, str], in_terminal: bool, in_file: bool,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (shows_colours(Terminal()), shows_colours(io.StringIO())) == (in_terminal, in_file)


@pytest.mark.parametrize("line, coloured", [
    ("Final test accuracy = 91.2% (N=68)", "\x1b[1mFinal test accuracy = 91.2%\x1b[0m (N=68)"),
    ("CAUTION: few photos", "\x1b[33mCAUTION:\x1b[0m few photos"), ("Split: 3 photos", "Split: 3 photos")])
def test_only_the_verdict_and_cautions_are_coloured(line: str, coloured: str) -> None:
    assert highlight(line, Terminal()) == coloured and highlight(line, io.StringIO()) == line


def test_text_from_files_is_still_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    print_lines("CAUTION: \x1b[2J", stream=terminal)
    assert terminal.getvalue() == "\x1b[33mCAUTION:\x1b[0m \\x1b[2J\n"
    monkeypatch.setattr("sys.stderr", Terminal())
    print_message("Error: no")
    import sys
    assert isinstance(sys.stderr, Terminal) and sys.stderr.getvalue() == "\x1b[31mError:\x1b[0m no\n"
