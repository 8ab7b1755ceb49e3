"""Load a classifier of any format."""
from __future__ import annotations

import logging
import os
from pathlib import Path

from tfpoets.errors import ModelError
from tfpoets.exporting import (METADATA_PATH, RETRAIN_REMEDY, TFLITE_IDENTIFIER, Metadata, check_classifier_exists,
                               open_exported)

from .classifier import Classifier, PhotoInput
from .legacy_classifier import LegacyGraphOptions, load_legacy_graph, load_legacy_tflite

log = logging.getLogger(__name__)


def load_classifier(path: str | os.PathLike[str], overrides: LegacyGraphOptions = LegacyGraphOptions()) -> Classifier:
    """Load a classifier from a .tflite (without TensorFlow), a .pb, or a SavedModel folder.

    Args:
        path: The path of the file or the SavedModel folder. In a folder of numbered versions, the highest one is
            loaded.
        overrides: Labels and input of a graph of TensorFlow for Poets. They are ignored, with a note, for a file that
            retrain wrote, because its metadata contains them.

    Raises:
        ModelError: There is no classifier at the path, it is damaged, or its files do not match each other.
    """
    classifier = _load(Path(path), overrides)
    if classifier.metadata is not None:
        _log_ignored_options(classifier, classifier.metadata, overrides)
    return classifier


def _load(path: Path, overrides: LegacyGraphOptions) -> Classifier:
    """Load a classifier without logging anything."""
    check_classifier_exists(path)
    content = b"" if path.is_dir() else path.read_bytes()
    opened = open_exported(path, content)
    if opened is not None:
        metadata, engine = opened
        return Classifier(metadata.labels, PhotoInput(metadata.input.height, metadata.input.width), engine, metadata)
    if path.is_dir():
        raise ModelError(f"{path} is not a SavedModel that retrain wrote: {METADATA_PATH.as_posix()} is missing.",
                         RETRAIN_REMEDY)
    load = load_legacy_tflite if content[4:8] == TFLITE_IDENTIFIER else load_legacy_graph
    return load(path, content, overrides)


def _log_ignored_options(classifier: Classifier, metadata: Metadata, overrides: LegacyGraphOptions) -> None:
    """Log the options that differ from the metadata."""
    actual = {"input_height": classifier.input.height, "input_width": classifier.input.width,
              "input_layer": metadata.nodes.input, "output_layer": metadata.nodes.output}
    ignored = [f"`{name}`" for name, value in overrides.specified().items()
               if name != "labels" and value != actual.get(name)]
    if overrides.labels and not _contains_labels(overrides.labels, classifier.labels):
        ignored.append("`labels`")
    if ignored:
        log.info("Ignored: %s. The metadata of this classifier specifies its input and labels.", ", ".join(ignored))


def _contains_labels(path: Path, labels: tuple[str, ...]) -> bool:
    try:
        return tuple(path.read_text("utf-8").splitlines()) == labels
    except (OSError, UnicodeDecodeError):
        return False
