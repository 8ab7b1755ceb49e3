"""Tools for frozen graph files of any origin: rounding weights, conversion, counting, drawing."""
from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scripts.console import UserError, import_tensorflow, write_file
from scripts.console.settings import GraphSettings
from scripts.features import OWN_MARK, imported, parse_graph

from .metadata import Metadata
from .poets import open_poets_graph
from .targets.tflite import convert_function


def round_weights(content: bytes, source: str, levels: int = 256) -> bytes:
    """Rounds every float constant of a graph to the nearest of some values that are evenly spread over its range.

    It is what Poets' quantize_graph did with --mode=weights_rounded (tensorflow/tools/quantization/quantize_graph.py,
    quantize_weight_rounded): nodes and types stay.

    Args:
        content: a serialized GraphDef.
        source: what messages call it.
        levels: how many values.

    Raises:
        UserError: it is no GraphDef.
    """
    make_ndarray, make_tensor_proto = import_tensorflow().make_ndarray, import_tensorflow().make_tensor_proto
    definition = parse_graph(content, source)
    for node in definition.node:
        tensor = node.attr["value"].tensor if node.op == "Const" else None
        if tensor is None or tensor.dtype != import_tensorflow().float32.as_datatype_enum:
            continue
        values = make_ndarray(tensor)
        tensor.CopyFrom(make_tensor_proto(_rounded(values, levels), shape=values.shape))
    return definition.SerializeToString(deterministic=True)


def _rounded(values: np.ndarray, levels: int) -> np.ndarray:
    if values.size < 2 or not np.isfinite(values).all() or values.min() == values.max():
        return values
    low, high = float(values.min()), float(values.max())
    step = (high - low) / (levels - 1)
    return (low + np.round((values - low) / step) * step).astype(np.float32)


def write_rounded(graph: Path, output: Path, levels: int = 256) -> None:
    """Rounds the weights of a graph file, in place of `output`.

    One that retrain wrote gets its metadata beside it, without the test's figures, which were another graph's.
    """
    content = round_weights(graph.read_bytes(), str(graph), levels)
    beside = graph.with_suffix(".json")
    write_file(output, content)
    if OWN_MARK.encode() in content and beside.is_file():
        metadata = Metadata.from_json(beside.read_text("utf-8"), str(beside))
        hashes = {output.name: hashlib.sha256(content).hexdigest()}
        write_file(output.with_suffix(".json"), replace(metadata, files=hashes, test=None).to_json())


def write_tflite(graph: Path, output: Path, kind: str, output_node: str | None = None) -> None:
    """Converts a graph that Poets made to TensorFlow Lite; its input is scaled as the graph's is.

    Args:
        graph: a frozen GraphDef of Poets' scripts; for those of retrain there is `convert`.
        output: the .tflite.
        kind: tflite, tflite_float16 or tflite_dynamic.
        output_node: name of the result, where it is not to be found.

    Raises:
        UserError: it is no such graph, or cannot be converted.
    """
    content = graph.read_bytes()
    if OWN_MARK.encode() in content:
        raise UserError(f"{graph} was written by retrain.", "Convert it with: python -m scripts.export "
                        f"--graph={graph} --to={kind}")
    found, taken, _, _ = open_poets_graph(graph, content, GraphSettings(output_layer=output_node))
    write_file(output, convert_function(lambda pixels: imported(found, pixels, found.output), taken.height,
                                        taken.width, kind))


def count_operations(content: bytes, source: str) -> dict[str, list[Any]]:
    """The names of a graph's nodes by their operation, the commonest first."""
    found: dict[str, list[Any]] = {}
    for node in parse_graph(content, source).node:
        found.setdefault(node.op, []).append(node.name)
    return dict(sorted(found.items(), key=lambda each: (-len(each[1]), each[0])))


def write_for_tensorboard(graph: Path, folder: Path) -> None:
    """Adds a graph file to a folder of TensorBoard's as an event."""
    definition = parse_graph(graph.read_bytes(), str(graph))
    v1 = import_tensorflow().compat.v1
    with v1.Graph().as_default():
        writer = v1.summary.FileWriter(str(folder))
        writer.add_graph(graph=None, graph_def=definition)
        writer.close()
