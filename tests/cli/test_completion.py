"""The Tab key completes commands, flags and values; argcomplete is not imported otherwise."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tfpoets.cli.main import COMMANDS


def complete(line: str, folder: Path) -> set[str]:
    """Return the completions that argcomplete would show for a line in bash."""
    output = folder / "completions"
    environment = {**os.environ, "_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)),
                   "COMP_TYPE": "9", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_STDOUT_FILENAME": str(output)}
    done = subprocess.run([sys.executable, "-m", "tfpoets"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {word.strip() for word in output.read_text("utf-8").split("\n")}


@pytest.mark.parametrize("line, expected", [
    ("tfpoets ", set(COMMANDS)), ("tfpoets ret", {"retrain"}), ("tfpoets devices --verb", {"--verbose"}),
    ("tfpoets retrain --flags", {"--flags_from"}), ("tfpoets retrain --solver ", {"lbfgs", "sgd"})])
def test_commands_flags_and_values_are_completed(line: str, expected: set[str], tmp_path: Path) -> None:
    assert complete(line, tmp_path) >= expected


def test_argcomplete_is_imported_only_to_complete() -> None:
    code = ("import sys; from tfpoets.cli import main; main.main(['--help']); import tfpoets.cli.label_image;"
            "assert 'argcomplete' not in sys.modules")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_the_version_is_printed_by_every_command(capsys: pytest.CaptureFixture) -> None:
    import tfpoets
    from tfpoets.cli.main import main
    for arguments in (["--version"], ["retrain", "--version"]):
        assert main(arguments) == 0
        assert capsys.readouterr().out == f"tfpoets {tfpoets.__version__}\n"
