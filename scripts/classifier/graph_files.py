"""Tools for frozen graph files of any origin: rounding weights, conversion, counting, drawing."""
from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scripts.console import UserError, import_tensorflow, one_line, write_file
from scripts.console.settings import GraphSettings
from scripts.features import OWN_MARK, imported, parse_graph

from .graph import UNKNOWN_SCOPE
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
        if tensor is None or tensor.dtype != import_tensorflow().float32.as_datatype_enum \
                or node.name.startswith(f"{UNKNOWN_SCOPE}/"):  # its threshold was found with exact numbers
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
    content = graph.read_bytes()
    beside, new_beside = graph.with_suffix(".json"), output.with_suffix(".json")
    if OWN_MARK.encode() not in content or not beside.is_file():
        write_file(output, round_weights(content, str(graph), levels))
        return
    if new_beside.resolve() == beside.resolve() or new_beside.exists() and not _describes(new_beside, output):
        raise UserError(f"{new_beside} describes something else; that of {output.name} would take its place.",
                        "Give --output another name.")
    metadata = Metadata.from_json(beside.read_text("utf-8"), str(beside))
    content = round_weights(content, str(graph), levels)
    write_file(output, content)
    hashes = {output.name: hashlib.sha256(content).hexdigest()}
    write_file(new_beside, replace(metadata, files=hashes, test=None).to_json())


def _describes(beside: Path, graph: Path) -> bool:
    """Whether a file is the metadata of a graph alone."""
    try:
        return list(Metadata.from_json(beside.read_text("utf-8"), "").files) == [graph.name]
    except (UserError, OSError, UnicodeDecodeError):
        return False


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
    try:
        model = convert_function(lambda pixels: imported(found, pixels, found.output), taken.height, taken.width, kind)
    except Exception as error:  # the converter raises bare Exception
        raise UserError(f"{graph} cannot be converted: {one_line(error)}",
                        "Graphs of 8-bit operations never can; give the float graph.") from error
    write_file(output, model)


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
