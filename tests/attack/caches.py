"""Attack the files that runs keep for later ones: caches, prepared extractors, checkpoints and decoded photos.

    python -m tests.attack.caches --count=300 --seed=0

Each case damages files and retrains. It fails if the run fails or does not end, or if the files of the classifier are
not those that a run without any kept files writes.
"""
from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tfpoets.extractors import CACHE_NAME
from tfpoets.training import NetworkOptions, all_layers

from .small_runs import (MODELS, make_inputs, read_files, replace_folder, retrain, run_attack, time_limit,
                         working_folder)

KEPT, RESULT = Path("kept"), Path("out")
PAGE = 4096
RUNS: dict[str, dict[str, Any]] = {
    "doctor": {}, "views": {"augmented_views": 1, "doctor": False},
    "network": {"network": NetworkOptions(architecture="lenet", epochs=1), "image_size": 12, "doctor": False}}
# What is damaged, and the run that uses it. A killed run leaves a log; version 1 has no checksums of hashes.
TARGETS = {"cache": ("doctor", "views"), "cache of a killed run": ("doctor", "views"),
           "cache of version 1": ("doctor", "views"), "extractor": ("doctor",), "checkpoint": ("network",),
           "decoded photos": ("network",)}
SHARES = (0.35, 0.3, 0.05, 0.1, 0.1, 0.1)
VERSION_1 = """
CREATE TABLE a AS SELECT uri, stamp, digest FROM stamps; DROP TABLE stamps;
CREATE TABLE stamps (uri TEXT PRIMARY KEY, stamp TEXT NOT NULL, digest TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO stamps SELECT * FROM a; DROP TABLE a;
CREATE TABLE a AS SELECT digest, look FROM looks; DROP TABLE looks;
CREATE TABLE looks (digest TEXT PRIMARY KEY, look BLOB NOT NULL) WITHOUT ROWID;
INSERT INTO looks SELECT * FROM a; DROP TABLE a;
CREATE TABLE a AS SELECT name, digest, value FROM measures; DROP TABLE measures;
CREATE TABLE measures (name TEXT NOT NULL, digest TEXT NOT NULL, value REAL NOT NULL, PRIMARY KEY (name, digest))
WITHOUT ROWID; INSERT INTO measures SELECT * FROM a; DROP TABLE a;
PRAGMA user_version = 1; PRAGMA application_id = 0; VACUUM; PRAGMA wal_checkpoint(TRUNCATE);
"""


def run(kind: str) -> dict[str, bytes]:
    """Retrain in one of the ways, and return the files of the classifier."""
    shutil.rmtree(RESULT, ignore_errors=True)
    retrain(output_graph=RESULT / "g.pb", output_labels=RESULT / "l.txt", summaries_dir=RESULT / "summaries",
            bottleneck_dir=KEPT, **RUNS[kind])
    return read_files(RESULT, "g.pb", "g.tflite", "g.json", "l.txt", "g_findings.csv")


def make_pristine() -> dict[str, dict[str, bytes]]:
    """Run everything without kept files, and store what is kept; return the files of each classifier."""
    results = {}
    for kind in RUNS:
        shutil.rmtree(KEPT, ignore_errors=True)
        with mock.patch.object(all_layers, "_delete_pixels"):  # a killed run does not delete them
            results[kind] = run(kind)
        replace_folder(KEPT, Path("pristine", kind))
    replace_folder(Path(MODELS), Path("pristine", MODELS))
    for kind in ("doctor", "views"):
        replace_folder(Path("pristine", kind), KEPT)
        with sqlite3.connect(KEPT / CACHE_NAME) as database:
            database.execute("PRAGMA wal_autocheckpoint = 0")
            for table in ("stamps", "looks", "vectors"):
                database.execute(f"UPDATE {table} SET digest = digest")
                database.commit()
            replace_folder(KEPT, Path("pristine", f"{kind}, killed"))  # with the log of the open database
        database.close()
        replace_folder(Path("pristine", kind), KEPT)
        database = sqlite3.connect(KEPT / CACHE_NAME)
        database.executescript(VERSION_1)
        database.close()
        replace_folder(KEPT, Path("pristine", f"{kind}, version 1"))
    return results


def attack(target: str, kind: str, rng: np.random.Generator, expected: dict[str, bytes]) -> str:
    """Damage files, retrain, and return what is wrong, or ""."""
    suffix = {"cache of a killed run": ", killed", "cache of version 1": ", version 1"}.get(target, "")
    replace_folder(Path("pristine", kind + suffix), KEPT)
    replace_folder(Path("pristine", MODELS), Path(MODELS))
    done = damage(target, rng)
    try:
        with time_limit():
            files = run(kind)
            again = run(kind)
    except Exception as error:  # any error is a failure
        return f"{done}: {type(error).__name__}: {error}"
    differing = [name for name in expected if not expected[name] == files.get(name) == again.get(name)]
    return f"{done}: {', '.join(differing)} differ" if differing else ""


def damage(target: str, rng: np.random.Generator) -> str:
    """Damage one or two files of a kind, and return what was done."""
    if target == "decoded photos":
        if rng.random() < 0.5:  # otherwise, the network is not trained again
            for folder in KEPT.glob("training/*/epochs-1"):
                shutil.rmtree(folder)
        files = list(KEPT.glob("training/*/pixels-*"))
    elif target == "checkpoint":
        files = [path for path in KEPT.glob("training/*/epochs-1/**/*") if path.is_file()]
    elif target == "extractor":
        files = [path for path in Path(MODELS).glob("*/*") if path.is_file()]
    else:
        files = [KEPT / CACHE_NAME, *KEPT.glob(f"{CACHE_NAME}-*")]
    chosen = rng.choice(len(files), size=min(len(files), 1 + (rng.random() < 0.3)), replace=False)
    # Changed bytes in the hashes of version 1 cannot be noticed.
    kinds = ["zero", "zero page", "truncate", "remove", "garbage"]
    if target != "cache of version 1":
        kinds += ["flip", "flip", "flip many", "flip beginning"]
    return " and ".join(damage_file(files[number], str(rng.choice(kinds)), rng) for number in sorted(chosen))


def damage_file(path: Path, kind: str, rng: np.random.Generator) -> str:
    """Damage a file, and return what was done."""
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    if kind.startswith("flip") and len(content):
        end = min(100, len(content)) if kind == "flip beginning" else len(content)
        positions = rng.integers(0, end, 200 if kind == "flip many" else rng.integers(1, 9))
        content[positions] ^= rng.integers(1, 256, len(positions)).astype(np.uint8)
    elif kind == "zero":
        start = rng.integers(0, len(content) + 1)
        content[start:start + rng.integers(1, 2000)] = 0
    elif kind == "zero page":
        for page in rng.integers(0, len(content) // PAGE + 1, rng.integers(1, 4)):
            content[page * PAGE:(page + 1) * PAGE] = 0
    elif kind == "truncate":
        content = content[:rng.integers(0, len(content) + 1)]
    elif kind == "garbage":
        content = rng.integers(0, 256, rng.integers(0, 3 * PAGE)).astype(np.uint8)
    path.write_bytes(content.tobytes())
    if kind == "remove":
        path.unlink()
    return f"{path}, {kind}"


def attack_all(count: int, seed: int) -> dict[str, str]:
    """Run cases in the working folder, and return the failures."""
    make_inputs()
    expected, failures = make_pristine(), {}
    for number in range(seed, seed + count):
        rng = np.random.default_rng([number, 31])
        target = str(rng.choice(list(TARGETS), p=SHARES))
        kind = str(rng.choice(TARGETS[target]))
        reason = attack(target, kind, rng, expected[kind])
        if reason:
            failures[f"seed {number}, {target}, {kind}"] = reason
    return failures


def attack_in(count: int, seed: int, folder: Path) -> dict[str, str]:
    """Run cases in a folder without messages, and return the failures."""
    logging.disable(logging.CRITICAL)
    with working_folder(folder):
        return attack_all(count, seed)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(run_attack(__doc__, 300, attack_in))
