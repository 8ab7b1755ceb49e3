"""A classifier to files: everything is written aside, proven, and only then put in its place."""
from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tfpoets.errors import OptionError
from tfpoets.extractors import Extractor
from tfpoets.files import write_file
from tfpoets.progress import stage

from .export_targets import FROZEN_GRAPH, NUMBERED_SAVED_MODEL, TFLITE_CLASSIFIER
from .exportable import Exportable, build_exportable
from .metadata import Metadata
from .options import ExportOptions
from .verification import ExportedFile, LoadedReference, ReferenceOutputs, verify
from .staging import staging_folder
from .target import ExportTarget

if TYPE_CHECKING:
    from tfpoets.training import Head


@dataclass(frozen=True)
class ExportResult:
    """The files that were written, in order, and what was proven of them."""

    files: tuple[Path, ...]
    verified: tuple[ExportedFile, ...]


@dataclass(frozen=True)
class Job:
    """A file to write.

    Attributes:
        target: its format.
        destination: its place.
        name: for messages.
    """

    target: ExportTarget
    destination: Path
    name: str


class Staging:
    """Files that are being written, each in a hidden folder beside its place. A context manager; on the way out, what
    was not published is removed.

    Args:
        source: what is written.
        jobs: the files.
    """

    def __init__(self, source: Exportable, jobs: Sequence[Job]):
        self._source, self._jobs = source, jobs
        self._folders: dict[Path, Path] = {}
        self._open = ExitStack()

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def path(self, destination: Path) -> Path:
        """Return where a file is while it is written."""
        parent = destination.parent.resolve()
        if parent not in self._folders:
            self._folders[parent] = self._open.enter_context(staging_folder(parent, self._source.name))
        return self._folders[parent] / destination.name

    def write(self) -> None:
        """Write all files."""
        for job in self._jobs:
            with stage(f"export of {job.name}"):
                job.target.write(self._source, self.path(job.destination))

    def verify(self, proof: LoadedReference) -> list[ExportedFile]:
        """Compare all files with the classifier; raise ExportError where one gives other answers."""
        with stage("check"):
            return [row for job in self._jobs
                    for row in verify(job.name, job.target, self.path(job.destination), self._source.metadata, proof)]

    def publish(self) -> list[Path]:
        """Put all files in their places, and return these."""
        return [job.target.publish(self.path(job.destination), job.destination) for job in self._jobs]


def export_classifier(extractor: Extractor, head: Head, metadata: Metadata, destinations: ExportOptions,
                      proof: ReferenceOutputs) -> ExportResult:
    """Write every file of a classifier, prove each on photos, and put them in place, the metadata last.

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
    graph, labels = destinations.output_graph, destinations.output_labels
    tflite = destinations.tflite
    jobs = [Job(FROZEN_GRAPH, graph, graph.name), Job(TFLITE_CLASSIFIER, tflite, tflite.name)]
    if destinations.saved_model_dir:
        name = NUMBERED_SAVED_MODEL.name
        jobs.append(Job(NUMBERED_SAVED_MODEL, destinations.saved_model_dir / name, name))
    source = build_exportable(extractor, head, metadata, graph.stem)
    with Staging(source, jobs) as staging:
        staging.write()
        staged_labels, staged_metadata = staging.path(labels), staging.path(destinations.metadata)
        write_file(staged_labels, "".join(f"{label}\n" for label in metadata.labels))
        hashed = [staging.path(graph), staging.path(tflite), staged_labels]
        metadata = replace(metadata, files={path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                                            for path in hashed})
        write_file(staged_metadata, metadata.to_json())
        verified = staging.verify(proof.sample().load(extractor.height, extractor.width))
        os.replace(staged_labels, labels)
        files = staging.publish()
        os.replace(staged_metadata, destinations.metadata)
    return ExportResult((files[0], labels, *files[1:], destinations.metadata),
                    tuple(row for row in verified if row.count))


def export_graph(path: Path, extractor: Extractor, head: Head, metadata: Metadata) -> None:
    """Write a graph and its metadata alone, for a training that is still under way; nothing is proven."""
    content = build_exportable(extractor, head, metadata, path.stem).graph_def.SerializeToString(deterministic=True)
    metadata = replace(metadata, files={path.name: hashlib.sha256(content).hexdigest()})
    write_file(path, content)
    write_file(path.with_suffix(".json"), metadata.to_json())
