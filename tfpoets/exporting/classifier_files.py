"""Export a classifier: write all of its files, verify them, and only then move them into place."""
from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tfpoets.errors import OptionError, join_names
from tfpoets.extractors import Extractor
from tfpoets.files import remove_abandoned_parts, write_file
from tfpoets.locks import lock_destination
from tfpoets.progress import stage
from tfpoets.publication import publish_together, staging_folder
from tfpoets.tf_process import TensorFlowProcess

from .export_targets import (FROZEN_GRAPH, NUMBERED_SAVED_MODEL, TFLITE_CLASSIFIER, remember_models,
                             remember_own_graph, stale_formats)
from .exportable import Exportable, TrainedNetwork
from .metadata import Metadata
from .options import ExportOptions
from .staging import OutputFile, StagedFiles, verify_outputs, write_outputs
from .training_list import TRAINING_LIST_SUFFIX
from .verification import ExportedFile, LoadedReference, ReferenceOutputs

if TYPE_CHECKING:
    from tfpoets.training import Head

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExportResult:
    """The result of an export.

    Attributes:
        files: The paths of the written files, in the order in which they were published.
        verified: A result for each signature that was compared on at least one photo.
    """

    files: tuple[Path, ...]
    verified: tuple[ExportedFile, ...]


def export_classifier(extractor: Extractor, head: Head, metadata: Metadata, destinations: ExportOptions,
                      reference: ReferenceOutputs) -> ExportResult:
    """Write all files of a classifier, verify them on photos, and publish them, the metadata last.

    Args:
        extractor: The extractor of the bottlenecks.
        head: The trained head.
        metadata: The metadata without the hashes of the files, which are added here.
        destinations: The paths of the files.
        reference: Photos with the outputs of the trained classifier. Without photos, no file is verified.

    Raises:
        OptionError: `destinations` and `metadata` have different names for the output node.
        ExportError: A file does not reproduce the outputs. In this case, no existing file is replaced.
    """
    with (TensorFlowProcess(None) as process,
          ClassifierExport(extractor, head, metadata, destinations, reference, process) as export):
        return export.publish()


class ClassifierExport:
    """An export whose files are written and verified by two processes at the same time.

    It is a context manager. On exit, the other process ends, and all files that were not published are removed. The
    files that do not need TensorFlow are written and verified on entry, by this process.

    Args:
        extractor, head, metadata, destinations, reference: As in `export_classifier`; it raises the same errors.
        process: The process that writes and verifies the files that need TensorFlow.
    """

    def __init__(self, extractor: Extractor, head: Head, metadata: Metadata, destinations: ExportOptions,
                 reference: ReferenceOutputs, process: TensorFlowProcess):
        if metadata.nodes.output != destinations.final_tensor_name:
            raise OptionError(f"`final_tensor_name`={destinations.final_tensor_name} is not the name in the metadata, "
                              f"{metadata.nodes.output}.", "Use the same name for both.")
        self._source = Exportable(destinations.output_graph.stem, metadata,
                                  TrainedNetwork(extractor, head, metadata.nodes.output)).with_training_list()
        self._destinations, self._reference, self._process = destinations, reference, process
        self._outputs = _output_files(destinations)
        self._staged = StagedFiles(self._source, self._outputs)
        self._results: dict[str, list[ExportedFile]] = {}
        self._wait: Callable[[], dict[str, list[ExportedFile]]] | None = None

    def __enter__(self) -> ClassifierExport:
        with ExitStack() as stack:
            stack.enter_context(self._staged)
            stack.enter_context(self._process)  # ends before the files that it writes are removed
            self._write()
            stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._process.__exit__(*error)
        self._staged.__exit__(*error)

    def _write(self) -> None:
        """Write the labels, divide the other files between the processes, and verify those of this process."""
        labels_path, metadata_path = map(self._staged.staged_path, (self._destinations.output_labels,
                                                                    self._destinations.metadata))
        write_file(labels_path, "".join(f"{label}\n" for label in self._source.metadata.labels))
        own: list[OutputFile] = []
        others: list[OutputFile] = []
        for output in self._staged.staged_outputs():
            (others if output.target.needs_tensorflow(self._source) else own).append(output)
        write_outputs(self._source, own)
        self._training_list = self._source.write_training_list(metadata_path.parent)
        hashes = _hash_files([labels_path, *(output.destination for output in own)])
        reference = self._reference.sample().load(*self._source.size)
        self._wait = self._process.submit(_write_and_verify, self._source, others, hashes, metadata_path, reference)
        self._results = dict(zip((output.name for output in own), verify_outputs(self._source, own, reference)))

    def _finish(self) -> None:
        """Wait for the files of the other process, unless this has been done."""
        if self._wait is not None:
            with stage("files that need TensorFlow"):
                self._results.update(self._wait())
            self._wait = None

    def verified_tflite(self, remember: bool = True) -> Path:
        """Return the path of the .tflite before it is published; wait for it if it needs TensorFlow.

        Args:
            remember: As in `publish`.
        """
        if self._destinations.tflite.name not in self._results:
            self._finish()
        path = self._staged.staged_path(self._destinations.tflite)
        if remember:
            remember_models([path])
        return path

    def publish(self, remember: bool = True) -> ExportResult:
        """Wait until all files have been written and verified, and move them to their destinations.

        Reports and further formats that belong to the previous graph are removed first. If the process is killed, the
        next run finishes what it has begun.

        Args:
            remember: Whether the files need not be checked when they are used; false if they contain a network that
                was not checked.

        Raises:
            ExportError: A file does not reproduce the outputs. In this case, no existing file is replaced.
        """
        self._finish()
        destinations = self._destinations
        with ExitStack() as stack:
            for path in filter(None, (destinations.output_graph, destinations.saved_model_dir)):
                stack.enter_context(lock_destination(path))
            staged_graph = self._staged.staged_path(destinations.output_graph)
            moves = [(self._staged.staged_path(destinations.output_labels), destinations.output_labels),
                     *self._staged.moves(),
                     *((staged, destinations.training_list) for staged in self._training_list),
                     (self._staged.staged_path(destinations.metadata), destinations.metadata)]
            publish_together(staged_graph.parent, moves, destinations.output_graph.name,
                             [path for path in _stale_paths(destinations, staged_graph)
                              if path not in {destination for _, destination in moves}])
        if remember:
            remember_models([path for _, path in moves[1:-1]])
        remember_own_graph(destinations.output_graph)
        results = [result for output in self._outputs for result in self._results[output.name]]
        files = [path for _, path in moves]
        return ExportResult((files[1], files[0], *files[2:]), tuple(result for result in results if result.count))


def _stale_paths(destinations: ExportOptions, new_graph: Path) -> list[Path]:
    """Return the files next to a graph that belong to the graph that is about to be replaced."""
    graph = destinations.output_graph
    stale = [path for path in (destinations.report, destinations.findings, destinations.training_list)
             if path.is_file()]
    if not graph.is_file() or graph.read_bytes() != new_graph.read_bytes():
        formats = stale_formats(graph.parent, graph.stem)
        if formats:
            log.info("Removing files that were made from the previous graph: %s.",
                     join_names([path.relative_to(graph.parent).as_posix() for path in formats]))
        stale += formats
    for path in (graph, destinations.report, destinations.findings, destinations.training_list):
        remove_abandoned_parts(path)
    return stale


def _write_and_verify(source: Exportable, outputs: Sequence[OutputFile], hashes: dict[str, str], metadata_path: Path,
                      reference: LoadedReference) -> dict[str, list[ExportedFile]]:
    """Write files and the metadata, and return the results of the verification by name.

    Args:
        source: The classifier.
        outputs: The files, with their staged paths as destinations.
        hashes: The hashes of files that have already been written, for the metadata.
        metadata_path: The staged path of the metadata. It is written before the verification, which reads it.
        reference: Photos and outputs.
    """
    write_outputs(source, outputs)
    files = {**hashes, **_hash_files([output.destination for output in outputs if output.destination.is_file()])}
    write_file(metadata_path, replace(source.metadata, files=dict(sorted(files.items()))).to_json())
    return dict(zip((output.name for output in outputs), verify_outputs(source, outputs, reference)))


def export_graph(path: Path, extractor: Extractor, head: Head, metadata: Metadata) -> None:
    """Write only a graph and its metadata, without verification, while training is still running."""
    graph_def = TrainedNetwork(extractor, head, metadata.nodes.output).graph_def
    publish_graph(path, graph_def.SerializeToString(deterministic=True), metadata)
    remember_own_graph(path)


def publish_graph(path: Path, content: bytes, metadata: Metadata) -> None:
    """Write a graph and its metadata, which gets its hash; a killed process leaves both old or both new files.

    The graph has not been run, so it is checked and tried like one of another person when it is used.
    """
    source = Exportable(path.stem, metadata, None).with_training_list()
    metadata = replace(source.metadata, files={path.name: hashlib.sha256(content).hexdigest()})
    with staging_folder(path.parent, path.stem) as staging, lock_destination(path):
        write_file(staging / path.name, content)
        lists = source.write_training_list(staging)
        write_file(staging / f"{path.stem}.json", metadata.to_json())
        names = [path.name, *(file.name for file in lists), f"{path.stem}.json"]
        stale = [] if lists else [path.with_name(f"{path.stem}{TRAINING_LIST_SUFFIX}")]
        publish_together(staging, [(staging / name, path.with_name(name)) for name in names], path.name, stale)


def _output_files(destinations: ExportOptions) -> list[OutputFile]:
    """Return the files of a classifier that targets write."""
    outputs = [OutputFile(FROZEN_GRAPH, destinations.output_graph, destinations.output_graph.name),
               OutputFile(TFLITE_CLASSIFIER, destinations.tflite, destinations.tflite.name)]
    if destinations.saved_model_dir:
        name = NUMBERED_SAVED_MODEL.name
        outputs.append(OutputFile(NUMBERED_SAVED_MODEL, destinations.saved_model_dir / name, name))
    return outputs


def _hash_files(paths: Sequence[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file by its name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
