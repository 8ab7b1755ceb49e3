"""Convert a retrained graph to other formats, and verify each file on photos."""
from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfpoets.data import DatasetOptions, Photo, read_dataset
from tfpoets.errors import ExportError, ModelError, TfpoetsError, check_bool
from tfpoets.extractors import EngineRunner, TensorFlowEngine
from tfpoets.files import as_location, as_path, check_output_folder, check_outside_image_dir
from tfpoets.graphs import TRUST_WARNING, FirstRun, extract_inference_graph, identify_file, read_model_file
from tfpoets.locks import lock_destination
from tfpoets.publication import clean_up, publish_together
from tfpoets.tf_runtime import import_tensorflow

from .export_targets import (FROZEN_GRAPH, check_classifier_exists, check_format_names, check_formats, find_target,
                             has_own_metadata, open_exported, remember_models)
from .exportable import Exportable, load_readable_photos, sample_evenly
from .metadata import RETRAIN_REMEDY, Metadata
from .staging import OutputFile, StagedFiles
from .target import TFLITE_IDENTIFIER, ExportTarget
from .training_photos import training_photo_mask
from .verification import ExportedFile, FileComparison, LoadedReference, predict

log = logging.getLogger(__name__)

MAX_VERIFICATION_PHOTOS = 500


def export(graph: Path | str, formats: Sequence[str], output_dir: Path | str = Path("tf_files/exported"),
           image_dir: Path | str | None = None, on_event: Callable[[ExportedFile], None] = lambda result: None,
           trust_model: bool = False) -> list[ExportedFile]:
    """Convert a retrained graph to other formats, and verify each file.

    Photos that were not used for training are preferred for verification.

    Args:
        graph: The path of the .pb that retrain wrote.
        formats: The names of formats, as listed by `format_names`.
        output_dir: The folder for the files. It is created if it does not exist.
        image_dir: A folder of class folders, with photos for verification and for the calibration of tflite_int8;
            None: the photos that retrain used.
        on_event: Called with the result for the graph, and with the result for each file once it has been published.
        trust_model: Whether the graph is used without checking what it does (docs/security.md).

    Returns:
        The result for the graph, followed by one for each format.

    Raises:
        OptionError: A format does not exist.
        ModelError: `graph` is not a graph that retrain wrote.
        ExportError: A format cannot be written, or a file does not reproduce the outputs of the graph. Files that have
            already been published are kept.
    """
    check_format_names(formats)
    check_bool("trust_model", trust_model)
    if trust_model:
        log.warning(TRUST_WARNING)
    graph, output_dir = as_path("graph", graph), as_path("output_dir", output_dir)
    if image_dir is not None:
        image_dir = as_location("image_dir", image_dir)
        check_outside_image_dir(output_dir, "output_dir", image_dir, output_dir)
    check_output_folder(output_dir)
    source = open_graph(graph, trust_model=trust_model)
    check_formats(formats, output_dir, source.name)
    photos = _list_photos(source, image_dir)
    is_training_photo = training_photo_mask(source.metadata, photos)
    training_photos = [photo for photo, is_training in zip(photos, is_training_photo) if is_training]
    new_photos = [photo for photo, is_training in zip(photos, is_training_photo) if not is_training]
    if not photos:
        log.warning("No photos were found, so the files are not verified. Set `image_dir` to a folder of photos.")
    elif not new_photos:
        log.warning("The classifier was trained on all of these photos. They show whether the files agree with "
                    "the graph, but not how accurate the classifier is on new photos.")
    if "tflite_int8" in formats and not training_photos and new_photos:
        log.warning("No training photos were found. tflite_int8 is calibrated and verified on the same photos.")
    return convert(replace(source, training_photos=training_photos or new_photos), formats, output_dir,
                   new_photos or training_photos, on_event)


def open_graph(path: Path | str, training_photos: Sequence[Photo] = (), trust_model: bool = False) -> Exportable:
    """Open a .pb that retrain wrote, to convert it to other formats.

    Raises:
        ModelError: There is no such file, retrain did not write it, it does not match its metadata, or it might do
            something else than label photos.
    """
    path = Path(path)
    clean_up(path.parent, path.stem)
    check_classifier_exists(path)
    while True:
        content = b"" if path.is_dir() else read_model_file(path)
        try:
            return _open_graph(path, content, training_photos, trust_model)
        except ModelError:
            if not path.is_file() or path.read_bytes() == content:
                raise  # otherwise another run replaced the graph before its metadata was read


def _open_graph(path: Path, content: bytes, training_photos: Sequence[Photo], trust_model: bool) -> Exportable:
    """Open a graph with this content; see `open_graph`."""
    if path.is_dir() or content[4:8] == TFLITE_IDENTIFIER:
        raise ModelError(f"{path} cannot be converted. Only the .pb that retrain wrote can.",
                         "Set `graph` to that file.")
    opened = open_exported(path, content, trust_model)
    if opened is None:
        kind = identify_file(content)
        if kind is not None:
            raise ModelError(f"{path} is not a TensorFlow graph: it {kind.description}.", kind.classifier_remedy)
        raise ModelError(f"{path} was not written by retrain, so its labels and its input are not known.",
                         "For graphs of TensorFlow for Poets, use label_image and quantize_graph.")
    graph_def = import_tensorflow().compat.v1.GraphDef.FromString(content)
    source = Exportable(path.stem, opened.metadata, graph_def, path, training_photos)
    input_node, *outputs = source.nodes.values()
    part = extract_inference_graph(graph_def, input_node, outputs, str(path), is_checked=False)
    return replace(source, network=part)


def convert(source: Exportable, formats: Sequence[str], folder: Path, photos: Sequence[Photo],
            on_event: Callable[[ExportedFile], None] = lambda result: None) -> list[ExportedFile]:
    """Convert an opened graph to other formats; see `export`.

    Args:
        source: The result of `open_graph`, with the training photos.
        formats: The names of formats.
        folder: The folder for the files. It is created if it does not exist.
        photos: The photos for verification. At most MAX_VERIFICATION_PHOTOS of them, evenly spaced, are
            used.
        on_event: Called with each result.

    Returns:
        The result for the graph, followed by one for each format.

    Raises:
        ExportError: A format cannot be written, or a file does not reproduce the outputs of the graph.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_formats(formats, folder, source.name)
    if source.metadata.unsure or source.metadata.costs:
        log.info("These accuracies are those of the most probable labels. The files contain probabilities only, so "
                 "other programs must apply the accuracy target and the costs, which are in the metadata "
                 "(docs/next_steps.md). Only the output named label of a SavedModel applies them.")
    graph_result, reference = _run_graph(source, photos)
    on_event(graph_result)
    results = [graph_result]
    for name in formats:
        target = find_target(name)
        results.append(write_format(target, source, folder / target.file_name(source.name), reference)[0])
        on_event(results[-1])
    return results


def write_format(target: ExportTarget, source: Exportable, destination: Path, reference: LoadedReference
                 ) -> list[ExportedFile]:
    """Write a classifier in one format, verify the file or folder, and publish it.

    Args:
        target: The target of the format.
        source: The classifier.
        destination: The path of the file or folder.
        reference: Photos and the outputs that the file must reproduce.

    Returns:
        A result for each signature that was compared, or a single one that states that nothing was.

    Raises:
        ExportError: The format cannot be written, or the file does not reproduce the outputs.
    """
    source = source.with_training_list()
    with StagedFiles(source, [OutputFile(target, destination, target.name)]) as staged:
        staged.write()
        staged_path = staged.staged_path(destination)
        first, *others = staged.verify(reference) or [
            FileComparison(target.name, staged_path, target.tolerance).unverified()]
        results = [_add_requirement(replace(first, path=staged_path), target), *others]
        with _lock_next_to_graph(source, destination.parent), lock_destination(destination):
            (_, path), = moves = staged.moves()
            if not path.is_dir() and not staged_path.is_dir():  # a folder contains its own list
                moves += [(file, destination.with_name(file.name))
                          for file in source.write_training_list(staged_path.parent)]
            publish_together(staged_path.parent, moves, destination.name)
    if source.path is None or FirstRun(source.path).has_happened():  # otherwise it was opened with `trust_model`
        remember_models([path])
    return [replace(result, path=path) for result in results]


@contextmanager
def _lock_next_to_graph(source: Exportable, folder: Path) -> Iterator[None]:
    """Make sure that no other graph is written while a file that was made from a graph is published next to it.

    Raises:
        ExportError: The graph has already been replaced by another one.
    """
    if source.path is None or source.path.parent.resolve() != folder.resolve():
        yield
        return
    with lock_destination(source.path):
        if hashlib.sha256(source.path.read_bytes()).hexdigest() != source.metadata.files.get(source.path.name):
            raise ExportError(f"Another run has replaced {source.path} while it was being converted.",
                              "Run the same command again.")
        yield


def _run_graph(source: Exportable, photos: Sequence[Photo]) -> tuple[ExportedFile, LoadedReference]:
    """Run the graph on photos; return its result, and its outputs as the reference for the converted files."""
    assert source.path is not None  # set by `open_graph`
    readable_photos, pixels = load_readable_photos(sample_evenly(photos, MAX_VERIFICATION_PHOTOS), source.size)
    content = source.graph_def.SerializeToString(deterministic=True)
    runner = EngineRunner(TensorFlowEngine(content, *source.nodes.values()))
    labels, threshold = source.metadata.labels, source.metadata.unknown_threshold
    outputs = predict(runner, pixels, source.metadata.n_outputs)
    if outputs.shape[1] != source.metadata.n_outputs or not np.isfinite(outputs).all():
        raise ModelError(f"{source.path} does not match its labels, or returns numbers that are not finite.",
                         RETRAIN_REMEDY)
    is_labelled = all(photo.label in labels for photo in readable_photos)
    y = np.array([labels.index(photo.label) for photo in readable_photos], np.int64) if is_labelled else None
    reference = LoadedReference(readable_photos, pixels, outputs, y, "the graph")
    comparison = FileComparison(FROZEN_GRAPH.name, source.path, None, threshold)
    return _add_requirement(comparison.measure(runner, outputs, reference), FROZEN_GRAPH), reference


def _add_requirement(result: ExportedFile, target: ExportTarget) -> ExportedFile:
    runtime, note = target.requirement(result.path)
    return replace(result, oldest_runtime=runtime, runtime_note=note)


def _list_photos(source: Exportable, image_dir: Path | str | None) -> list[Photo]:
    """List the photos of the classifier's labels in a folder, by default those that retrain used."""
    metadata = source.metadata
    if image_dir is not None:
        photos = list(read_dataset(image_dir, min_classes=1).photos)
    else:
        photos = [photo for location, options in _permitted_datasets(source)
                  for photo in _list_if_possible(location, options)]
    return [photo for photo in photos if photo.label in metadata.labels]


def _permitted_datasets(source: Exportable) -> list[tuple[str | None, DatasetOptions]]:
    """Return the locations of the photos that retrain used, without those that another person may have chosen.

    If the metadata was not written on this machine, only locations in the working folder are used.
    """
    assert source.path is not None  # set by `open_graph`
    datasets = list(_stored_datasets(source.metadata))
    if has_own_metadata(source.path):
        return datasets
    permitted = [(location, options) for location, options in datasets
                 if all(_is_in_working_folder(str(path)) for path in (*options.manifest, location or "."))]
    if len(permitted) < len(datasets):
        log.warning("%s was not written on this machine, so the locations of photos that its metadata names outside "
                    "of the working folder are not opened. Set `image_dir` to use photos there.", source.path)
    return permitted


def _is_in_working_folder(location: str) -> bool:
    """Return whether a location is a relative path that does not lead out of the working folder."""
    parts = re.split(r"[/\\]", location)
    # A colon is part of a URL or of a Windows drive; a path that begins with a separator may name another computer.
    return bool(parts[0]) and ".." not in parts and ":" not in location and not location.startswith("~")


def _stored_datasets(metadata: Metadata) -> Iterator[tuple[str | None, DatasetOptions]]:
    """Yield the locations of the photos that retrain used; the metadata may come from an untrusted source."""
    stored = metadata.options.get("dataset")
    try:
        options = DatasetOptions(**stored) if isinstance(stored, dict) else DatasetOptions()
    except (TypeError, TfpoetsError):
        return
    image_dir, test_dir = (metadata.options.get(name) for name in ("image_dir", "test_dir"))
    if isinstance(image_dir, str) or image_dir is None and options.manifest:
        yield image_dir, options
    if isinstance(test_dir, str):
        yield test_dir, replace(options, manifest=())


def _list_if_possible(location: str | None, options: DatasetOptions) -> Sequence[Photo]:
    """List the photos at a location, which may have been deleted or emptied since retrain used it."""
    try:
        return read_dataset(location, 1, options).photos
    except TfpoetsError:
        return ()
