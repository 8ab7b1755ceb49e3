"""A retrained graph in further formats, each proven on photos before it is kept."""
from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import Photo, read_dataset
from tfpoets.errors import ModelError, TfpoetsError
from tfpoets.extractors import EngineRunner, TensorFlowEngine
from tfpoets.files import as_location, as_path, check_outside_image_dir, check_output_folder
from tfpoets.tf_runtime import import_tensorflow

from .export_targets import FROZEN_GRAPH, check_format_names, check_formats, open_exported, target_named
from .exportable import Exportable, load_readable, spread
from .metadata import Metadata
from .proof import ExportedFile, LoadedProof, measure, unproven
from .publish import Job, Staging
from .target import TFLITE_IDENTIFIER
from .training_photos import are_training_photos

log = logging.getLogger(__name__)

MAX_PROOF_PHOTOS = 500


def export(graph: Path | str, formats: Sequence[str], output_dir: Path | str = Path("tf_files/exported"),
           image_dir: Path | str | None = None, on_event: Callable[[ExportedFile], None] = lambda row: None
           ) -> list[ExportedFile]:
    """Write a retrained graph in further formats, and prove each file on photos it was not trained on.

    Args:
        graph: the .pb that retrain wrote.
        formats: names of formats, as `format_names` lists them.
        output_dir: where the files go; made if it is missing.
        image_dir: photos to prove the files on, and to see the range of every number for tflite_int8, one folder per
            class; None: those of its training.
        on_event: is told of the graph and of each file as soon as it is in place.

    Returns:
        The graph itself first, then a row for each format.

    Raises:
        OptionError: there is no format of a name.
        ModelError: `graph` is no graph that retrain wrote.
        ExportError: a format cannot be written, or does not give the graph's answers; the files that came before stay.
    """
    check_format_names(formats)
    graph, output_dir = as_path("graph", graph), as_path("output_dir", output_dir)
    if image_dir is not None:
        image_dir = as_location("image_dir", image_dir)
        check_outside_image_dir(output_dir, "output_dir", image_dir, output_dir)
    check_output_folder(output_dir)
    source = open_graph(graph)
    check_formats(formats, output_dir, source.name)
    photos = _photos(source.metadata, image_dir)
    known = are_training_photos(source.metadata, photos)
    trained = [photo for photo, is_known in zip(photos, known) if is_known]
    new = [photo for photo, is_known in zip(photos, known) if not is_known]
    if not photos:
        log.warning("There are no photos to prove the files on: give some with `image_dir`.")
    elif not new:
        log.warning("The classifier was trained on all of these photos: the files can be compared, but the accuracy "
                    "says nothing about new photos.")
    if "tflite_int8" in formats and not trained and new:
        log.warning("No photo that the classifier was trained on is here; tflite_int8 sees the range of its numbers "
                    "in the photos that prove it.")
    return convert(replace(source, training_photos=trained or new), formats, output_dir, new or trained, on_event)


def open_graph(path: Path | str, training_photos: Sequence[Photo] = ()) -> Exportable:
    """Open a .pb that retrain wrote, to write it in other formats.

    Raises:
        ModelError: it is something else, or does not belong to the metadata beside it.
    """
    path = Path(path)
    if not path.exists():
        raise ModelError(f"There is no classifier at {path}.",
                         "Make one with: `tfpoets retrain image_dir=FOLDER_OF_CLASS_FOLDERS`")
    content = path.read_bytes() if path.is_file() else b""
    if path.is_dir() or content[4:8] == TFLITE_IDENTIFIER:
        raise ModelError(f"{path} is already converted; conversions begin with the .pb that retrain wrote.",
                         "Give that one with `graph`.")
    opened = open_exported(path, content)
    if opened is None:
        raise ModelError(f"{path} was not written by retrain, so its labels and input are not part of it.",
                         "Graphs of TensorFlow for Poets can be run by label_image and rounded by quantize_graph.")
    definition = import_tensorflow().compat.v1.GraphDef.FromString(content)
    return Exportable(path.stem, opened.metadata, definition, path, training_photos)


def convert(source: Exportable, formats: Sequence[str], folder: Path, proving: Sequence[Photo],
            on_event: Callable[[Any], None] = lambda row: None) -> list[ExportedFile]:
    """Write a graph in further formats into a folder; see `export`.

    Args:
        source: from `open_graph`, with its training photos.
        formats: names of formats.
        folder: made if it is missing.
        proving: photos that it was not trained on; of more than MAX_PROOF_PHOTOS, so many, evenly spread.
        on_event: is told of each row.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_formats(formats, folder, source.name)
    own, proof = _reference(source, proving)
    on_event(own)
    rows = [own]
    for name in formats:
        target = target_named(name)
        with Staging(source, [Job(target, folder / target.file_name(source.name), name)]) as staging:
            staging.write()
            found = staging.prove(proof)
            path, = staging.publish()
        rows.append(replace(found[0], path=path) if found else unproven(name, path, target.tolerance))
        on_event(rows[-1])
    return rows


def _reference(source: Exportable, proving: Sequence[Photo]) -> tuple[ExportedFile, LoadedProof]:
    """The graph's own row, and its answers, which every file must give."""
    assert source.path is not None  # `open_graph` has read it
    photos, pixels = load_readable(spread(proving, MAX_PROOF_PHOTOS), source.size)
    content = source.graph_def.SerializeToString(deterministic=True)
    runner = EngineRunner(TensorFlowEngine(content, *source.nodes.values()))
    n_classes, threshold = len(source.metadata.labels), source.metadata.unknown_threshold
    y = np.array([source.metadata.labels.index(photo.label) for photo in photos], np.int64)
    unanswered = LoadedProof(photos, pixels, np.empty((0, n_classes + (threshold is not None)), np.float32), y,
                             "the graph")
    proof = replace(unanswered, outputs=unanswered.answers_of(runner))
    return measure(FROZEN_GRAPH.name, source.path, runner, proof.outputs, proof, threshold, None), proof


def _photos(metadata: Metadata, image_dir: Path | str | None) -> list[Photo]:
    """Photos of the classifier's labels: of the folder that is given, else of those it was trained and tested on."""
    remembered = [metadata.options.get(name) for name in ("image_dir", "test_dir")]
    folders = [image_dir] if image_dir else [folder for folder in remembered if isinstance(folder, str)]
    found: list[Photo] = []
    for folder in folders:
        try:
            found += read_dataset(folder, least_classes=1).photos
        except TfpoetsError:
            if image_dir:
                raise  # a folder that was only remembered may have gone or be empty by now
    return [photo for photo in found if photo.label in metadata.labels]
