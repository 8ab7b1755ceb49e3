"""The second process for TensorFlow returns results, ends with the program, and never runs the program's script."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import tf_process_functions as functions
from tests.conftest import accept_interrupts
from tfpoets.errors import ExportError
from tfpoets.tf_process import TensorFlowProcess

ROOT = Path(__file__).resolve().parents[1]
# TensorFlow is hidden from this process, as if it had not been imported yet.
pytestmark = pytest.mark.usefixtures("without_tensorflow")


@pytest.fixture
def without_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `TensorFlowProcess.start` start a process although another test may have imported TensorFlow."""
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)


def test_a_function_runs_in_another_process_with_tensorflow_and_without_keras() -> None:
    with TensorFlowProcess.start() as process:
        pid, has_tensorflow, has_keras = process.submit(functions.describe_process)()
    assert pid != os.getpid() and has_tensorflow and not has_keras
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_an_exception_is_raised_with_its_remedy() -> None:
    with TensorFlowProcess.start() as process, pytest.raises(ExportError, match="No. Try again.") as error:
        process.submit(functions.fail)()
    assert error.value.remedy == "Try again."


def test_a_function_runs_here_if_the_process_dies_or_cannot_load_its_arguments() -> None:
    with TensorFlowProcess.start() as process:
        assert process.submit(functions.exit_unless, os.getpid())() == os.getpid()
    with TensorFlowProcess.start() as process:
        assert process.submit(lambda: os.getpid())() == os.getpid()  # a lambda cannot be pickled


@pytest.mark.parametrize("how", ["SIGKILL", "SIGABRT", "error"])
def test_a_function_does_not_run_here_if_the_process_was_out_of_memory(how: str) -> None:
    with TensorFlowProcess.start() as process, pytest.raises(MemoryError):
        process.submit(functions.end_in_another_process, os.getpid(), how)()


SCRIPT = """
import os, sys, time
print("script", flush=True)
from tests import tf_process_functions as functions
from tfpoets.tf_process import TensorFlowProcess
with TensorFlowProcess.start() as process:
    wait = process.submit(functions.sleep_after_writing_pid, sys.argv[1])
    wait()
"""


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGINT])
def test_the_process_prints_nothing_and_ends_with_an_unguarded_script(signal_: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('a file in the working folder was imported')")
    pid_file = tmp_path / "pid"
    script = subprocess.Popen([sys.executable, "-P", "script.py", pid_file], cwd=tmp_path, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
                              preexec_fn=accept_interrupts)
    deadline = time.monotonic() + 60
    while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    pid = int(pid_file.read_text())
    script.send_signal(signal_)
    output, errors = script.communicate(timeout=20)
    assert output == "script\n" and (errors == "" or "KeyboardInterrupt" in errors)
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            break
        time.sleep(0.05)
    else:
        pytest.fail("the second process is still running")
