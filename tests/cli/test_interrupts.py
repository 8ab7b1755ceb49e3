"""Ctrl-C prints one sentence and ends a command with exit code 130, even during imports or if it is pressed twice."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import accept_interrupts
from tfpoets.cli.interrupts import HINTS

ROOT = Path(__file__).resolve().parents[2]
MESSAGE = f"Interrupted. {HINTS['retrain']}"
FORMS = {
    "console script": ["-c", "import sys\nfrom tfpoets.cli.main import main\nsys.exit(main())"],
    "module": ["-m", "tfpoets"],
    "script": ["-m", "scripts.{command}"]}
pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a single process")

# Prints "ready" in one phase of a command and then waits, like an import or a computation.
WAITING = """
import sys, time
from tfpoets.cli import main
phase, ignores = {phase!r}, {ignores!r}

def wait():
    deadline, message = time.monotonic() + 30, "ready\\n"
    while time.monotonic() < deadline:
        try:
            sys.stdout.write(message)
            message = ""
            sys.stdout.flush()
            time.sleep(0.01)
        except KeyboardInterrupt:
            if not ignores:
                raise

class Module:
    @staticmethod
    def main(argv):
        from tfpoets.cli.run_command import run_command
        def command(argv):
            if phase == "command":
                wait()
            if phase == "error":
                try:
                    wait()
                except KeyboardInterrupt:
                    raise ImportError("a library that hides the interrupt")
            if phase == "cleaning up":
                try:
                    wait()
                finally:
                    wait()
            return 0
        return run_command(command, argv)

def import_module(name):
    if phase == "import":
        wait()
    return Module

main.importlib.import_module = import_module
sys.argv = ["tfpoets", "retrain"]
code = main.main()
if phase == "exit":
    wait()
sys.exit(code)
"""


def start(arguments: list[str], folder: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, *arguments], cwd=folder, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, preexec_fn=accept_interrupts,
                            env={**os.environ, "PYTHONPATH": str(ROOT), **environment})


def interrupt_when_ready(process: subprocess.Popen[str], times: int = 1) -> tuple[int, str]:
    """Send SIGINT each time that the process prints a line, and return its exit code and standard error."""
    assert process.stdout and process.stderr
    for _ in range(times):
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    return process.returncode, errors


@pytest.mark.parametrize("phase", ["import", "command", "error"])
def test_an_interrupt_in_any_phase_prints_one_sentence(phase: str, tmp_path: Path) -> None:
    process = start(["-c", WAITING.format(phase=phase, ignores=False)], tmp_path)
    assert interrupt_when_ready(process) == (130, f"{MESSAGE}\n")


def test_a_second_interrupt_during_the_cleanup_ends_the_process(tmp_path: Path) -> None:
    process = start(["-c", WAITING.format(phase="cleaning up", ignores=False)], tmp_path)
    assert interrupt_when_ready(process, times=2) == (130, f"{MESSAGE}\n")


def test_a_second_interrupt_ends_code_that_ignores_the_first(tmp_path: Path) -> None:
    process = start(["-c", WAITING.format(phase="command", ignores=True)], tmp_path)
    assert process.stdout and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert (process.communicate(timeout=60)[1], process.returncode) == (f"{MESSAGE}\n", 130)


def test_an_interrupt_after_the_command_keeps_its_exit_code(tmp_path: Path) -> None:
    process = start(["-c", WAITING.format(phase="exit", ignores=False)], tmp_path)
    assert interrupt_when_ready(process) == (0, "")


def test_a_background_job_still_ignores_interrupts(tmp_path: Path) -> None:
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + WAITING.format(phase="import",
                                                                                                ignores=False)
    process = start(["-c", code.replace("+ 30", "+ 0.5")], tmp_path)
    assert interrupt_when_ready(process) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("times", [1, 2])
def test_real_commands_can_be_interrupted_at_any_time(form: str, times: int, photo_folder: Path) -> None:
    arguments = [argument.format(command="retrain") for argument in FORMS[form]]
    arguments += ([] if form == "script" else ["retrain"]) + [f"--image_dir={photo_folder}"]
    folder = ROOT if form == "script" else photo_folder.parent
    outputs = [f"--{name}={photo_folder.parent / name}" for name in ("bottleneck_dir", "model_dir", "summaries_dir")]
    outputs += [f"--output_{name}={photo_folder.parent / name}.pb" for name in ("graph", "labels")]
    for delay in (0.005, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1):
        # Before this line appears, the interpreter starts, and no code of the library can handle Ctrl-C.
        process = start(["-X", "importtime", *arguments, *outputs], folder)
        assert process.stderr
        while not process.stderr.readline().endswith(" tfpoets.cli.main\n"):
            assert process.poll() is None
        time.sleep(delay)
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        errors = [line for line in process.communicate(timeout=60)[1].splitlines()
                  if not line.startswith("import time:")]
        assert process.returncode == 130 and errors[-1] == MESSAGE, (delay, errors)
        assert "Traceback" not in " ".join(errors) and errors.count(MESSAGE) == 1, (delay, errors)
