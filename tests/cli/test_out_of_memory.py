"""Too little memory ends a command with one sentence, which states what was kept and what needs less."""
from __future__ import annotations

import errno
import os
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import write_photos
from tfpoets.cli import out_of_memory
from tfpoets.cli.messages import set_flags
from tfpoets.cli.out_of_memory import BEGINNING, note_written
from tfpoets.cli.run_command import run_command
from tfpoets.errors import ModelError, PhotoError
from tfpoets.memory_errors import is_memory_error

ROOT = Path(__file__).resolve().parents[2]
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the limit is that of Linux")
FLAGS = {"nodoctor": "--nodoctor", "image_size": "--image_size"}
# Runs a command whose address space is limited, and which ends in the way that the first argument names.
SCRIPT = """
import ctypes, mmap, os, sys
from tfpoets.cli import interrupts
from tfpoets.cli.messages import set_flags
from tfpoets.cli.run_command import run_command

def fail(argv):
    set_flags({}, "doctor")
    blocks = []
    if sys.argv[1] != "abort early":
        try:
            while True:
                blocks.append(mmap.mmap(-1, 1 << 24))
        except OSError:
            del blocks[-2:]
    if sys.argv[1] == "new":
        allocate = ctypes.CDLL("libstdc++.so.6")._Znwm
        allocate.restype, allocate.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        allocate(1 << 40)
    os.abort()

sys.exit(interrupts.run_process(lambda: run_command(fail, [])))
"""


def with_cause(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def allocation_error() -> Exception:
    try:
        np.empty(1 << 50)
    except Exception as error:
        return error
    raise AssertionError


@pytest.mark.parametrize("error", [
    MemoryError(), allocation_error(), RuntimeError("std::bad_alloc"), RuntimeError("can't start new thread"),
    ImportError("libtensorflow_cc.so.2: failed to map segment from shared object"), BrokenProcessPool("ended"),
    OSError(errno.ENOMEM, "Cannot allocate memory"), BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
    type("ResourceExhaustedError", (Exception,), {})("OOM when allocating tensor with shape[1]"),
    with_cause(ModelError("The extractor is damaged."), MemoryError())])
def test_every_error_about_memory_is_one_sentence(error: Exception, capsys: pytest.CaptureFixture) -> None:
    def command(argv: list[str] | None) -> int:
        set_flags(FLAGS, "retrain")
        raise error
    assert is_memory_error(error)
    assert run_command(command, []) == 1
    message = capsys.readouterr().err
    assert message.startswith(BEGINNING) and message.count("\n") == 1 and message.count(". ") == 0
    assert "bottlenecks and checkpoints that were saved are kept" in message
    assert "fewer photos, --nodoctor or a smaller --image_size need less" in message and "max_memory" not in message


@pytest.mark.parametrize("error", [
    ValueError("no"), KeyError("room"), OSError(errno.ENOSPC, "No space left"), ModelError("Out of memory cards."),
    with_cause(PhotoError("needs too much memory"), MemoryError())])
def test_other_errors_are_not_about_memory(error: Exception) -> None:
    assert not is_memory_error(error)


def test_the_sentence_states_whether_the_classifier_is_complete(monkeypatch: pytest.MonkeyPatch,
                                                                capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(out_of_memory, "_written", [])

    def command(argv: list[str] | None) -> int:
        set_flags(FLAGS, "retrain")
        note_written(Path("flowers.pb"))
        raise MemoryError
    assert run_command(command, []) == 1
    assert "the classifier in flowers.pb is complete" in capsys.readouterr().err


@linux_only
@pytest.mark.parametrize("how", ["new", "abort", "abort early"])
def test_a_library_that_ends_the_process_for_memory_leaves_a_sentence(how: str) -> None:
    process = subprocess.run(["bash", "-c", 'ulimit -v 1000000; ulimit -c 0; exec "$@"', "bash", sys.executable, "-c",
                              SCRIPT, how], capture_output=True, text=True, cwd=ROOT, timeout=120)
    if how == "abort early":  # memory was not the reason
        assert process.returncode == -6 and BEGINNING not in process.stderr
    else:
        assert process.returncode == 1
        assert process.stderr.startswith(BEGINNING) and process.stderr.count("\n") == 1


@linux_only
@pytest.mark.slow
@pytest.mark.parametrize("megabytes", [600, 1300, 1800])
def test_retraining_with_little_memory_writes_all_files_or_none(megabytes: int, tmp_path: Path) -> None:
    for hue, label in enumerate(("red", "green", "blue")):
        write_photos(tmp_path / "photos" / label, 40, hue, suffix=".jpg")
    process = subprocess.run(
        ["bash", "-c", f'ulimit -v {megabytes * 1024}; exec "$@"', "bash", sys.executable, "-m", "scripts.retrain",
         f"--image_dir={tmp_path / 'photos'}", f"--bottleneck_dir={tmp_path / 'cache'}",
         f"--output_graph={tmp_path / 'out' / 'g.pb'}", f"--output_labels={tmp_path / 'out' / 'l.txt'}",
         f"--summaries_dir={tmp_path / 'summaries'}"],
        capture_output=True, text=True, cwd=ROOT, timeout=600, env={**os.environ, "COLUMNS": "500"})
    files = {path.name for path in (tmp_path / "out").iterdir()} if (tmp_path / "out").exists() else set()
    assert files >= {"g.pb", "g.tflite", "g.json", "l.txt"} or not files
    if process.returncode != 0:
        errors = [line for line in process.stderr.splitlines() if line and "%|" not in line]
        assert errors[-1].startswith(BEGINNING) and "Traceback" not in process.stderr
        assert "terminate called" not in process.stderr
    assert process.returncode == (0 if files and "g.html" in files else 1)
