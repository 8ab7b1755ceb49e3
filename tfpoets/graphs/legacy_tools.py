"""Frozen graph files of any origin: rounding weights, counting operations, drawing."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.tf_runtime import import_tensorflow

from .legacy_graphs import parse_graph


def round_weights(content: bytes, source: str, levels: int = 256, keep: str = "") -> bytes:
    """Round every float constant of a graph to the nearest of some values that are evenly spread over its range.

    TensorFlow for Poets' quantize_graph did the same with `mode`=weights_rounded
    (tensorflow/tools/quantization/quantize_graph.py, quantize_weight_rounded): nodes and types stay.

    Args:
        content: a serialized GraphDef.
        source: what messages call it.
        levels: how many values.
        keep: the name of a scope whose constants stay as they are; empty for none.

    Raises:
        ModelError: it is no GraphDef.
    """
    make_ndarray, make_tensor_proto = import_tensorflow().make_ndarray, import_tensorflow().make_tensor_proto
    definition = parse_graph(content, source)
    for node in definition.node:
        tensor = node.attr["value"].tensor if node.op == "Const" else None
        if tensor is None or tensor.dtype != import_tensorflow().float32.as_datatype_enum \
                or (keep and node.name.startswith(f"{keep}/")):
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


def count_operations(content: bytes, source: str) -> dict[str, list[Any]]:
    """Return the names of a graph's nodes by their operation, the commonest first."""
    found: dict[str, list[Any]] = {}
    for node in parse_graph(content, source).node:
        found.setdefault(node.op, []).append(node.name)
    return dict(sorted(found.items(), key=lambda each: (-len(each[1]), each[0])))


def write_for_tensorboard(graph: Path, folder: Path) -> None:
    """Add a graph file to a folder of TensorBoard's as an event."""
    definition = parse_graph(graph.read_bytes(), str(graph))
    v1 = import_tensorflow().compat.v1
    with v1.Graph().as_default():
        writer = v1.summary.FileWriter(str(folder))
        writer.add_graph(graph=None, graph_def=definition)
        writer.close()
