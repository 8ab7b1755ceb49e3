"""The frozen GraphDef (.pb), with the nodes that TensorFlow for Poets wrote: `input` and `final_tensor_name`."""
from __future__ import annotations

import contextlib
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from tfpoets.errors import ModelError, OptionError
from tfpoets.extractors import INPUT_NODE, Engine, TensorFlowEngine
from tfpoets.graphs import (HEAD_SCOPE, MODULE_SCOPE, TFPOETS_MARKER, UNKNOWN_SCOPE, UNKNOWN_SCORE, FirstRun,
                            oldest_tensorflow, parse_graph, unsupported_by_opencv)
from tfpoets.publication import pending_path
from tfpoets.tf_runtime import import_tensorflow

from ..gray_photo import run_gray_photo
from ..metadata import RETRAIN_REMEDY, Metadata
from ..target import SERVING, ExportTarget, LoadedFile, Requirement

if TYPE_CHECKING:
    from ..exportable import Exportable


class FrozenGraphTarget(ExportTarget):
    """The target for the .pb file.

    The input node is `input`, float32 [n, height, width, 3] in [0, 1]; the output node is `final_tensor_name`, float32
    [n, n_classes]. With a reject option, the node `unknown_score`, float32 [n], is a second output.
    """

    name = "graph (.pb)"
    selectable = False

    def file_name(self, stem: str) -> str:
        """Return the name of the .pb file."""
        return f"{stem}.pb"

    def write(self, source: Exportable, path: Path) -> None:
        """Write the graph as a serialized GraphDef."""
        path.write_bytes(source.graph_def.SerializeToString(deterministic=True))

    def open(self, path: Path, metadata: Metadata) -> dict[str, Engine]:
        """Return a TensorFlow engine for the graph."""
        outputs = [metadata.nodes.output] + ([UNKNOWN_SCORE] if metadata.unknown else [])
        return {SERVING: TensorFlowEngine(path, metadata.nodes.input, *outputs)}

    def requirement(self, path: Path) -> Requirement:
        """Return the oldest TensorFlow that supports the graph's operations, and a note on whether OpenCV does."""
        graph_def = import_tensorflow().compat.v1.GraphDef.FromString(path.read_bytes())
        version, unsupported = oldest_tensorflow(graph_def), unsupported_by_opencv(graph_def)
        return Requirement(f"TF {version}" if version else "", (
            f"OpenCV's dnn module cannot read the .pb, because it does not support {', '.join(unsupported)}."
            if unsupported else "OpenCV's dnn module reads the .pb as well."))

    def check(self, path: Path, content: bytes) -> None:
        """Check the operations of a graph, and run it in a process of its own if it has not been run before."""
        if not is_exported_graph(content) or (first_run := FirstRun(path)).has_happened():
            return
        from tfpoets.graphs import extract_inference_graph  # imported here because a .tflite does not need it
        loaded = self.load(path, content)
        if loaded is not None:
            nodes, size = loaded.metadata.nodes, loaded.metadata.input
            outputs = [nodes.output, UNKNOWN_SCORE] if loaded.metadata.unknown else [nodes.output]
            extract_inference_graph(parse_graph(content, str(path)), nodes.input, outputs, str(path))
            first_run.run(run_gray_photo, loaded.engine, size.height, size.width, library="tensorflow")

    def load(self, path: Path, content: bytes) -> LoadedFile | None:
        """Load a graph and the metadata next to it, and check the hash of the graph in the metadata."""
        if not is_exported_graph(content):
            return None
        metadata = _find_metadata(path, hashlib.sha256(content).hexdigest())
        # The engine does not read the file again, because another run may replace it.
        outputs = [metadata.nodes.output] + ([UNKNOWN_SCORE] if metadata.unknown else [])
        return LoadedFile(metadata, TensorFlowEngine(content, metadata.nodes.input, *outputs))


def _find_metadata(path: Path, digest: str) -> Metadata:
    """Return the metadata of a graph.

    While the files of a classifier are replaced, or after a run was killed in that moment, the new graph can be next
    to the old metadata; the new metadata is then still in the staging folder.

    Args:
        path: The path of the graph.
        digest: The SHA-256 of its content.

    Raises:
        ModelError: There is no metadata, it cannot be used, or it describes another graph.
    """
    metadata_path = path.with_suffix(".json")
    pending = pending_path(metadata_path)
    if pending is not None:
        with contextlib.suppress(OSError, ModelError):
            metadata = Metadata.from_json(pending.read_bytes(), str(metadata_path))
            if metadata.files.get(path.name) == digest:
                return metadata
    if not metadata_path.exists():
        raise ModelError(f"The metadata of {path} is missing: there is no {metadata_path.name} next to it.",
                         RETRAIN_REMEDY)
    metadata = Metadata.from_file(metadata_path)
    if metadata.files.get(path.name) != digest:
        raise ModelError(f"{path} is not the file that {metadata_path.name} describes. One of the two is older or "
                         "damaged.", RETRAIN_REMEDY)
    return metadata


def is_exported_graph(content: bytes) -> bool:
    """Return whether a file is a GraphDef that tfpoets wrote."""
    # Files of other formats contain the marker, too. A GraphDef begins with field 1, its nodes (graph.proto).
    return content[:1] == b"\n" and TFPOETS_MARKER.encode() in content


def check_output_name(name: str) -> None:
    """Raise an OptionError unless the graph's output node can have this name."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*", name) or name.endswith("/"):
        raise OptionError(f"`final_tensor_name`={name} is not a valid name for a TensorFlow node.",
                          "Use letters, digits and _ . - / only, and begin with a letter or digit.")
    if name.split("/")[0] in (INPUT_NODE, HEAD_SCOPE, MODULE_SCOPE, UNKNOWN_SCOPE, UNKNOWN_SCORE):
        raise OptionError(f"`final_tensor_name`={name} begins with the name of another node of the graph.",
                          "Choose another name.")
