"""The one place that loads a classifier, whatever its format."""
from __future__ import annotations

import logging
import os
from pathlib import Path

from tfpoets.errors import ModelError
from tfpoets.exporting import METADATA_PATH, RETRAIN_REMEDY, TFLITE_IDENTIFIER, Metadata, open_exported

from .classifier import Classifier, PhotoInput
from .legacy_classifier import LegacyGraphOptions, load_legacy_graph, load_legacy_tflite

log = logging.getLogger(__name__)


def load_classifier(path: str | os.PathLike[str], stated: LegacyGraphOptions = LegacyGraphOptions()) -> Classifier:
    """Load a classifier: a .tflite (alone, without TensorFlow), a .pb, or a SavedModel folder.

    Args:
        path: the file; or the SavedModel's folder, or the folder of its numbered versions (the highest is taken).
        stated: what is known of a graph of TensorFlow for Poets. A file that retrain wrote states this itself; a
            note says what is ignored.

    Raises:
        ModelError: there is no such classifier, or its files do not belong together.
    """
    classifier = _load(Path(path), stated)
    if classifier.metadata is not None:
        _log_what_is_ignored(classifier, classifier.metadata, stated)
    return classifier


def _load(path: Path, stated: LegacyGraphOptions) -> Classifier:
    if not path.exists():
        raise ModelError(f"There is no classifier at {path}.",
                         "Make one with: `tfpoets retrain image_dir=FOLDER_OF_CLASS_FOLDERS`")
    content = b"" if path.is_dir() else path.read_bytes()
    opened = open_exported(path, content)
    if opened is not None:
        metadata, engine = opened
        return Classifier(metadata.labels, PhotoInput(metadata.input.height, metadata.input.width), engine, metadata)
    if path.is_dir():
        raise ModelError(f"{path} is not a SavedModel that retrain wrote: {METADATA_PATH.as_posix()} is missing.",
                         RETRAIN_REMEDY)
    load = load_legacy_tflite if content[4:8] == TFLITE_IDENTIFIER else load_legacy_graph
    return load(path, content, stated)


def _log_what_is_ignored(classifier: Classifier, metadata: Metadata, stated: LegacyGraphOptions) -> None:
    own = {"input_height": classifier.input.height, "input_width": classifier.input.width,
           "input_layer": metadata.nodes.input, "output_layer": metadata.nodes.output}
    ignored = [f"`{name}`" for name, value in stated.given().items() if name != "labels" and value != own.get(name)]
    if stated.labels and not _holds(stated.labels, classifier.labels):
        ignored.append("`labels`")
    if ignored:
        log.info("Ignored: %s. This classifier knows its own input and labels.", ", ".join(ignored))


def _holds(path: Path, labels: tuple[str, ...]) -> bool:
    try:
        return tuple(path.read_text("utf-8").splitlines()) == labels
    except (OSError, UnicodeDecodeError):
        return False
