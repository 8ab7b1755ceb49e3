"""The one place that loads a classifier, whatever its form."""
from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from scripts.console import UserError, full_precision, import_tensorflow, one_line, quiet_native_code
from scripts.console.settings import GraphSettings
from scripts.features import (OWN_MARK, TENSORFLOW_BATCH, Engine, LiteRTEngine, LiteRTModel, TensorFlowEngine,
                              side_by_side)

from .graph import UNKNOWN_SCORE
from .metadata import Metadata
from .model import Classifier, Input
from .poets import load_poets_graph, load_poets_tflite
from .targets.saved_model import METADATA_PATH
from .targets.tflite import has_metadata, unpacked_metadata

log = logging.getLogger(__name__)

RUN_AGAIN = "Run retrain to write the classifier's files anew."


def load_classifier(path: Path, stated: GraphSettings = GraphSettings()) -> Classifier:
    """Loads a classifier: a .tflite (alone, without TensorFlow), a .pb, or a SavedModel folder.

    Args:
        path: the file; or the SavedModel's folder, or the folder of its numbered versions (the highest is taken).
        stated: what a person says of a graph that Poets made; what retrain wrote knows its own, and what contradicts
            that is said to be ignored.

    Raises:
        UserError: there is no such classifier, or its files do not belong together.
    """
    classifier = _load(Path(path), stated)
    if classifier.metadata is not None:
        _say_what_is_ignored(classifier, classifier.metadata, stated)
    return classifier


def _load(path: Path, stated: GraphSettings) -> Classifier:
    if path.is_dir():
        return _load_saved_model(path)
    if not path.exists():
        raise UserError(f"There is no classifier at {path}.",
                        "Make one with: python -m scripts.retrain --image_dir=FOLDER_OF_CLASS_FOLDERS")
    content = path.read_bytes()
    # The identifier of a TensorFlow Lite flatbuffer stands behind its first offset.
    if content[4:8] == b"TFL3":
        return _load_tflite(path, content, stated)
    if OWN_MARK.encode() in content:
        return _load_frozen_graph(path, content)
    return load_poets_graph(path, content, stated)


def _say_what_is_ignored(classifier: Classifier, metadata: Metadata, stated: GraphSettings) -> None:
    own = {"input_height": classifier.input.height, "input_width": classifier.input.width,
           "input_layer": metadata.nodes["input"], "output_layer": metadata.nodes["output"]}
    ignored = [f"--{name}" for name, value in stated.given().items() if name != "labels" and value != own.get(name)]
    if stated.labels and not _holds(stated.labels, classifier.labels):
        ignored.append("--labels")
    if ignored:
        log.info("Ignored: %s. This classifier knows its own input and labels.", ", ".join(ignored))


def _holds(path: Path, labels: tuple[str, ...]) -> bool:
    try:
        return tuple(path.read_text("utf-8").splitlines()) == labels
    except (OSError, UnicodeDecodeError):
        return False


def _load_tflite(path: Path, content: bytes, stated: GraphSettings) -> Classifier:
    if OWN_MARK.encode() not in content and not has_metadata(content):
        return load_poets_tflite(path, content, stated)
    metadata = unpacked_metadata(content, str(path))
    try:
        model = LiteRTModel(content)
    except ValueError as error:
        raise UserError(f"{path} is damaged: {one_line(error)}", RUN_AGAIN) from error
    if (model.height, model.width) != (metadata.input["height"], metadata.input["width"]):
        raise UserError(f"{path} and the metadata inside it do not belong together.", RUN_AGAIN)
    return _described(metadata, LiteRTEngine(content))


def _load_frozen_graph(path: Path, content: bytes) -> Classifier:
    beside = path.with_suffix(".json")
    if not beside.exists():
        raise UserError(f"{path} has no metadata beside it ({beside.name} is missing), so its labels and its input "
                        "are not known.", RUN_AGAIN)
    metadata = Metadata.from_json(beside.read_text("utf-8"), str(beside))
    if metadata.files.get(path.name) != hashlib.sha256(content).hexdigest():
        raise UserError(f"{path} is not the file that {beside.name} describes: one of the two is older, or damaged.",
                        RUN_AGAIN)
    outputs = [metadata.nodes["output"]] + ([UNKNOWN_SCORE] if metadata.unknown else [])
    return _described(metadata, TensorFlowEngine(path, metadata.nodes["input"], *outputs))


def _load_saved_model(folder: Path) -> Classifier:
    versions = [sub for sub in folder.iterdir() if sub.name.isdecimal() and (sub / "saved_model.pb").exists()]
    if versions and not (folder / "saved_model.pb").exists():
        folder = max(versions, key=lambda sub: int(sub.name))
    if not (folder / METADATA_PATH).exists():
        raise UserError(f"{folder} is not a SavedModel that retrain wrote: {METADATA_PATH.as_posix()} is missing.",
                        RUN_AGAIN)
    metadata = Metadata.from_json((folder / METADATA_PATH).read_text("utf-8"), str(folder))
    return _described(metadata, SavedModelEngine(folder))


def _described(metadata: Metadata, engine: Engine) -> Classifier:
    return Classifier(metadata.labels, Input(metadata.input["height"], metadata.input["width"]), engine, metadata)


class SavedModelEngine:
    """A SavedModel's float signature in TensorFlow, in batches."""

    name = "tensorflow"
    batch_size = TENSORFLOW_BATCH

    def __init__(self, folder: Path):
        self._folder = folder

    def open(self) -> Callable[[np.ndarray], np.ndarray]:
        signature = load_signature(self._folder, "serving_default")

        def run(photos: np.ndarray) -> np.ndarray:
            answers = signature(image=photos)
            return side_by_side([answers[name] for name in ("probabilities", UNKNOWN_SCORE) if name in answers])
        return run


def load_signature(folder: Path, name: str) -> Callable[..., dict[str, np.ndarray]]:
    """A signature of a SavedModel as a function from arrays to arrays, each by name, computed in full precision."""
    tensorflow = import_tensorflow()
    try:
        with quiet_native_code():
            loaded = tensorflow.saved_model.load(str(folder))
    except Exception as error:  # whatever a damaged file makes TensorFlow raise
        raise UserError(f"The SavedModel {folder} cannot be loaded: {one_line(error)}", RUN_AGAIN) from error
    signature = loaded.signatures[name]

    def call(**inputs: Any) -> dict[str, np.ndarray]:
        with full_precision:
            answers = signature(**{name: tensorflow.constant(value) for name, value in inputs.items()})
        return {output: tensor.numpy() for output, tensor in answers.items()}
    call.model = loaded  # type: ignore[attr-defined]  # its variables live as long as the function
    return call
