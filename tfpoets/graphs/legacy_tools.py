"""Tools for frozen graphs of any origin: round weights, list operations, write a graph for TensorBoard."""
from __future__ import annotations

from pathlib import Path

import numpy as np

from tfpoets.tf_runtime import import_tensorflow

from .legacy_graphs import parse_graph
from .safety import check_whole_graph


def round_weights(content: bytes, source: str, levels: int = 256, keep: str = "", is_checked: bool = True) -> bytes:
    """Round every float constant of a graph to the nearest of `levels` values, evenly spaced over its range.

    TensorFlow for Poets' quantize_graph did the same with `mode`=weights_rounded
    (tensorflow/tools/quantization/quantize_graph.py, quantize_weight_rounded). Nodes and dtypes do not change.

    Args:
        content: A serialized GraphDef.
        source: The name of the graph in error messages.
        levels: The number of different values of each constant.
        keep: The name of a scope whose constants are not rounded, or "" for none.
        is_checked: Whether the operations and the size of the constants are checked.

    Returns:
        The rounded GraphDef, serialized.

    Raises:
        ModelError: The content is not a GraphDef, or an operation is not allowed.
    """
    tensorflow = import_tensorflow()
    graph_def = parse_graph(content, source)
    if is_checked:
        check_whole_graph(graph_def, source)
    for node in graph_def.node:
        tensor = node.attr["value"].tensor if node.op == "Const" else None
        if tensor is None or tensor.dtype != tensorflow.float32.as_datatype_enum \
                or (keep and node.name.startswith(f"{keep}/")):
            continue
        values = tensorflow.make_ndarray(tensor)
        tensor.CopyFrom(tensorflow.make_tensor_proto(_round_values(values, levels), shape=values.shape))
    return graph_def.SerializeToString(deterministic=True)


def _round_values(values: np.ndarray, levels: int) -> np.ndarray:
    if values.size < 2 or not np.isfinite(values).all() or values.min() == values.max():
        return values
    low, high = float(values.min()), float(values.max())
    step = (high - low) / (levels - 1)
    return (low + np.round((values - low) / step) * step).astype(np.float32)


def group_nodes_by_operation(content: bytes, source: str) -> dict[str, list[str]]:
    """Return the names of a graph's nodes by operation, the most frequent operation first.

    Args:
        content: A serialized GraphDef.
        source: The name of the graph in error messages.

    Raises:
        ModelError: The content is not a GraphDef.
    """
    names: dict[str, list[str]] = {}
    for node in parse_graph(content, source).node:
        names.setdefault(node.op, []).append(node.name)
    return dict(sorted(names.items(), key=lambda item: (-len(item[1]), item[0])))


def write_for_tensorboard(graph: Path, folder: Path) -> None:
    """Write a graph file as an event file into a log folder of TensorBoard."""
    graph_def = parse_graph(graph.read_bytes(), str(graph))
    v1 = import_tensorflow().compat.v1
    with v1.Graph().as_default():
        writer = v1.summary.FileWriter(str(folder))
        writer.add_graph(graph=None, graph_def=graph_def)
        writer.close()
