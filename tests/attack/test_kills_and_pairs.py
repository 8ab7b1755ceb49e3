"""The attacks by kills and by simultaneous runs, with a few cases, in processes that have not used TensorFlow."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name, count", [("kills", 1), ("pairs", 1), pytest.param("kills", 8, marks=pytest.mark.slow),
                                         pytest.param("pairs", 5, marks=pytest.mark.slow)])
def test_killed_and_simultaneous_runs_leave_files_that_belong_together(name: str, count: int) -> None:
    done = subprocess.run([sys.executable, "-m", f"tests.attack.{name}", f"--count={count}"], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert f"tried {count}, failed 0" in done.stdout
