"""The list of export targets, and functions that look up a target.

STEM is the file name of the graph without its suffix:

====================  =========================  ============  =============================
name                  file or folder             verified in   written
====================  =========================  ============  =============================
graph (.pb)           STEM.pb                    TensorFlow    by every retrain run
classifier (.tflite)  STEM.tflite                LiteRT        by every retrain run
SavedModel            the next numbered version  TensorFlow    if `saved_model_dir` is set
tflite                STEM_float32.tflite        LiteRT        on request
tflite_float16        STEM_float16.tflite        LiteRT        on request
tflite_dynamic        STEM_dynamic.tflite        LiteRT        on request
tflite_int8           STEM_int8.tflite           LiteRT        on request
tfjs                  STEM_tfjs/                 TensorFlow    on request
saved_model           STEM_saved_model/          TensorFlow    on request
onnx                  STEM.onnx                  ONNX Runtime  on request
keras                 STEM.keras                 Keras         on request
====================  =========================  ============  =============================
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from tfpoets.errors import ExportError, ModelError, OptionError, closest_match
from tfpoets.graphs import FirstRun, read_model_file

from .target import ExportTarget, LoadedFile
from .targets.frozen_graph import FrozenGraphTarget
from .targets.keras_file import KerasTarget
from .targets.onnx import ONNXTarget
from .targets.saved_model import NumberedSavedModelTarget, SavedModelTarget
from .targets.tfjs import TFJSTarget
from .targets.tflite import TFLITE_TARGETS, TFLiteClassifierTarget

# The targets of every retrain run. The numbered SavedModel is written only if there is a `saved_model_dir`.
FROZEN_GRAPH, TFLITE_CLASSIFIER, NUMBERED_SAVED_MODEL = (
    FrozenGraphTarget(), TFLiteClassifierTarget(), NumberedSavedModelTarget())
EXPORT_TARGETS: list[ExportTarget] = [FROZEN_GRAPH, TFLITE_CLASSIFIER, NUMBERED_SAVED_MODEL, *TFLITE_TARGETS,
                                      TFJSTarget(), SavedModelTarget(), ONNXTarget(), KerasTarget()]
# Part of the key of graphs whose metadata was written on this machine.
OWN_METADATA = "own metadata"


def format_names() -> list[str]:
    """Return the names of the formats that can be requested."""
    return [target.name for target in EXPORT_TARGETS if target.selectable]


def find_target(name: str) -> ExportTarget:
    """Return the target of a format.

    Raises:
        OptionError: There is no such format. The message suggests the most similar name.
    """
    for target in EXPORT_TARGETS:
        if target.selectable and target.name == name:
            return target
    guess = closest_match(name, format_names())
    hint = f"did you mean {guess}?" if guess else f"choose from {', '.join(format_names())}."
    raise OptionError(f"`formats`: there is no format {name!r}; {hint}")


def check_format_names(names: Sequence[str]) -> None:
    """Raise an OptionError unless `names` is a list of names of formats."""
    if isinstance(names, str) or not isinstance(names, Iterable) or not all(isinstance(name, str) for name in names):
        raise OptionError(f"`formats`={names!r} is not a list of names.", f"Choose from {', '.join(format_names())}.")
    for name in names:
        find_target(name)


def check_formats(names: Sequence[str], folder: Path, stem: str) -> None:
    """Check that formats can be written on this machine, and that no unrelated file or folder is in the way.

    Args:
        names: The names of the formats.
        folder: The folder of the files.
        stem: The file name of the graph without its suffix.

    Raises:
        OptionError: A format does not exist.
        ExportError: A format cannot be written.
    """
    for name in names:
        target = find_target(name)
        check_destination(target, folder / target.file_name(stem))


def check_destination(target: ExportTarget, path: Path) -> None:
    """Raise an ExportError if a format cannot be written on this machine, or an unrelated file is in the way."""
    reason = target.unavailable_reason()
    if reason:
        raise ExportError(reason)
    if path.is_file() and not target.may_replace(path):
        raise ExportError(f"{path} is a file, but a folder must be written there.", "Move the file.")
    if path.is_dir() and any(path.iterdir()) and not target.may_replace(path):
        raise ExportError(f"{path} was not written by an export, so it is not replaced.", "Move the folder.")


def stale_formats(folder: Path, stem: str) -> list[Path]:
    """Return the files that were made from a graph and become obsolete when it is replaced; see `stale_paths`.

    Args:
        folder: The folder of the graph.
        stem: The file name of the graph without its suffix.
    """
    paths = [(target, folder / target.file_name(stem)) for target in EXPORT_TARGETS if target.selectable]
    return [stale for target, path in paths if path.exists() for stale in target.stale_paths(path)]


def check_classifier_exists(path: Path) -> None:
    """Raise ModelError if there is no file or folder at the path of a classifier."""
    if path.is_symlink() and not path.exists():
        raise ModelError(f"{path} is a link that does not lead to a file.", "Set `graph` to the file of a classifier.")
    if path.exists() and not path.is_file() and not path.is_dir():
        # A named pipe would be waited for, and a device could be endless.
        raise ModelError(f"{path} is not a regular file.", "Set `graph` to the file of a classifier.")
    if not path.exists():
        raise ModelError(f"There is no classifier at {path}.",
                         "Create one with: `tfpoets retrain image_dir=FOLDER_OF_CLASS_FOLDERS`")


def remember_models(paths: Iterable[Path]) -> None:
    """Remember that files, which were written and verified here, need not be checked when they are loaded."""
    for path in paths:
        if path.suffix in (".pb", ".tflite") or (path / "saved_model.pb").is_file():
            FirstRun(path).remember()


def remember_own_graph(path: Path) -> None:
    """Remember that the metadata of a graph was written here, so that the locations in it are those of this user."""
    FirstRun(path, OWN_METADATA).remember()


def has_own_metadata(path: Path) -> bool:
    """Return whether the metadata of a graph was written on this machine."""
    return FirstRun(path, OWN_METADATA).has_happened()


def open_exported(path: Path, content: bytes | None = None, trust_model: bool = False) -> LoadedFile | None:
    """Open an exported classifier.

    Args:
        path: The path of the file or the SavedModel folder. In a folder of numbered versions, the highest one is
            opened.
        content: The content of the file, if it has already been read.
        trust_model: Whether the file is loaded without checking what it does.

    Returns:
        None if no export wrote the file.

    Raises:
        ModelError: The file is damaged, does not match its metadata, or might do something else than label photos.
    """
    if content is None:
        content = b"" if path.is_dir() else read_model_file(path)
    for target in EXPORT_TARGETS:
        if not trust_model:
            target.check(path, content)
        loaded = target.load(path, content)
        if loaded is not None:
            folder = loaded.metadata.folder or path.parent
            return loaded._replace(metadata=replace(loaded.metadata, folder=folder))
    return None
