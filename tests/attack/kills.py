"""Kill runs at random moments and at every step of the publication of their files.

    python -m tests.attack.kills --count=100 --seed=0

Each case replaces the files of an old classifier and kills the run (SIGKILL). It fails if the files that are left are
neither the old nor the new ones, if a report or a further format does not belong to the graph next to it, or if the
next run fails, writes different files or leaves hidden files behind.
"""
from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import tfpoets
from tfpoets import publication
from tfpoets.errors import TfpoetsError
from tfpoets.inference import load_classifier
from tfpoets.tf_runtime import import_tensorflow
from tfpoets.training import FineTuningOptions

from .small_runs import PHOTOS, leftovers, make_inputs, read_files, replace_folder, retrain, run_attack, run

RESULT, OLD, NEW = Path("out"), Path("old"), Path("new")
FORMATS = ("tflite_dynamic", "tfjs", "saved_model")
FOLDERS = (RESULT, Path("kept"), Path("models"))
# The calls that change what is on the disk under its final name, or remove it.
STEPS = ("replace", "rename", "unlink", "rmdir")


def retrain_both(seed: int, **options: Any) -> None:
    """Retrain, and write all files next to each other."""
    retrain(output_graph=RESULT / "g.pb", output_labels=RESULT / "l.txt", summaries_dir="summaries",
            bottleneck_dir="kept", seed=seed, **options)


# What is run with the seed 0 for the old files, and 1 for the new ones.
COMMANDS: dict[str, Callable[[int], object]] = {
    "retrain": lambda seed: retrain_both(seed, saved_model_dir=RESULT / "saved"),
    "retrain and export": lambda seed: retrain_both(seed, formats=FORMATS, doctor=False),
    "export": lambda seed: tfpoets.export(f"graphs{seed}/g.pb", FORMATS, RESULT, PHOTOS),
    "fine-tune": lambda seed: retrain_both(seed, doctor=False,
                                           fine_tuning=FineTuningOptions(epochs=1, learning_rate=0.01))}


def prepare(command: str, folder: Path) -> None:
    """Write the old and the new files of a command, and what it keeps after the old run, in a folder."""
    make_inputs()
    if command == "export":
        for seed in (0, 1):
            retrain_both(seed)
            replace_folder(RESULT, Path(f"graphs{seed}"))
        shutil.rmtree(RESULT)
    COMMANDS[command](0)
    for path in FOLDERS:
        replace_folder(path, OLD / path)
    COMMANDS[command](1)
    replace_folder(RESULT, NEW / RESULT)


def restore() -> None:
    """Restore the state after the old run."""
    for path in FOLDERS:
        replace_folder(OLD / path, path)


def kill_at_step(command: str, step: int, after: bool, count_file: Path) -> None:
    """Run a command and kill this process at a step, before or after it; 0: count the steps and write their number."""
    taken = [0]

    def counting(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            taken[0] += 1
            if taken[0] == step and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*arguments, **options)
            if taken[0] == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return result
        return call
    with ExitStack() as stack:
        for name in STEPS:
            stack.enter_context(mock.patch.object(os, name, counting(getattr(os, name))))
        stack.enter_context(mock.patch.object(publication, "_exchange", counting(publication._exchange)))
        COMMANDS[command](1)
    count_file.write_text(str(taken[0]), "utf-8")


def kill_after(command: str, seconds: float) -> None:
    """Run a command and kill this process after some time."""
    timer = threading.Timer(seconds, lambda: os.kill(os.getpid(), signal.SIGKILL))
    timer.daemon = True
    timer.start()
    COMMANDS[command](1)
    timer.cancel()


def check(command: str) -> None:
    """Raise AssertionError if the files in the working folder are wrong after a kill; then run the command again."""
    check_files(command)
    COMMANDS[command](1)
    expected, found = (classifier_files(folder) for folder in (NEW / RESULT, RESULT))
    # A SavedModel has a new number, and its files differ in every process.
    assert found == expected, f"after the next run, {sorted(differing(found, expected))} differ"
    hidden = [name for folder in FOLDERS for name in leftovers(folder)]
    assert not hidden, f"the next run left {hidden}"


def check_files(command: str) -> None:
    """Check that each file is the old or the new one, and that those next to a graph belong to it."""
    if command == "export":
        for name in ("g_tfjs", "g_saved_model", "g_dynamic.tflite"):
            assert (RESULT / name).exists(), f"{name} is missing"
        found, old, new = (classifier_files(folder) for folder in (RESULT, OLD / RESULT, NEW / RESULT))
        for name in ("g_tfjs/", "g_dynamic.tflite"):
            files, *sets = ({path: content for path, content in every.items() if path.startswith(name)}
                            for every in (found, old, new))
            assert files in sets, f"{name} is a mixture"
        tfpoets.load_classifier(RESULT / "g_saved_model")
        return
    for name in ("g.pb", "g.tflite"):
        content = (RESULT / name).read_bytes()
        assert content in [(folder / RESULT / name).read_bytes() for folder in (OLD, NEW)], f"{name} is a mixture"
        try:
            load_classifier(RESULT / name)
        except TfpoetsError as error:
            raise AssertionError(f"{name} cannot be loaded: {error}") from error
    own = NEW if (RESULT / "g.pb").read_bytes() == (NEW / RESULT / "g.pb").read_bytes() else OLD
    for name in ("g.html", "g_findings.csv", "g_dynamic.tflite", "g_tfjs/model.json"):
        path = RESULT / name
        assert not path.is_file() or path.read_bytes() == (own / path).read_bytes(), f"{name} belongs to another graph"


def classifier_files(folder: Path) -> dict[str, bytes]:
    """Return the files in a folder that are the same whenever a command is run."""
    return {name: content for name, content in read_files(folder).items() if "saved" not in name}


def differing(files: dict[str, bytes], others: dict[str, bytes]) -> set[str]:
    """Return the names of files that differ or are missing."""
    return {name for name in files.keys() | others.keys() if files.get(name) != others.get(name)}


def attack_command(command: str, folder: Path, count: int, rng: np.random.Generator) -> dict[str, str]:
    """Kill a command `count` times, first at its steps and then at random moments; return the failures."""
    failures = {}
    for name, function in (("prepare", lambda: prepare(command, folder)), ("restore", restore)):
        reason = run(function, folder)
        assert not reason, f"{command}, {name}: {reason}"
    start = time.monotonic()
    reason = run(lambda: kill_at_step(command, 0, False, Path("steps.txt")), folder)
    assert not reason, f"{command}: {reason}"
    seconds, n_steps = time.monotonic() - start, int((folder / "steps.txt").read_text("utf-8"))
    points = [(step, after) for step in range(1, n_steps + 1) for after in (False, True)]
    chosen = [points[index] for index in sorted(rng.permutation(len(points))[:(2 * count + 2) // 3])]
    cases: list[tuple[str, Callable[[], None]]] = [
        (f"{'after' if after else 'before'} step {step} of {n_steps}",
         lambda step=step, after=after: kill_at_step(command, step, after, Path("steps.txt")))
        for step, after in chosen]
    for moment in rng.uniform(0, seconds, count - len(chosen)):
        cases.append((f"after {moment:.2f} s", lambda moment=moment: kill_after(command, moment)))
    for name, function in cases:
        for reason in (run(restore, folder), run(function, folder).removeprefix("killed"),
                       run(lambda: check(command), folder)):
            if reason:
                failures[f"{command}, killed {name}"] = reason
    return failures


def attack_all(count: int, seed: int, folder: Path) -> dict[str, str]:
    """Run cases of all commands, and return the failures."""
    import_tensorflow()
    failures: dict[str, str] = {}
    for number, command in enumerate(COMMANDS):
        n_cases = (count + number) // len(COMMANDS)
        if n_cases:
            work = folder / command.replace(" ", "_")
            work.mkdir()
            failures.update(attack_command(command, work, n_cases, np.random.default_rng([seed, number])))
    return failures


if __name__ == "__main__":
    sys.exit(run_attack(__doc__, 100, attack_all))
