"""The files that export wrote, opened as their users open them: by `load_classifier`, and by the proof."""
from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfpoets.errors import ModelError, one_line
from tfpoets.extractors import TENSORFLOW_BATCH, Engine, LiteRTEngine, LiteRTModel, TensorFlowEngine
from tfpoets.graphs import OWN_MARK, UNKNOWN_SCORE, load_signature, side_by_side

from .metadata import Metadata
from .targets.saved_model import METADATA_PATH
from .targets.tflite import has_metadata, unpacked_metadata

RUN_AGAIN = "Run `tfpoets retrain` to write the classifier's files anew."
# The identifier of a TensorFlow Lite flatbuffer stands behind its first offset.
TFLITE_IDENTIFIER = b"TFL3"


class OpenedFile(NamedTuple):
    """A classifier's file: what it says of itself, and what runs it."""

    metadata: Metadata
    engine: Engine


def open_exported(path: Path, content: bytes | None = None) -> OpenedFile | None:
    """Open a classifier's file that export wrote: a .tflite, a .pb, or the folder of a SavedModel.

    Args:
        path: the file; or the SavedModel's folder, or the folder of its numbered versions (the highest is taken).
        content: of the file, where it has been read already.

    Returns:
        None for a file that something else wrote.

    Raises:
        ModelError: the file is damaged, or does not belong to the metadata beside it.
    """
    if path.is_dir():
        return _open_saved_model(path)
    content = path.read_bytes() if content is None else content
    if content[4:8] == TFLITE_IDENTIFIER:
        return _open_tflite(path, content) if OWN_MARK.encode() in content or has_metadata(content) else None
    return _open_frozen_graph(path, content) if OWN_MARK.encode() in content else None


def _open_tflite(path: Path, content: bytes) -> OpenedFile:
    metadata = unpacked_metadata(content, str(path))
    try:
        model = LiteRTModel(content)
    except ValueError as error:
        raise ModelError(f"{path} is damaged: {one_line(error)}", RUN_AGAIN) from error
    if (model.height, model.width) != (metadata.input.height, metadata.input.width):
        raise ModelError(f"{path} and the metadata inside it do not belong together.", RUN_AGAIN)
    return OpenedFile(metadata, LiteRTEngine(content))


def _open_frozen_graph(path: Path, content: bytes) -> OpenedFile:
    beside = path.with_suffix(".json")
    if not beside.exists():
        raise ModelError(f"{path} has no metadata beside it ({beside.name} is missing), so its labels and its input "
                         "are not known.", RUN_AGAIN)
    metadata = Metadata.from_json(beside.read_bytes(), str(beside))
    if metadata.files.get(path.name) != hashlib.sha256(content).hexdigest():
        raise ModelError(f"{path} is not the file that {beside.name} describes: one of the two is older, or damaged.",
                         RUN_AGAIN)
    outputs = [metadata.nodes.output] + ([UNKNOWN_SCORE] if metadata.unknown else [])
    return OpenedFile(metadata, TensorFlowEngine(path, metadata.nodes.input, *outputs))


def _open_saved_model(folder: Path) -> OpenedFile:
    versions = [sub for sub in folder.iterdir() if sub.name.isdecimal() and (sub / "saved_model.pb").exists()]
    if versions and not (folder / "saved_model.pb").exists():
        folder = max(versions, key=lambda sub: int(sub.name))
    if not (folder / METADATA_PATH).exists():
        raise ModelError(f"{folder} is not a SavedModel that retrain wrote: {METADATA_PATH.as_posix()} is missing.",
                         RUN_AGAIN)
    metadata = Metadata.from_json((folder / METADATA_PATH).read_bytes(), str(folder))
    return OpenedFile(metadata, SavedModelEngine(folder))


class SavedModelEngine:
    """A SavedModel's float signature in TensorFlow, in batches."""

    name = "tensorflow"
    batch_size = TENSORFLOW_BATCH

    def __init__(self, folder: Path):
        self._folder = folder

    def open(self) -> Callable[[np.ndarray], np.ndarray]:
        signature = load_signature(self._folder, "serving_default", RUN_AGAIN)

        def run(photos: np.ndarray) -> np.ndarray:
            answers = signature(image=photos)
            return side_by_side([answers[name] for name in ("probabilities", UNKNOWN_SCORE) if name in answers])
        return run
