"""The list of export targets: every format that a classifier is written in."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tfpoets.errors import ExportError, OptionError, closest_match

from .target import ExportTarget, LoadedFile
from .targets.frozen_graph import FrozenGraphTarget
from .targets.onnx import ONNXTarget
from .targets.saved_model import NumberedSavedModelTarget, SavedModelTarget
from .targets.tfjs import TFJSTarget
from .targets.tflite import TFLITE_TARGETS, TFLiteClassifierTarget

# What every retraining writes.
FROZEN_GRAPH, TFLITE_CLASSIFIER, NUMBERED_SAVED_MODEL = (
    FrozenGraphTarget(), TFLiteClassifierTarget(), NumberedSavedModelTarget())
EXPORT_TARGETS: list[ExportTarget] = [FROZEN_GRAPH, TFLITE_CLASSIFIER, NUMBERED_SAVED_MODEL, *TFLITE_TARGETS,
                                      TFJSTarget(), SavedModelTarget(), ONNXTarget()]


def format_names() -> list[str]:
    """Return the names of the formats that can be asked for."""
    return [target.name for target in EXPORT_TARGETS if target.selectable]


def target_named(name: str) -> ExportTarget:
    """Return the target of a format; raise OptionError, which names the nearest format, where there is none."""
    for target in EXPORT_TARGETS:
        if target.selectable and target.name == name:
            return target
    guess = closest_match(name, format_names())
    more = f"did you mean {guess}?" if guess else f"there are {', '.join(format_names())}."
    raise OptionError(f"`formats`: there is no format {name!r}; {more}")


def check_format_names(names: Sequence[str]) -> None:
    """Raise an OptionError where these are no names, or the one of `target_named` for an unknown one."""
    if isinstance(names, str) or not isinstance(names, Iterable) or not all(isinstance(name, str) for name in names):
        raise OptionError(f"`formats`={names!r} is not a list of names.", f"There are {', '.join(format_names())}.")
    for name in names:
        target_named(name)


def check_formats(names: Sequence[str], folder: Path, stem: str) -> None:
    """Check that formats can be written on this machine, and would replace nothing that no export wrote.

    Args:
        names: of formats.
        folder: where they are to be written.
        stem: the name of the graph without its suffix.

    Raises:
        ExportError: one cannot be written.
    """
    for name in names:
        target = target_named(name)
        reason, path = target.unavailable(), folder / target.file_name(stem)
        if reason:
            raise ExportError(reason)
        if path.is_file() and not target.owns(path):
            raise ExportError(f"{path} is a file, where a folder is to be written.", "Move it away.")
        if path.is_dir() and any(path.iterdir()) and not target.owns(path):
            raise ExportError(f"{path} is a folder of something else; it is left as it is.", "Move it away.")


def open_exported(path: Path, content: bytes | None = None) -> LoadedFile | None:
    """Open a classifier's file that export wrote.

    Args:
        path: of the file; or a SavedModel's folder, or the folder of its numbered versions (the highest is taken).
        content: of the file, where it has been read already.

    Returns:
        None for a file that something else wrote.

    Raises:
        ModelError: the file is damaged, or does not belong to the metadata beside it.
    """
    if content is None:
        content = b"" if path.is_dir() else path.read_bytes()
    for target in EXPORT_TARGETS:
        loaded = target.load(path, content)
        if loaded is not None:
            return loaded
    return None
