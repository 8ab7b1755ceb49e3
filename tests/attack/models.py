"""Attack the commands that load models with damaged and hostile files.

    python -m tests.attack.models --count=1000 --seed=0 [--kind=tflite] [--kind=pb]

Half of the cases are .tflite files, half are frozen graphs (.pb), both with random changes. Then each hostile model
and each kind of damaged metadata is tried once. A case fails if the process crashes, if anything else than one of our
errors is raised, if the answers are not finite, or if a hostile model is accepted or touches a file.
"""
from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np

import tfpoets
from tests.conftest import save_module, write_photos
from tfpoets.errors import TfpoetsError
from tfpoets.extractors import open_extractor
from tfpoets.graphs import TFPOETS_MARKER
from tfpoets.inference import load_classifier

from . import hostile_models, hostile_saved_models
from .damaged_metadata import damaged_archives, damaged_texts
from .small_runs import working_folder

KINDS = ("tflite", "pb")
# Far above the limits of the processes in which models are run for the first time.
MAX_SECONDS = 600.0


class Case(NamedTuple):
    """One file to try.

    Attributes:
        kind: "tflite", "pb", "graph", "own graph", "module", "metadata" or "archive".
        name: The seed of the changes, or the name of the hostile model.
        must_fail: Whether the file must be refused.
    """

    kind: str
    name: str
    must_fail: bool


def make_classifier(folder: Path) -> Path:
    """Train a small classifier on generated photos, and return the folder of its files (g.pb, g.tflite, ...)."""
    with working_folder(folder):
        for hue, label in enumerate(("red", "green", "blue")):
            write_photos(Path("photos", label), 20, hue, suffix=".jpg")
        tfpoets.retrain("photos", handle=str(save_module(folder / "module")), model_dir="models", doctor=False,
                        testing_percentage=20, validation_percentage=20, output_graph="own/g.pb",
                        output_labels="own/l.txt", saved_model_dir="own/saved")
    return folder / "own"


def all_cases(count: int, seed: int, kinds: Iterable[str] = KINDS) -> list[Case]:
    """Return `count` files with random changes, and each hostile model and each damaged metadata once."""
    kinds = list(kinds)
    changed = [Case(kinds[number % len(kinds)], f"{seed}/{number}", False) for number in range(count)]
    return [*changed, *(Case("graph", name, True) for name in hostile_models.GRAPHS),
            *(Case("own graph", name, True) for name in hostile_models.GRAPHS),
            *(Case("module", name, True) for name in hostile_saved_models.MODULES),
            *(Case("metadata", name, True) for name in damaged_texts({"labels": ["a", "b", "c"]})),
            *(Case("archive", name, name not in ("two entries", "compressed", "checksum")) for name in ARCHIVES)]


ARCHIVES = ("unpacks to 80 MB", "encrypted", "truncated", "other name",
            "name is not UTF-8", "two entries", "checksum", "no archive", "compressed")


def change(content: bytes, seed: str) -> bytes:
    """Return a file with random changes: bytes, bits, blocks of zeros, missing and repeated parts, a missing end."""
    rng = np.random.default_rng([int(part) for part in seed.split("/")])
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        start, length = int(rng.integers(0, max(1, len(changed)))), int(rng.integers(1, 64))
        # Most bytes are weights. The structure of a file is at its beginning and at its end.
        start = (start, start % 2048, max(0, len(changed) - 1 - start % 4096))[rng.integers(3)]
        match rng.integers(6):
            case 0:
                changed[start:start + 1] = rng.bytes(1)
            case 1 if start < len(changed):
                changed[start] ^= 1 << int(rng.integers(8))
            case 2:
                changed[start:start + length] = bytes(length)
            case 3:
                del changed[start:start + length]
            case 4:
                changed[start:start] = changed[start:start + length]
            case _ if rng.random() < 0.2:
                del changed[start:]
    return bytes(changed)


def prepare(case: Case, own: Path, folder: Path) -> Callable[[], None]:
    """Write the file of a case, and return a function that uses it as a command does."""
    photo = sorted((own.parent / "photos" / "red").iterdir())[0].read_bytes()
    for name in ("g.tflite", "g.json"):
        shutil.copy(own / name, folder)
    path = folder / ("g.tflite" if case.kind in ("tflite", "archive") else "g.pb")
    if case.kind in ("tflite", "pb"):
        path.write_bytes(change((own / path.name).read_bytes(), case.name))
    elif case.kind == "archive":
        path.write_bytes(damaged_archives((own / path.name).read_bytes())[case.name]())
    elif case.kind == "metadata":
        shutil.copy(own / "g.pb", path)
        valid = json.loads((own / "g.json").read_text("utf-8"))
        path.with_suffix(".json").write_bytes(damaged_texts(valid)[case.name])
    elif case.kind == "module":
        module = hostile_saved_models.MODULES[case.name](folder / "module")
        return lambda: _extract(module, folder)
    else:
        graph_def = hostile_models.GRAPHS[case.name]()
        path = hostile_models.write_graph(folder, graph_def)
        if case.kind == "own graph":
            path = disguise(graph_def, own, path)
    if case.kind in ("pb", "own graph"):
        recompute_hash(path)
    return lambda: _label(path, photo)


def disguise(graph_def: object, own: Path, path: Path) -> Path:
    """Let a hostile graph look like one that retrain wrote, with metadata next to it."""
    graph_def.node.add(name=TFPOETS_MARKER, op="NoOp")  # type: ignore[attr-defined]
    path.write_bytes(graph_def.SerializeToString())  # type: ignore[attr-defined]
    shutil.copy(own / "g.json", path.with_suffix(".json"))
    return path


def recompute_hash(path: Path) -> None:
    metadata = json.loads(path.with_suffix(".json").read_text("utf-8"))
    metadata["files"] = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    path.with_suffix(".json").write_text(json.dumps(metadata), "utf-8")


def _label(path: Path, photo: bytes) -> None:
    prediction = load_classifier(path).predict_photo(photo)
    if prediction.probabilities is None or not np.isfinite(prediction.probabilities).all():
        raise AssertionError(f"the answer is {prediction}")


def _extract(module: Path, folder: Path) -> None:
    open_extractor(str(module), model_dir=folder / "models")


def try_case(case: Case, own: Path) -> str:
    """Use the file of a case, and return why it fails, or "" if it passes."""
    folder = Path(tempfile.mkdtemp(prefix="attack-"))
    try:
        with working_folder(folder):
            use = prepare(case, own, folder)
            start = time.monotonic()
            try:
                use()
                outcome = "it was accepted" if case.must_fail else ""
            except TfpoetsError as error:
                outcome = "the message has several lines" if "\n" in str(error) else ""
            except Exception as error:
                outcome = f"{type(error).__name__}: {str(error)[:200]}"
            if Path(hostile_models.CANARY).exists() or list(Path().glob(f"{hostile_models.CANARY}*")):
                outcome += " a file was written"
            if time.monotonic() - start > MAX_SECONDS:
                outcome += f" it took {time.monotonic() - start:.0f} s"
            return outcome.strip()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(cases: list[Case], own: Path) -> dict[Case, str]:
    """Try cases in another process, which is started again after a crash; return the failures with their reasons."""
    failures: dict[Case, str] = {}
    pool = ProcessPoolExecutor(1, get_context("spawn"))
    try:
        for case in cases:
            try:
                reason = pool.submit(try_case, case, own).result()
            except BrokenProcessPool:
                reason, pool = "the process crashed", ProcessPoolExecutor(1, get_context("spawn"))
            if reason:
                failures[case] = reason
    finally:
        pool.shutdown()
    return failures


def main() -> int:
    """Run the attack, print the number of cases and the failures, and return 1 if there were any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS, action="append")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = str(Path(folder, "cache"))
        own = make_classifier(Path(folder))
        cases = all_cases(flags.count, flags.seed, flags.kind or KINDS)
        start = time.monotonic()
        failures = run(cases, own)
    print(f"tried {len(cases)}, failed {len(failures)} ({(time.monotonic() - start) / len(cases):.2f} s per case)")
    for case, reason in failures.items():
        print(f"{case.kind}, {case.name}: {reason}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
