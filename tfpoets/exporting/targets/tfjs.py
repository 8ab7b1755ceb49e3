"""TensorFlow.js: a graph model, as its converter writes it (model.json and shards of weights).

The format is that of @tensorflow/tfjs-core's io.ModelJSON: the GraphDef as JSON, its constants' values taken out and
listed in a manifest. The converter itself pins an old TensorFlow, so it is not used.
"""
from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets import __version__
from tfpoets.errors import ExportError
from tfpoets.extractors import Engine, TensorFlowEngine
from tfpoets.graphs import UNKNOWN_SCORE

from ..exportable import Exportable
from ..metadata import Metadata
from ..target import SERVING, ExportTarget
from .tfjs_operations import OPERATIONS

MODEL, SHARDS, PAGE = "model.json", "group1-shard*of*.bin", "index.html"
# `generatedBy` of the models that this program writes; the second is how version f862d5e called itself.
OWN = ("tfpoets", "poets")
# Browsers keep files of up to 4 MiB in their caches.
SHARD_BYTES = 4 << 20
# TensorFlow.js has no 64-bit numbers.
STORED_TYPES = {np.dtype("float32"): "float32", np.dtype("int32"): "int32", np.dtype("bool"): "bool"}
NARROWED = {np.dtype("int64"): np.int32, np.dtype("float64"): np.float32}


class TFJSTarget(ExportTarget):
    """A folder with a TensorFlow.js graph model and a page that runs it.

    For the proof it is put together from its shards again, as a browser does it, and run in TensorFlow.
    """

    name = "tfjs"
    timed = False

    def file_name(self, stem: str) -> str:
        return f"{stem}_tfjs"

    def write(self, source: Exportable, path: Path) -> None:
        path.mkdir()
        write_tfjs(path, source.graph_def, source.nodes, source.size, source.description())
        shutil.copy(Path(__file__).with_name("tfjs_page.html"), path / PAGE)

    def open(self, path: Path, metadata: Metadata) -> dict[str, Engine]:
        outputs = [metadata.nodes.output] + ([UNKNOWN_SCORE] if metadata.unknown else [])
        return {SERVING: TensorFlowEngine(read_tfjs(path).SerializeToString(), metadata.nodes.input, *outputs)}

    def owns(self, path: Path) -> bool:
        try:
            return json.loads((path / MODEL).read_text("utf-8")).get("generatedBy") in OWN
        except (OSError, ValueError, AttributeError):
            return False

    def publish(self, staged: Path, destination: Path) -> Path:
        """Put the model in its place; what a person put into its folder stays there."""
        if not self.owns(destination):
            return super().publish(staged, destination)
        for old in destination.glob(SHARDS):
            old.unlink()
        for new in sorted(staged.iterdir(), key=lambda path: path.name == MODEL):  # the model last
            if new.name != PAGE or not (destination / PAGE).exists():
                os.replace(new, destination / new.name)
        return destination


def write_tfjs(folder: Path, definition: Any, nodes: dict[str, str], size: tuple[int, int],
               description: dict[str, Any]) -> None:
    """Writes a frozen graph as a TensorFlow.js graph model.

    Args:
        folder: must exist.
        definition: GraphDef without variables.
        nodes: names of `input`, float32 [n, height, width, 3] in [0, 1], and of each output, float32 [n, ...].
        size: height and width of the input.
        description: whatever a page wants to know; it is JSON, and becomes the model's userDefinedMetadata, with the
            outputs' names: so `predict` gives them by name, even a single one.

    Raises:
        ExportError: TensorFlow.js cannot compute the graph.
    """
    from google.protobuf import json_format
    from tensorflow import make_ndarray
    _check_operations(definition)
    topology = type(definition).FromString(definition.SerializeToString())
    weights, content = [], bytearray()
    for node in topology.node:
        if node.op == "Const":
            value = make_ndarray(node.attr["value"].tensor)
            value = value.astype(NARROWED.get(value.dtype, value.dtype))
            if value.dtype not in STORED_TYPES:
                raise ExportError(f"TensorFlow.js has no numbers of the kind {value.dtype} that {node.name} holds.")
            weights.append({"name": node.name, "shape": list(value.shape), "dtype": STORED_TYPES[value.dtype]})
            content += value.tobytes()
            _empty(node.attr["value"].tensor)
    shards = [content[start:start + SHARD_BYTES] for start in range(0, len(content), SHARD_BYTES)]
    names = [f"group1-shard{number}of{len(shards)}.bin" for number in range(1, len(shards) + 1)]
    for name, shard in zip(names, shards):
        (folder / name).write_bytes(shard)
    outputs = {name: {"name": f"{node}:0", "dtype": "DT_FLOAT"} for name, node in nodes.items() if name != "input"}
    (folder / MODEL).write_text(json.dumps({
        "format": "graph-model", "generatedBy": OWN[0], "convertedBy": f"tfpoets {__version__}",
        "signature": {"inputs": {"image": {"name": f"{nodes['input']}:0", "dtype": "DT_FLOAT", "tensorShape": {
            "dim": [{"size": str(side)} for side in (-1, *size, 3)]}}}, "outputs": outputs},
        "userDefinedMetadata": {**description, "structuredOutputKeys": list(outputs)},
        "modelTopology": json_format.MessageToDict(topology),
        "weightsManifest": [{"paths": names, "weights": weights}]}), "utf-8")


def _check_operations(definition: Any) -> None:
    lacking = sorted({node.op for node in definition.node} - OPERATIONS)
    if lacking:
        raise ExportError(f"TensorFlow.js cannot compute {', '.join(lacking)}, which this network needs.",
                          "Omit tfjs, or train another network.")


def read_tfjs(folder: Path) -> Any:
    """The GraphDef of a graph model, with the weights of its shards: what a browser makes of the files."""
    from google.protobuf import json_format
    from tensorflow import make_tensor_proto
    from tensorflow.core.framework.graph_pb2 import GraphDef
    model = json.loads((folder / MODEL).read_text("utf-8"))
    definition = json_format.ParseDict(model["modelTopology"], GraphDef())
    nodes = {node.name: node for node in definition.node}
    for group in model["weightsManifest"]:
        content, start = b"".join((folder / path).read_bytes() for path in group["paths"]), 0
        for weight in group["weights"]:
            count = int(np.prod(weight["shape"], dtype=np.int64))
            value = np.frombuffer(content, weight["dtype"], count, start).reshape(weight["shape"])
            start += value.nbytes
            tensor = nodes[weight["name"]].attr["value"].tensor
            wide = np.dtype({3: "int32", 9: "int64", 2: "float64"}.get(tensor.dtype, value.dtype))
            tensor.CopyFrom(make_tensor_proto(value.astype(wide), shape=weight["shape"]))
    return definition


def _empty(tensor: Any) -> None:
    """Leaves type and shape of a TensorProto."""
    for field, _ in tensor.ListFields():
        if field.name not in ("dtype", "tensor_shape"):
            tensor.ClearField(field.name)
