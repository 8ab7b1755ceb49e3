"""Run two commands at once that use the same files.

    python -m tests.attack.pairs --count=50 --seed=0

A case fails if one of the runs fails, or if the files that they leave do not belong together.
"""
from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tfpoets
from tfpoets.exporting.targets.tfjs import read_tfjs
from tfpoets.inference import load_classifier
from tfpoets.tf_runtime import import_tensorflow
from tfpoets.training import FineTuningOptions, NetworkOptions

from .small_runs import (PHOTOS, leftovers, make_inputs, replace_folder, retrain, run_attack, run, start, wait,
                         working_folder)

RESULT, FORMATS = Path("out"), ("tflite_dynamic", "tfjs", "saved_model")
FOLDERS = (RESULT, Path("kept"), Path("models"))
# An export may notice that the other run has replaced its graph.
ALLOWED_ERROR = "Another run has replaced"
FINE_TUNING = FineTuningOptions(epochs=1, learning_rate=0.01)
NETWORK = NetworkOptions(architecture="lenet", epochs=1)


def retrain_both(seed: int, **options: Any) -> None:
    """Retrain, and write all files next to each other."""
    retrain(output_graph=RESULT / "g.pb", output_labels=RESULT / "l.txt", summaries_dir="summaries",
            bottleneck_dir="kept", seed=seed, saved_model_dir=RESULT / "saved", **options)


def export(seed: int) -> None:
    """Export the graph in the output folder, next to it."""
    tfpoets.export(RESULT / "g.pb", FORMATS, RESULT, PHOTOS)


# The two runs of each pair, which get the seeds 0 and 1, or both 0.
PAIRS: dict[str, tuple[Callable[[int], None], Callable[[int], None], int]] = {
    "two retrains": (retrain_both, retrain_both, 1),
    "two equal retrains": (retrain_both, retrain_both, 0),
    "two retrains with further formats": (*[lambda seed: retrain_both(seed, formats=FORMATS, doctor=False)] * 2, 1),
    "two exports": (export, export, 0),
    "a retrain and an export": (retrain_both, export, 0),
    "two fine-tunings": (*[lambda seed: retrain_both(seed, doctor=False, fine_tuning=FINE_TUNING)] * 2, 0),
    "two networks from scratch": (*[lambda seed: retrain_both(seed, doctor=False, network=NETWORK, image_size=12)] * 2,
                                  0)}


def check() -> None:
    """Raise AssertionError unless the files in the output folder belong together."""
    metadata = json.loads((RESULT / "g.json").read_text("utf-8"))
    for name, digest in metadata["files"].items():
        if (RESULT / name).is_file():
            assert hashlib.sha256((RESULT / name).read_bytes()).hexdigest() == digest, f"{name} does not match g.json"
    photo = Path(PHOTOS, "red", "000.jpg").read_bytes()
    scores = {}
    for name in ("g.pb", "g.tflite", "g_saved_model"):
        if (RESULT / name).exists():
            scores[name] = load_classifier(RESULT / name).predict_photo(photo).probabilities
            assert np.abs(scores[name] - scores["g.pb"]).max() < 1e-3, f"{name} is not the classifier of g.pb"
    if (RESULT / "g_tfjs").exists():
        assert read_tfjs(RESULT / "g_tfjs").node
    numbers = sorted(int(path.name) for path in (RESULT / "saved").iterdir())
    assert numbers == list(range(1, len(numbers) + 1)), f"SavedModels {numbers}"
    hidden = [name for folder in FOLDERS for name in leftovers(folder)]
    assert not hidden, f"{hidden} are left"
    assert not list(Path("kept").glob("*.broken-*")), "the cache was damaged"


def attack_pair(name: str, delay: float, is_warm: bool, folder: Path) -> str:
    """Run a pair of commands, and return what is wrong, or "".

    Args:
        name: The name of the pair.
        delay: How much later the second one is started, in seconds.
        is_warm: Whether there already are files of an earlier run.
        folder: The working folder.
    """
    first, second, seed = PAIRS[name]
    for path in FOLDERS:
        shutil.rmtree(folder / path, ignore_errors=True)
        if is_warm or "export" in name:
            replace_folder(folder / "old" / path, folder / path)
    with working_folder(folder):
        processes = [start(lambda: first(0), Path("errors0.txt"))]
        time.sleep(delay)
        processes.append(start(lambda: second(seed), Path("errors1.txt")))
        errors = [wait(process, Path(f"errors{number}.txt")) for number, process in enumerate(processes)]
    reasons = [error for error in errors if error and ALLOWED_ERROR not in error]
    return "; ".join(reasons) or run(check, folder)


def prepare() -> None:
    """Write photos, a module and the files of an earlier run to the working folder."""
    make_inputs()
    retrain_both(5)
    for path in FOLDERS:
        replace_folder(path, Path("old") / path)


def attack_all(count: int, seed: int, folder: Path) -> dict[str, str]:
    """Run pairs in a folder, and return the failures."""
    import_tensorflow()
    reason = run(prepare, folder)
    assert not reason, reason
    failures = {}
    for number in range(seed, seed + count):
        rng = np.random.default_rng([number, 37])
        name = list(PAIRS)[number % len(PAIRS)]
        delay, is_warm = float(rng.choice([0, rng.uniform(0, 2)])), bool(rng.random() < 0.6)
        reason = attack_pair(name, delay, is_warm, folder)
        if reason:
            failures[f"seed {number}, {name}, {delay:.2f} s later, {'warm' if is_warm else 'cold'}"] = reason
    return failures


if __name__ == "__main__":
    sys.exit(run_attack(__doc__, 50, attack_all))
