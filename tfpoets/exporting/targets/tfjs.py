"""TensorFlow.js: a graph model, in the format of its converter (model.json and shards of weights).

The format is io.ModelJSON of @tensorflow/tfjs-core: the GraphDef as JSON, without the values of its constants, and a
manifest that lists the values in the shards. The converter itself is not used, because one of its
dependencies pins an old TensorFlow.
"""
from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfpoets import __version__
from tfpoets.errors import ExportError
from tfpoets.extractors import Engine, TensorFlowEngine
from tfpoets.graphs import UNKNOWN_SCORE

from ..metadata import Metadata
from ..target import SERVING, ExportTarget, Requirement
from .tfjs_operations import OPERATIONS, oldest_version

if TYPE_CHECKING:
    from ..exportable import Exportable

MODEL_FILE, SHARD_PATTERN, PAGE_FILE = "model.json", "group1-shard*of*.bin", "index.html"
_PAGE = Path(__file__).with_name("tfjs_page.html")
# Values of `generatedBy` in models that tfpoets wrote. Commit f862d5e wrote "poets".
GENERATORS = ("tfpoets", "poets")
# Browsers cache files of up to 4 MiB.
SHARD_BYTES = 4 << 20
# TensorFlow.js does not support 64-bit numbers.
STORED_TYPES = {np.dtype("float32"): "float32", np.dtype("int32"): "int32", np.dtype("bool"): "bool"}
NARROWED_TYPES = {np.dtype("int64"): np.int32, np.dtype("float64"): np.float32}
# The types of constants in the graph, by the value of TensorProto.dtype (types.proto).
CONSTANT_TYPES = {3: "int32", 9: "int64", 2: "float64"}


class TFJSTarget(ExportTarget):
    """The target for a folder with a TensorFlow.js graph model and a page that runs it.

    For verification, the graph is reassembled from its shards, as in a browser, and run in TensorFlow.
    """

    name = "tfjs"
    timed = False

    def file_name(self, stem: str) -> str:
        """Return the name of the folder."""
        return f"{stem}_tfjs"

    def write(self, source: Exportable, path: Path) -> None:
        """Write the model and the page."""
        path.mkdir()
        write_tfjs(path, source.graph_def, source.nodes, source.size, source.description())
        shutil.copy(_PAGE, path / PAGE_FILE)

    def open(self, path: Path, metadata: Metadata) -> dict[str, Engine]:
        """Return a TensorFlow engine for the graph in the files."""
        outputs = [metadata.nodes.output] + ([UNKNOWN_SCORE] if metadata.unknown else [])
        return {SERVING: TensorFlowEngine(read_tfjs(path).SerializeToString(), metadata.nodes.input, *outputs)}

    def requirement(self, path: Path) -> Requirement:
        """Return the oldest TensorFlow.js that has the operations of the model."""
        model = json.loads((path / MODEL_FILE).read_text("utf-8"))
        return Requirement(f"TF.js {oldest_version(node['op'] for node in model['modelTopology']['node'])}")

    def may_replace(self, path: Path) -> bool:
        """Return whether a folder contains a model that tfpoets wrote."""
        try:
            return json.loads((path / MODEL_FILE).read_text("utf-8")).get("generatedBy") in GENERATORS
        except (OSError, ValueError, AttributeError):
            return False

    def stale_paths(self, path: Path) -> list[Path]:
        """Return the model, its shards and an unchanged page; or the folder if it contains nothing else."""
        if not self.may_replace(path):
            return []
        stale = [file for file in path.iterdir() if _is_model_file(file) or _is_unchanged_page(file)]
        return [path] if len(stale) == len(list(path.iterdir())) else stale

    def final_path(self, staged: Path, destination: Path) -> Path:
        """Copy an existing page and any other files in the existing folder to the staged one."""
        if self.may_replace(destination):
            for file in destination.iterdir():
                if not _is_model_file(file):
                    copy = shutil.copytree if file.is_dir() else shutil.copy2
                    copy(file, staged / file.name)
        return destination


def _is_model_file(file: Path) -> bool:
    return file.name == MODEL_FILE or file.match(SHARD_PATTERN)


def _is_unchanged_page(file: Path) -> bool:
    return file.name == PAGE_FILE and file.read_bytes() == _PAGE.read_bytes()


def write_tfjs(folder: Path, graph_def: Any, nodes: dict[str, str], size: tuple[int, int],
               description: dict[str, Any]) -> None:
    """Write a frozen graph as a TensorFlow.js graph model.

    Args:
        folder: The folder for the files, which must exist.
        graph_def: A GraphDef without variables.
        nodes: The names of the node `input`, float32 [n, height, width, 3] in [0, 1], and of each output node, float32
            [n, ...], by the name of the output.
        size: Height and width of the input, in pixels.
        description: JSON values for the page. They become the userDefinedMetadata of the model, together with the
            names of the outputs, which make `predict` return outputs by name even if there is only one.

    Raises:
        ExportError: TensorFlow.js does not support an operation or a type of the graph.
    """
    from google.protobuf import json_format
    _check_operations(graph_def)
    topology, weights, content = _separate_weights(graph_def)
    shards = [content[start:start + SHARD_BYTES] for start in range(0, len(content), SHARD_BYTES)]
    names = [f"group1-shard{number}of{len(shards)}.bin" for number in range(1, len(shards) + 1)]
    for name, shard in zip(names, shards):
        (folder / name).write_bytes(shard)
    outputs = {name: {"name": f"{node}:0", "dtype": "DT_FLOAT"} for name, node in nodes.items() if name != "input"}
    (folder / MODEL_FILE).write_text(json.dumps({
        "format": "graph-model", "generatedBy": GENERATORS[0], "convertedBy": f"tfpoets {__version__}",
        "signature": {"inputs": {"image": {"name": f"{nodes['input']}:0", "dtype": "DT_FLOAT", "tensorShape": {
            "dim": [{"size": str(side)} for side in (-1, *size, 3)]}}}, "outputs": outputs},
        "userDefinedMetadata": {**description, "structuredOutputKeys": list(outputs)},
        "modelTopology": json_format.MessageToDict(topology),
        "weightsManifest": [{"paths": names, "weights": weights}]}), "utf-8")


def _check_operations(graph_def: Any) -> None:
    unsupported = sorted({node.op for node in graph_def.node} - OPERATIONS)
    if unsupported:
        raise ExportError(f"TensorFlow.js does not support some operations of this network: {', '.join(unsupported)}.",
                          "Omit tfjs, or train a different network.")


def _separate_weights(graph_def: Any) -> tuple[Any, list[dict[str, Any]], bytes]:
    """Return a GraphDef without the values of its constants, the entries of the weights manifest, and the values."""
    from tensorflow import make_ndarray
    topology = type(graph_def).FromString(graph_def.SerializeToString())
    weights, content = [], bytearray()
    for node in topology.node:
        if node.op == "Const":
            value = make_ndarray(node.attr["value"].tensor)
            value = value.astype(NARROWED_TYPES.get(value.dtype, value.dtype))
            if value.dtype not in STORED_TYPES:
                raise ExportError(f"TensorFlow.js does not support the type {value.dtype} of {node.name}.")
            weights.append({"name": node.name, "shape": list(value.shape), "dtype": STORED_TYPES[value.dtype]})
            content += value.tobytes()
            _clear_value(node.attr["value"].tensor)
    return topology, weights, bytes(content)


def read_tfjs(folder: Path) -> Any:
    """Return the GraphDef of a graph model, with the weights from its shards, as it is assembled in a browser."""
    from google.protobuf import json_format
    from tensorflow import make_tensor_proto
    from tensorflow.core.framework.graph_pb2 import GraphDef
    model = json.loads((folder / MODEL_FILE).read_text("utf-8"))
    graph_def = json_format.ParseDict(model["modelTopology"], GraphDef())
    nodes = {node.name: node for node in graph_def.node}
    for group in model["weightsManifest"]:
        content, start = b"".join((folder / path).read_bytes() for path in group["paths"]), 0
        for weight in group["weights"]:
            count = int(np.prod(weight["shape"], dtype=np.int64))
            value = np.frombuffer(content, weight["dtype"], count, start).reshape(weight["shape"])
            start += value.nbytes
            tensor = nodes[weight["name"]].attr["value"].tensor
            dtype = np.dtype(CONSTANT_TYPES.get(tensor.dtype, value.dtype))
            tensor.CopyFrom(make_tensor_proto(value.astype(dtype), shape=weight["shape"]))
    return graph_def


def _clear_value(tensor: Any) -> None:
    """Remove the value of a TensorProto, but not its type and shape."""
    for field, _ in tensor.ListFields():
        if field.name not in ("dtype", "tensor_shape"):
            tensor.ClearField(field.name)
