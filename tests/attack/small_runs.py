"""Runs of the commands that take about a second: few photos, and a module with random weights."""
from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tfpoets
from tests.conftest import save_module, write_photos

PHOTOS, MODULE, MODELS = "photos", "module", "models"
# Longer than any run; a run that takes longer does not end.
MAX_SECONDS = 120


class TimeLimitExceeded(Exception):
    """A run takes too long."""


@contextmanager
def working_folder(folder: Path) -> Iterator[None]:
    """Make a folder, which is created if it does not exist, the working folder for a block."""
    folder.mkdir(parents=True, exist_ok=True)
    previous = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(previous)


@contextmanager
def time_limit(seconds: int = MAX_SECONDS) -> Iterator[None]:
    """Raise TimeLimitExceeded in a block that takes longer."""
    def stop(*_: Any) -> None:
        raise TimeLimitExceeded(f"it takes more than {seconds} s")
    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def make_inputs() -> None:
    """Write photos and a module to the working folder."""
    for hue, label in enumerate(("red", "green", "blue")):
        write_photos(Path(PHOTOS) / label, 16, hue, suffix=".jpg")
    save_module(Path(MODULE))


def retrain(**options: Any) -> None:
    """Retrain on the photos in the working folder, with the module unless a network is trained from scratch."""
    tfpoets.retrain(PHOTOS, **{"handle": MODULE, "model_dir": MODELS, "testing_percentage": 20,
                               "validation_percentage": 20, **options})


def read_files(folder: Path, *names: str) -> dict[str, bytes]:
    """Return the content of the files in a folder, or only of those with one of the names, by relative path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and (not names or path.name in names)}


def replace_folder(source: Path, destination: Path) -> None:
    """Replace a folder with a copy of another one, or remove it if there is no other one."""
    shutil.rmtree(destination, ignore_errors=True)
    if source.is_dir():
        shutil.copytree(source, destination, symlinks=True)


def start(function: Callable[[], object], errors: Path) -> int:
    """Run a function in a new process, and return its id; the traceback of an error is written to a file.

    The process is forked, because importing TensorFlow takes seconds. This process must not have used TensorFlow.
    """
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        with open(errors, "w", encoding="utf-8") as file:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(file.fileno(), 2)
            try:
                with time_limit():
                    function()
                code = 0
            except BaseException:
                traceback.print_exc(file=file)
    finally:
        os._exit(code)


def wait(process: int, errors: Path) -> str:
    """Wait for a process, and return the last line of its errors, "killed", or "" if there was no error."""
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status):
        return "killed" if os.WTERMSIG(status) == signal.SIGKILL else f"signal {os.WTERMSIG(status)}"
    if os.waitstatus_to_exitcode(status) == 0:
        return ""
    lines = errors.read_text("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "failed without a message"


def run(function: Callable[[], object], folder: Path) -> str:
    """Run a function in a new process with a working folder; return what `wait` returns."""
    errors = folder / "errors.txt"
    with working_folder(folder):
        process = start(function, errors)
    return wait(process, errors)


def leftovers(folder: Path) -> list[str]:
    """Return the hidden files and folders below a folder, which runs use only while they work."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob(".*"))


def run_attack(description: str | None, count: int, attack_all: Callable[[int, int, Path], dict[str, str]]) -> int:
    """Run an attack as its flags request, print the number of cases and the failures, and return the exit code.

    Args:
        description: The description for --help.
        count: The default number of cases.
        attack_all: Runs cases in a folder, given their number and the seed, and returns the failures.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        failures = attack_all(flags.count, flags.seed, Path(folder))
    return report(flags.count, failures, time.monotonic() - start)


def report(tried: int, failures: dict[str, str], seconds: float) -> int:
    """Print the number of cases and the failures, and return the exit code."""
    print(f"tried {tried}, failed {len(failures)} ({seconds / max(tried, 1):.2f} s per case)")
    for case, reason in failures.items():
        print(f"{case}: {reason}")
    return 1 if failures else 0
