"""Weights to files: everything is written aside, proven, and only then put in its place."""
from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfpoets.data import Photo, load_photos, photo_digest
from tfpoets.errors import OptionError, PhotoError
from tfpoets.extractors import Extractor, core_count
from tfpoets.files import check_output_file, check_output_folder, set_paths, write_file
from tfpoets.progress import stage

from .forms import check_format_names
from .metadata import Metadata
from .parity import MOST_PHOTOS, Parity, check_file, check_predict_bytes, evenly_spread
from .targets.frozen_graph import check_output_name, frozen_graph
from .targets.saved_model import write_metadata, write_saved_model
from .targets.tflite import packed, tflite_model

if TYPE_CHECKING:
    from tfpoets.training import Head

DEFAULT_GRAPH = Path("tf_files/retrained_graph.pb")
DEFAULT_LABELS = Path("tf_files/retrained_labels.txt")


@dataclass(frozen=True)
class ExportOptions:
    """The files of a classifier.

    Attributes:
        output_graph: the .pb; the .tflite, the metadata and the report get the same stem.
        output_labels: the label file.
        saved_model_dir: folder for numbered SavedModels, or None for none.
        final_tensor_name: name of the graph's result.
        formats: further forms that the graph is converted to, beside it; some of FORMATS.
    """

    output_graph: Path = DEFAULT_GRAPH
    output_labels: Path = DEFAULT_LABELS
    saved_model_dir: Path | None = None
    final_tensor_name: str = "final_result"
    formats: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        set_paths(self, "output_graph", "output_labels", "saved_model_dir")
        if isinstance(self.formats, str) or self.formats is None:
            raise OptionError(f"`formats`={self.formats!r} is not a tuple of names.")
        check_output_name(self.final_tensor_name)
        check_format_names(self.formats)

    @property
    def tflite(self) -> Path:
        """The TensorFlow Lite file."""
        return self.output_graph.with_suffix(".tflite")

    @property
    def report(self) -> Path:
        """The report, a page for people."""
        return self.output_graph.with_suffix(".html")

    @property
    def findings(self) -> Path:
        """The table of the doctor's findings."""
        return self.output_graph.with_name(f"{self.output_graph.stem}_findings.csv")

    @property
    def metadata(self) -> Path:
        """The metadata file."""
        return self.output_graph.with_suffix(".json")


@dataclass(frozen=True)
class Proof:
    """Photos with the answers that training's evaluation gave.

    Attributes:
        photos: with their digests.
        outputs: float32 [photos, classes], probabilities; with a reject option, one more column of scores.
    """

    photos: Sequence[Photo]
    outputs: np.ndarray

    def sample(self) -> Proof:
        """At most MOST_PHOTOS of them, evenly spread."""
        rows = evenly_spread(len(self.photos), MOST_PHOTOS)
        return Proof(tuple(self.photos[row] for row in rows), self.outputs[rows])


@dataclass(frozen=True)
class Exported:
    """The files that were written, in order, and what was proven of them."""

    files: tuple[Path, ...]
    parities: tuple[Parity, ...]


def check_destinations(destinations: ExportOptions) -> None:
    """Make the folders; raise a TfpoetsError where files could not be written, before any work is done."""
    if destinations.output_graph.suffix in (".tflite", ".json", ".html"):
        raise OptionError(f"`output_graph`={destinations.output_graph} must not end in "
                          f"{destinations.output_graph.suffix}: that file is written beside it.", "Let it end in .pb.")
    check_output_file(destinations.output_graph, "output_graph")
    check_output_file(destinations.output_labels, "output_labels")
    beside = {destinations.output_graph: "the graph"}
    for path, what in ((destinations.tflite, "the .tflite"), (destinations.metadata, "the metadata"),
                       (destinations.report, "the report"), (destinations.findings, "the findings"),
                       (destinations.output_labels, "the labels")):
        if path.resolve() in map(Path.resolve, beside):
            raise OptionError(f"{path} was given for {what}, but other files of the graph would go there.",
                              "Give `output_graph` and `output_labels` other names.")
        beside[path] = what
    for path in beside:
        check_output_file(path, "output_graph")
    if destinations.saved_model_dir:
        check_output_folder(destinations.saved_model_dir)


def export_classifier(extractor: Extractor, head: Head, metadata: Metadata, destinations: ExportOptions,
                      proof: Proof) -> Exported:
    """Writes every file of a classifier, proves each on photos, and puts them in place, the metadata last.

    Args:
        extractor: what made the bottlenecks.
        head: the trained last layer.
        metadata: without the files' hashes, which are added here.
        destinations: where the files go.
        proof: photos with training's answers; may hold none, then nothing can be proven.

    Raises:
        ExportError: a file does not give training's answers; nothing has been replaced then.
    """
    if metadata.nodes.output != destinations.final_tensor_name:
        raise OptionError(f"`final_tensor_name`={destinations.final_tensor_name} is not the name in the metadata, "
                          f"{metadata.nodes.output}.", "Give both the same.")
    proof = proof.sample()
    with _staging(destinations) as staged:
        metadata = _write(extractor, head, metadata, staged)
        with stage("check"):
            parities = _prove(extractor, metadata, staged, proof)
        files = _publish(staged, destinations)
    return Exported(files, parities)


def export_graph(path: Path, extractor: Extractor, head: Head, metadata: Metadata) -> None:
    """Writes a graph and its metadata alone, for a training that is still under way; nothing is proven."""
    content = frozen_graph(extractor, head, metadata.nodes.output)
    metadata = replace(metadata, files={path.name: hashlib.sha256(content).hexdigest()})
    write_file(path, content)
    write_file(path.with_suffix(".json"), metadata.to_json())


@contextmanager
def _staging(destinations: ExportOptions) -> Iterator[ExportOptions]:
    """Hidden folders beside the destinations: on the same disk, so that renaming is atomic."""
    def aside(folder: Path) -> Path:
        hidden = folder / f".{destinations.output_graph.stem}.partial"
        shutil.rmtree(hidden, ignore_errors=True)  # left by a run that was killed
        hidden.mkdir(parents=True)
        return hidden

    graph, labels = destinations.output_graph, destinations.output_labels
    folders = {folder: aside(folder) for folder in {graph.parent, labels.parent}}
    saved_model_dir = aside(destinations.saved_model_dir) if destinations.saved_model_dir else None
    try:
        yield ExportOptions(folders[graph.parent] / graph.name, folders[labels.parent] / labels.name, saved_model_dir)
    finally:
        for folder in [*folders.values(), saved_model_dir]:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)


def _write(extractor: Extractor, head: Head, metadata: Metadata, staged: ExportOptions) -> Metadata:
    with stage("export of the .pb"):
        staged.output_graph.write_bytes(frozen_graph(extractor, head, metadata.nodes.output))
    with stage("export of the .tflite"):
        staged.tflite.write_bytes(packed(tflite_model(extractor, head, metadata.unknown is not None), metadata))
    staged.output_labels.write_text("".join(f"{label}\n" for label in metadata.labels), "utf-8", newline="\n")
    if staged.saved_model_dir:
        with stage("export of the SavedModel"):
            write_saved_model(staged.saved_model_dir / "1", extractor, head, metadata.labels,
                              metadata.unknown_threshold)
        write_metadata(staged.saved_model_dir / "1", metadata)
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
              for path in (staged.output_graph, staged.tflite, staged.output_labels)}
    metadata = replace(metadata, files=hashes)
    staged.metadata.write_text(metadata.to_json(), "utf-8", newline="\n")
    return metadata


def _prove(extractor: Extractor, metadata: Metadata, staged: ExportOptions, proof: Proof) -> tuple[Parity, ...]:
    files = {row: data for row, photo in enumerate(proof.photos) if (data := _unchanged(photo)) is not None}
    if not files:
        return ()
    outputs = proof.outputs[list(files)]
    pixels = load_photos(list(files.values()), extractor.height, extractor.width, core_count())
    parities = [check_file(path, pixels, outputs) for path in (staged.output_graph, staged.tflite)]
    if staged.saved_model_dir:
        folder = staged.saved_model_dir / "1"
        parities.append(replace(check_file(folder, pixels, outputs), name="SavedModel"))
        by_bytes = check_predict_bytes(folder, list(files.values()), outputs,
                                       metadata.unknown_threshold)
        parities += [replace(by_bytes, name="SavedModel, predict_bytes")] if by_bytes else []
    return tuple(parities)


def _unchanged(photo: Photo) -> bytes | None:
    """A photo's file, or None where it is gone or another than the one that was answered."""
    try:
        data = photo.read()
    except PhotoError:
        return None
    return data if photo_digest(data) == photo.digest else None


def _publish(staged: ExportOptions, destinations: ExportOptions) -> tuple[Path, ...]:
    files = [destinations.output_graph, destinations.output_labels, destinations.tflite]
    for source, destination in zip((staged.output_graph, staged.output_labels, staged.tflite), files):
        os.replace(source, destination)
    if staged.saved_model_dir and destinations.saved_model_dir:
        taken = [int(sub.name) for sub in destinations.saved_model_dir.iterdir() if sub.name.isdecimal()]
        version = destinations.saved_model_dir / str(max(taken, default=0) + 1)
        os.replace(staged.saved_model_dir / "1", version)
        files.append(version)
    os.replace(staged.metadata, destinations.metadata)
    return (*files, destinations.metadata)
