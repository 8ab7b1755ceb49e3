"""Run a model from another person for the first time in a process of its own, in case it crashes or never ends.

A model that ran there without a problem is remembered by the hash of its files, so this happens once for each model.
Models that this program wrote and verified are remembered as well.
"""
from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tfpoets.errors import ModelError, TfpoetsError, one_line

from .safety import DAMAGED_REMEDY, TRUST_REMEDY

# Part of the key. Increase it if models that ran before must be run in their own process again.
VERSION = 1
LITERT_SECONDS, TENSORFLOW_SECONDS = 60.0, 180.0
# A network for photos needs less than a gigabyte, and a few times the size of its file while it is loaded.
MEMORY_BYTES, MEMORY_PER_FILE_BYTE = 4 << 30, 8
_remembered: set[str] = set()


def model_key(path: Path, content: bytes | None = None, detail: str = "") -> str:
    """Return a string that identifies a model by the content of its files.

    Args:
        path: A file, or the folder of a SavedModel. The metadata next to a .pb is part of it.
        content: The content of the file, if it has already been read.
        detail: Text that determines how the model is run.
    """
    digest = hashlib.blake2b(f"{VERSION}\0{detail}\0".encode(), digest_size=20)
    if content is not None:
        digest.update(content)
    for file in _model_files(path):
        if file == path and content is not None:
            continue
        with contextlib.suppress(OSError), open(file, "rb") as stream:
            digest.update(b"" if file == path else f"\0{file.name}\0{_size(file)}\0".encode())
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def remember_model(path: Path, detail: str = "") -> None:
    """Remember that a model, which this program wrote and verified, runs without a problem; see `model_key`."""
    _remember(model_key(path, detail=detail))


def run_first(key: str, source: Path, function: Callable[..., Any], *arguments: Any, library: str) -> None:
    """Run a function that loads and runs a model in a limited process, unless the model ran before.

    Args:
        key: The key of the model.
        source: The path of the model.
        function: A module-level function, which raises an error if the model cannot be used.
        *arguments: Its arguments, which are pickled.
        library: The library that it needs: "litert", "tensorflow" or "keras".

    Raises:
        ModelError: The model crashes, takes too long or needs too much memory.
        TfpoetsError: The error that the function raised.
    """
    if is_remembered(key):
        return
    from tfpoets.limited_process import LimitError, run_limited  # imported here because label_image rarely needs it
    seconds, modules = {"litert": (LITERT_SECONDS, ()), "tensorflow": (TENSORFLOW_SECONDS, ("tensorflow",)),
                        "keras": (TENSORFLOW_SECONDS, ("keras",))}[library]
    memory_bytes = MEMORY_BYTES + MEMORY_PER_FILE_BYTE * sum(_size(file) for file in _model_files(source))
    try:
        run_limited(function, *arguments, seconds=seconds, memory_bytes=memory_bytes, modules=modules)
    except LimitError as error:
        raise ModelError(f"{source} cannot be used: it {error} when it runs for the first time.",
                         f"{DAMAGED_REMEDY} {TRUST_REMEDY}") from error
    except OSError as error:
        raise ModelError(f"No process can be started to run {source} for the first time: {one_line(error)}",
                         TRUST_REMEDY) from error
    except TfpoetsError:
        raise
    except Exception as error:  # a damaged file can make TensorFlow and LiteRT raise nearly anything
        raise ModelError(f"{source} is damaged: {one_line(error)}", DAMAGED_REMEDY) from error
    _remember(key)


def is_remembered(key: str) -> bool:
    """Return whether a model ran before without a problem, or was written by this program."""
    return key in _remembered or (memory_folder() / key).exists()


def memory_folder() -> Path:
    """Return the folder with an empty file for each model that is remembered, in the cache folder of the user."""
    home = Path(os.path.expanduser("~"))
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "tfpoets" / "models_that_ran"


def _remember(key: str) -> None:
    _remembered.add(key)
    with contextlib.suppress(OSError):  # a read-only home: the model is run in its own process each time
        memory_folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        (memory_folder() / key).touch()


def _model_files(path: Path) -> Iterable[Path]:
    """Return the files that determine what a model computes."""
    if not path.is_dir():
        return [path, *_metadata_files(path)]
    return [path / "saved_model.pb", *sorted((path / "variables").glob("variables.*")),
            *sorted((path / "assets").glob("*")), path / "assets.extra" / "metadata.json"]


def _metadata_files(path: Path) -> list[Path]:
    return [path.with_suffix(".json")] if path.suffix == ".pb" else []


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
