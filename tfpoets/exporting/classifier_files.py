"""Export a classifier: write all of its files, verify them, and only then move them into place."""
from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tfpoets.errors import OptionError
from tfpoets.extractors import Extractor
from tfpoets.files import write_file

from .export_targets import FROZEN_GRAPH, NUMBERED_SAVED_MODEL, TFLITE_CLASSIFIER
from .exportable import build_exportable
from .metadata import Metadata
from .options import ExportOptions
from .staging import OutputFile, StagedFiles
from .verification import ExportedFile, ReferenceOutputs

if TYPE_CHECKING:
    from tfpoets.training import Head


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
    if metadata.nodes.output != destinations.final_tensor_name:
        raise OptionError(f"`final_tensor_name`={destinations.final_tensor_name} is not the name in the metadata, "
                          f"{metadata.nodes.output}.", "Use the same name for both.")
    source = build_exportable(extractor, head, metadata, destinations.output_graph.stem)
    with StagedFiles(source, _output_files(destinations)) as staged:
        staged.write()
        staged_labels, staged_metadata = map(staged.staged_path, (destinations.output_labels, destinations.metadata))
        write_file(staged_labels, "".join(f"{label}\n" for label in metadata.labels))
        hashed_paths = [*map(staged.staged_path, (destinations.output_graph, destinations.tflite)), staged_labels]
        write_file(staged_metadata, _with_hashes(metadata, hashed_paths).to_json())
        results = staged.verify(reference.sample().load(extractor.height, extractor.width))
        os.replace(staged_labels, destinations.output_labels)
        graph, *other_files = staged.publish()
        os.replace(staged_metadata, destinations.metadata)
    return ExportResult((graph, destinations.output_labels, *other_files, destinations.metadata),
                        tuple(result for result in results if result.count))


def export_graph(path: Path, extractor: Extractor, head: Head, metadata: Metadata) -> None:
    """Write only a graph and its metadata, without verification, while training is still running."""
    graph_def = build_exportable(extractor, head, metadata, path.stem).graph_def
    content = graph_def.SerializeToString(deterministic=True)
    metadata = replace(metadata, files={path.name: hashlib.sha256(content).hexdigest()})
    write_file(path, content)
    write_file(path.with_suffix(".json"), metadata.to_json())


def _output_files(destinations: ExportOptions) -> list[OutputFile]:
    """Return the files of a classifier that targets write."""
    outputs = [OutputFile(FROZEN_GRAPH, destinations.output_graph, destinations.output_graph.name),
               OutputFile(TFLITE_CLASSIFIER, destinations.tflite, destinations.tflite.name)]
    if destinations.saved_model_dir:
        name = NUMBERED_SAVED_MODEL.name
        outputs.append(OutputFile(NUMBERED_SAVED_MODEL, destinations.saved_model_dir / name, name))
    return outputs


def _with_hashes(metadata: Metadata, paths: Sequence[Path]) -> Metadata:
    return replace(metadata, files={path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths})
