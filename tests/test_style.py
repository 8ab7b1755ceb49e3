"""The house rules that machines can check."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("command", [["-m", "ruff", "check", "tfpoets", "scripts", "tests"], ["-m", "mypy"],
                                     ["-c", "from importlinter.cli import lint_imports_command as main; main()"]],
                         ids=["ruff", "mypy", "imports point one way"])
def test_the_code_passes(command: list[str]) -> None:
    result = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
