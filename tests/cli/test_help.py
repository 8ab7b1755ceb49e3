"""Help texts: a short usage, the most used flags first, and examples that work."""
from __future__ import annotations

import importlib
import shlex
from pathlib import Path

import pytest

from tfpoets.cli.examples import EXAMPLES
from tfpoets.cli.main import COMMANDS
from tfpoets.cli.parser import parse_flags
from tfpoets.cli.retrain_flags import FLAGS, MOST_USED


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A current folder with the files that the examples name, and a terminal of 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("my_photos", "holiday", "more_photos", "tf_files"):
        Path(name).mkdir()
    Path("tf_files/retrained_graph.json").write_text('{"image_dir": "my_photos"}', "utf-8")


def show_help(command: str, capsys: pytest.CaptureFixture) -> str:
    module = importlib.import_module(f"tfpoets.cli.{command}")
    assert module.FLAGS
    with pytest.raises(SystemExit):
        parse_flags(command, "description", module.FLAGS, ["--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_usage_is_short_and_the_help_ends_with_examples(command: str, capsys: pytest.CaptureFixture) -> None:
    text = show_help(command, capsys)
    usage = text[:text.index("\n\n")]
    assert usage.startswith(f"usage: tfpoets {command} ") and "[options]" in usage and usage.count("\n") <= 1
    assert f"\n  tfpoets {command}" in text[text.rindex("\nexamples:\n"):]
    too_long = [line for line in text.splitlines() if len(line) > 80]
    assert not too_long


@pytest.mark.parametrize("command, arguments", [(command, arguments) for command in COMMANDS
                                                for _, arguments in EXAMPLES[command]])
def test_every_example_is_a_valid_command_line(command: str, arguments: str) -> None:
    groups = importlib.import_module(f"tfpoets.cli.{command}").FLAGS
    assert parse_flags(command, "", groups, shlex.split(arguments)) or not arguments


def test_the_most_used_flags_of_retrain_come_first_and_every_flag_is_listed_once() -> None:
    names = [flag.name for group in FLAGS for flag in group.flags]
    assert tuple(names[:10]) == MOST_USED and len(set(names)) == len(names)
