"""Run a model from another person for the first time in a separate process, in case it crashes or never ends.

A model that ran there without a problem is remembered, so this happens once for each model. Models that this program
wrote and verified are remembered as well. They are recognized by the hash of their files. Computing it takes time, so
files that have not changed since then are recognized by their path, size and times.
"""
from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tfpoets.errors import ModelError, TfpoetsError, one_line
from tfpoets.publication import pending_path

from .model_files import DAMAGED_REMEDY, TRUST_REMEDY

# Part of the keys. Increase it if models that ran before must be checked and run in their own process again.
VERSION = 1
# For each library: how many seconds a model may take, and the modules to import before this time starts.
LIMITS: dict[str, tuple[float, tuple[str, ...]]] = {
    "litert": (60.0, ()), "tensorflow": (180.0, ("tensorflow",)), "keras": (180.0, ("keras",))}
# A network for photos needs less than a gigabyte, and a few times the size of its file while it is loaded.
MEMORY_BYTES, MEMORY_PER_FILE_BYTE = 4 << 30, 8
# The first byte of a GraphDef: the tag of its nodes (graph.proto).
GRAPH_START = b"\n"
_remembered: set[str] = set()
log = logging.getLogger(__name__)


class FirstRun:
    """The first run of a model.

    Args:
        path: A file, or the folder of a SavedModel. The metadata next to a .pb is part of the model, and so is that
            of a publication that was not finished (see `pending_path`).
        detail: Text that determines how the model is run, and which checks it must pass.
    """

    def __init__(self, path: Path, detail: str = ""):
        self._path, self._detail = path, detail
        self._files = _model_files(path)

    def has_happened(self) -> bool:
        """Return whether the model ran before without a problem, or was written by this program."""
        if _is_remembered(self._quick_key()):
            return True
        if _is_remembered(self._content_key()):
            _remember(self._quick_key())
            return True
        return False

    def remember(self) -> None:
        """Remember that the model, which this program wrote and verified, runs without a problem."""
        _remember(self._quick_key())
        _remember(self._content_key())

    def run(self, function: Callable[..., Any], *arguments: Any, library: str) -> None:
        """Run a function that loads and runs the model in a limited process, and remember that it ran.

        Args:
            function: A module-level function, which raises an error if the model cannot be used.
            *arguments: Its arguments, which are pickled.
            library: The library that it needs, a key of LIMITS.

        Raises:
            ModelError: The model crashes, takes too long or needs too much memory.
            TfpoetsError: The error that the function raised.
        """
        from tfpoets import limited_process  # imported here because label_image rarely needs it
        seconds, modules = LIMITS[library]
        memory_bytes = MEMORY_BYTES + MEMORY_PER_FILE_BYTE * sum(_size(file) for file in self._files)
        key, path = self._content_key(), self._path
        try:
            limited_process.run_limited(function, *arguments, seconds=seconds, memory_bytes=memory_bytes,
                                        modules=modules)
        except limited_process.LimitError as error:
            raise ModelError(f"{path} cannot be used: it {error}.", f"{DAMAGED_REMEDY} {TRUST_REMEDY}") from error
        except limited_process.StartError as error:  # in a program without an interpreter, such as PyInstaller makes
            log.warning("No process can be started to try %s, so it runs in this one: %s", path, one_line(error))
            return
        except TfpoetsError:
            raise
        except Exception as error:  # a damaged file can make TensorFlow and LiteRT raise nearly anything
            raise ModelError(f"{path} is damaged: {one_line(error)}", DAMAGED_REMEDY) from error
        if key == FirstRun(path, self._detail)._content_key():  # otherwise the files were replaced in the meantime
            self.remember()

    def _quick_key(self) -> str:
        """Return a string that changes if the files are replaced or changed, without reading them."""
        values = [f"{VERSION}\0{self._detail}\0{os.path.abspath(self._path)}"]
        for file in self._files:
            with contextlib.suppress(OSError):
                stat = os.stat(file)
                values.append(f"{file.name}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}\0{stat.st_ino}")
        return hashlib.sha256("\0".join(values).encode("utf-8", "surrogateescape")).hexdigest()

    def _content_key(self) -> str:
        """Return a hash of the content of the files."""
        digest = hashlib.sha256(f"{VERSION}\0{self._detail}\0".encode())
        for file in self._files:
            with contextlib.suppress(OSError), open(file, "rb") as stream:
                # A copy with another name is the same model.
                name = "" if file == self._path else file.name
                digest.update(f"{name}\0{_size(file)}\0".encode("utf-8", "surrogateescape"))
                while block := stream.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()


def tested_models_folder() -> Path:
    """Return the folder with an empty file for each model that is remembered, in the cache folder of the user."""
    home = Path(os.path.expanduser("~"))
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "tfpoets" / "models_that_ran"


def _is_remembered(key: str) -> bool:
    return key in _remembered or (tested_models_folder() / key).exists()


def _remember(key: str) -> None:
    _remembered.add(key)
    try:
        tested_models_folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        (tested_models_folder() / key).touch()
    except OSError as error:  # a read-only home
        log.debug("%s cannot be written (%s), so models are tried in a process of their own each time.",
                  tested_models_folder(), error.strerror)


def _model_files(path: Path) -> list[Path]:
    """Return the files that determine what a model computes."""
    if not path.is_dir():
        return [path, *_metadata_files(path)]
    return [path / "saved_model.pb", *sorted((path / "variables").glob("variables.*")),
            *sorted((path / "assets").glob("*")), path / "assets.extra" / "metadata.json"]


def _metadata_files(path: Path) -> list[Path]:
    """Return the files with metadata that may be used for a graph, whatever its name ends in."""
    if path.suffix != ".pb":
        with contextlib.suppress(OSError), open(path, "rb") as stream:
            if stream.read(1) != GRAPH_START:
                return []
    metadata = path.with_suffix(".json")
    pending = pending_path(metadata)
    return [metadata] if pending is None else [metadata, pending]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
