"""Load a classifier of any format."""
from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from tfpoets.errors import ModelError, check_bool, join_names
from tfpoets.escaping import has_unsafe_characters
from tfpoets.exporting import (METADATA_PATH, RETRAIN_REMEDY, TFLITE_IDENTIFIER, UNKNOWN_LABEL, UNSURE_LABEL, Metadata,
                               check_classifier_exists, open_exported)
from tfpoets.graphs import TRUST_WARNING, find_placeholder, read_model_file

from .classifier import Classifier, PhotoInput
from .legacy_classifier import LegacyGraphOptions, load_legacy_graph, load_legacy_tflite, read_labels

log = logging.getLogger(__name__)

MAX_RENAMED_LABELS = 5
# Larger files are not label files.
MAX_LABEL_FILE_BYTES = 1 << 20


def load_classifier(path: str | os.PathLike[str], overrides: LegacyGraphOptions = LegacyGraphOptions(),
                    trust_model: bool = False) -> Classifier:
    """Load a classifier from a .tflite (without TensorFlow), a .pb, or a SavedModel folder.

    Args:
        path: The path of the file or the SavedModel folder. In a folder of numbered versions, the highest one is
            loaded.
        overrides: Labels and input of a graph of TensorFlow for Poets. For a file that retrain wrote, `labels`
            contains new names for the same classes, and the other values are ignored, because the metadata contains
            them. A value that is ignored is logged.
        trust_model: Whether the classifier is loaded without checking what it does (docs/security.md).

    Raises:
        ModelError: There is no classifier at the path, it is damaged, its files do not match each other, or it might
            do something else than label photos.
    """
    path = Path(path)
    check_bool("trust_model", trust_model)
    if trust_model:
        log.warning(TRUST_WARNING)
    classifier = _load(path, overrides, trust_model)
    if classifier.metadata is None:
        return classifier
    if overrides.labels is None:
        _warn_about_changed_label_file(classifier, classifier.metadata, path)
    _log_ignored_options(classifier, classifier.metadata, overrides)
    labels = _new_labels(classifier, overrides.labels)
    if not labels:
        return classifier
    _log_renamed_classes(classifier.labels, labels, overrides.labels)
    return classifier.with_labels(labels)


def _load(path: Path, overrides: LegacyGraphOptions, trust_model: bool) -> Classifier:
    """Load a classifier without logging anything."""
    check_classifier_exists(path)
    if path.is_dir():
        _check_folder(path)
    content = b"" if path.is_dir() else read_model_file(path)
    opened = open_exported(path, content, trust_model)
    if opened is not None:
        metadata, engine = opened
        return Classifier(metadata.labels, PhotoInput(metadata.input.height, metadata.input.width), engine, metadata)
    if path.is_dir():
        raise ModelError(f"{path} is not a SavedModel that retrain wrote: {METADATA_PATH.as_posix()} is missing.",
                         RETRAIN_REMEDY)
    load = load_legacy_tflite if content[4:8] == TFLITE_IDENTIFIER else load_legacy_graph
    return load(path, content, overrides, trust_model)


def _check_folder(folder: Path) -> None:
    """Raise a ModelError if a file of a SavedModel was not downloaded."""
    placeholder = find_placeholder(folder)
    if placeholder:
        file, kind = placeholder
        raise ModelError(f"{file} {kind.description}.", kind.classifier_remedy)


def _log_ignored_options(classifier: Classifier, metadata: Metadata, overrides: LegacyGraphOptions) -> None:
    """Log the options, other than `labels`, that differ from the metadata and are not used."""
    actual = {"input_height": classifier.input.height, "input_width": classifier.input.width,
              "input_layer": metadata.nodes.input, "output_layer": metadata.nodes.output}
    ignored = [f"`{name}`" for name, value in overrides.specified().items()
               if name != "labels" and value != actual.get(name)]
    if ignored:
        log.info("Ignored: %s. The metadata of this classifier specifies its input.", ", ".join(ignored))


def _new_labels(classifier: Classifier, label_file: Path | None) -> list[str]:
    """Return the new names that a label file contains for the classes, or an empty list if there are none.

    A file that cannot be used is ignored, with a note that states why.
    """
    if label_file is None:
        return []
    try:
        labels = read_labels(label_file)
        problem = "" if labels == list(classifier.labels) else _rename_problem(classifier, labels, label_file)
    except ModelError as error:
        labels, problem = [], error.problem
    if problem:
        log.info("Ignored: `labels`. %s The labels inside the classifier are used.", problem)
    return [] if problem or labels == list(classifier.labels) else labels


def _log_renamed_classes(labels: Sequence[str], new_labels: Sequence[str], label_file: Path | None) -> None:
    renamed = [f"{old} is called {new}" for old, new in zip(labels, new_labels) if old != new]
    log.info("Labels from %s: %s.", label_file, join_names(renamed, MAX_RENAMED_LABELS))


def _rename_problem(classifier: Classifier, labels: Sequence[str], label_file: Path) -> str:
    """Return why the lines of a label file cannot be new names for the classes of a classifier, or "".

    A file with the same labels in a different order, or with a different number of labels, was not written for
    this classifier.
    """
    n_classes = len(classifier.labels)
    if len(labels) != n_classes:
        lines = "1 line" if len(labels) == 1 else f"{len(labels)} lines"
        return f"{label_file} has {lines}, but the classifier has {n_classes} classes."
    empty = next((number for number, label in enumerate(labels, 1) if not label.strip()), None)
    if empty:
        return f"Line {empty} of {label_file} is empty."
    unsafe = next((number for number, label in enumerate(labels, 1) if has_unsafe_characters(label)), None)
    if unsafe:
        return f"Line {unsafe} of {label_file} contains a control character or an invisible character."
    if len(set(labels)) < n_classes:
        repeated = next(label for label in labels if labels.count(label) > 1)
        return f"{label_file} contains {repeated} more than once."
    if set(labels) == set(classifier.labels):
        return f"{label_file} contains the labels of the classifier in another order."
    if classifier.unknown_threshold is not None and UNKNOWN_LABEL in labels:
        return f"{label_file} contains {UNKNOWN_LABEL}, which stands for photos of none of the classes."
    if classifier.unsure_threshold is not None and UNSURE_LABEL in labels:
        return f"{label_file} contains {UNSURE_LABEL}, which stands for photos without an answer."
    return ""


def _warn_about_changed_label_file(classifier: Classifier, metadata: Metadata, path: Path) -> None:
    """Warn if the labels in the file that retrain wrote next to a classifier are not those of the classifier."""
    files = metadata.options.get("files")
    # Commit f862d5e stored all options in one group.
    written = (files if isinstance(files, dict) else metadata.options).get("output_labels")
    if not isinstance(written, str) or path.is_dir():
        return
    label_file = path.with_name(Path(written).name)
    try:
        labels = read_labels(label_file) if label_file.stat().st_size <= MAX_LABEL_FILE_BYTES else []
    except (OSError, ValueError, ModelError):
        return
    if labels == list(classifier.labels):
        return
    is_usable = not _rename_problem(classifier, labels, label_file)
    option = f"`labels`={shlex.quote(str(label_file))}"
    log.warning("%s differs from the labels inside the classifier, which are used. %s", label_file,
                f"To use the names in the file, add {option} to the command." if is_usable else
                "To rename a class, rename its folder and retrain.")
