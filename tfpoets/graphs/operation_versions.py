"""The versions of TensorFlow, and of OpenCV, that have the operations of a graph."""
from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

SINCE={'1.13':''}
_VERSION_INDEX={}
OPENCV_OPERATIONS=frozenset()


def graph_nodes(graph_def: Any) -> Iterable[Any]:
    """Return the nodes of a GraphDef and of its functions."""
    return chain(graph_def.node, *(function.node_def for function in graph_def.library.function))


def oldest_tensorflow(graph_def: Any) -> str:
    """Return the oldest version of TensorFlow, from 1.13, that has the operations and attributes of a graph.

    Args:
        graph_def: A GraphDef without attributes that have their default value.

    Returns:
        The version, such as "1.15"; "" if it is not known for an operation.
    """
    functions = {function.signature.name for function in graph_def.library.function}
    oldest = 0
    for node in graph_nodes(graph_def):
        names = [node.op, *(f"{node.op}.{name}" for name in node.attr)]
        if node.op in functions:
            continue
        if node.op not in _VERSION_INDEX:
            return ""
        oldest = max(oldest, *(_VERSION_INDEX.get(name, 0) for name in names))
    return list(SINCE)[oldest]


def unsupported_by_opencv(graph_def: Any) -> list[str]:
    """Return the names of the operations of a frozen graph that OpenCV's dnn module cannot run, sorted."""
    constants = {node.name for node in graph_def.node if node.op == "Const"}
    return sorted({node.op for node in graph_def.node if node.op not in OPENCV_OPERATIONS
                   # OpenCV computes x - constant for both orders.
                   or node.op == "Sub" and node.input[0].split(":")[0] in constants})
