"""Frozen graphs of TensorFlow 1, as Poets downloaded and wrote them: what they are fed, and where they answer.

Such a file says nothing of itself but the names of its nodes; Poets' scripts had the rest hard-wired
(googlecodelabs/tensorflow-for-poets-2, scripts/retrain.py and label_image.py).
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfpoets.errors import ModelError, one_line
from tfpoets.tf_runtime import full_precision, import_tensorflow, quiet_native_code

from .legacy_names import INCEPTION_GRAPH
from .node_names import HEAD_SCOPE, LOGITS

GRAPH_NAMES = ("frozen_graph.pb", INCEPTION_GRAPH)
NOT_A_GRAPH = "Give a frozen graph (.pb) as Poets wrote it."
# Poets' `final_tensor_name`.
RESULT = "final_result"
# A node that every graph and .tflite that this program writes has, and none that Poets made.
OWN_MARK = f"{HEAD_SCOPE}/{LOGITS}"


@dataclass(frozen=True)
class PoetsNetwork:
    """A family of networks that Poets used.

    Attributes:
        name: for messages.
        mark: what a node's name holds in every graph of the family.
        mean, std: pixels p from 0 to 255 are fed as (p - mean) / std.
        side: of its input in pixels, where every network of the family has the same.
    """

    name: str
    mark: str
    mean: float
    std: float
    side: int | None = None


# The first whose mark is found counts. A graph of TF Hub's retrain.py holds a module, and is fed what modules take.
NETWORKS = (PoetsNetwork("a TF Hub module", "module_apply_default/", 0.0, 255.0),
            PoetsNetwork("MobileNet v1", "MobilenetV1/", 127.5, 127.5),
            PoetsNetwork("Inception v3 (slim)", "InceptionV3/", 0.0, 255.0, 299),
            PoetsNetwork("Inception v3", "mixed_10/join", 128.0, 128.0, 299))


def network_of(content: bytes) -> PoetsNetwork | None:
    """The family of a graph or .tflite, told by the names inside the file; None for one that Poets did not know."""
    return next((network for network in NETWORKS if network.mark.encode() in content), None)


@dataclass(frozen=True)
class PoetsGraph:
    """A frozen GraphDef with what its nodes tell.

    Attributes:
        definition: the GraphDef.
        network: its family, or None.
        input: name of the node that takes pixels.
        shape: of that node, None where the graph leaves a side open.
        output: name of the node with the class probabilities.
    """

    definition: Any
    network: PoetsNetwork | None
    input: str
    shape: tuple[int | None, ...]
    output: str


def read_poets_graph(content: bytes, source: str, input_layer: str | None = None,
                     output_layer: str | None = None) -> PoetsGraph:
    """Reads a frozen GraphDef and finds its input and output.

    Args:
        content: the file's bytes.
        source: what messages call it.
        input_layer, output_layer: names of nodes, where a person gave them.

    Raises:
        ModelError: it is no GraphDef, or a node is not to be found; the sentence lists the candidates.
    """
    definition = parse_graph(content, source)
    nodes = {node.name: node for node in definition.node}
    for layer in (input_layer, output_layer):
        if layer is not None and layer not in nodes:
            raise ModelError(f"{source} has no node {layer!r}.", f"Its last node is {definition.node[-1].name!r}.")
    network = network_of(content)
    input_name = input_layer or _find_input(nodes, source)
    output_name = output_layer or _find_output(nodes, input_name, source)
    return PoetsGraph(definition, network, input_name, _shape(nodes[input_name]), output_name)


def parse_graph(content: bytes, source: str) -> Any:
    """The GraphDef in a file's bytes; raises a ModelError, which calls it `source`, where there is none."""
    graph_def = import_tensorflow().compat.v1.GraphDef
    try:
        definition = graph_def.FromString(content)
    except Exception as error:  # protobuf's DecodeError lives at another place in each of its versions
        raise ModelError(f"{source} is not a TensorFlow graph, or it is cut short.", NOT_A_GRAPH) from error
    if not definition.node:
        raise ModelError(f"{source} is a graph without nodes.", NOT_A_GRAPH)
    return definition


def _inputs(node: Any) -> list[str]:
    """The names of the nodes that a node reads, without ports and control marks."""
    return [name.lstrip("^").split(":")[0] for name in node.input]


def _find_input(nodes: dict[str, Any], source: str) -> str:
    # Inception's graph decodes and resizes by itself; Poets fed it at Mul, behind that.
    if "Mul" in nodes and "DecodeJpeg/contents" in nodes:
        return "Mul"
    found = [name for name, node in nodes.items() if node.op == "Placeholder"
             and (_shape(node) + (None,) * 4)[3] in (3, None) and len(_shape(node)) in (0, 4)]
    if "input" in found:
        return "input"
    if len(found) != 1:
        raise ModelError(f"{source} does not tell which node takes the pixels"
                         + (f": it could be {', '.join(sorted(found)[:10])}." if found else "."),
                         "Say which with `input_layer`.")
    return found[0]


def _find_output(nodes: dict[str, Any], input_name: str, source: str) -> str:
    if RESULT in nodes:
        return RESULT
    read = {name for node in nodes.values() for name in _inputs(node)}
    found = []
    for name in nodes:
        if name not in read:
            behind = set(nodes_behind(nodes, name))
            if input_name in behind and any(nodes[each].op == "Softmax" for each in behind):
                found.append(name)
    if len(found) != 1:
        raise ModelError(f"{source} does not tell which node gives the answer"
                         + (f": it could be {', '.join(sorted(found)[:10])}." if found else "."),
                         "Say which with `output_layer`.")
    return found[0]


def nodes_behind(nodes: dict[str, Any], name: str) -> Iterator[str]:
    """A node and all nodes it depends on, the nearest first."""
    waiting, seen = [name], {name}
    while waiting:
        current = waiting.pop(0)
        yield current
        for before in _inputs(nodes[current]) if current in nodes else ():
            if before not in seen:
                seen.add(before)
                waiting.append(before)


def _shape(node: Any) -> tuple[int | None, ...]:
    """The shape that a placeholder states, with None for open sides; empty where it states none."""
    if "shape" not in node.attr or node.attr["shape"].shape.unknown_rank:
        return ()
    return tuple(None if dim.size < 0 else dim.size for dim in node.attr["shape"].shape.dim)


def run_poets_graph(graph: PoetsGraph, batch: int | None) -> Callable[[np.ndarray], np.ndarray]:
    """A graph as a function from scaled pixels, float32 [n, height, width, 3], to its answers, float32 [n, classes].

    Args:
        graph: from `read_poets_graph`.
        batch: how many photos at a time; None: any number.

    Raises:
        ModelError: TensorFlow cannot run the graph.
    """
    tensorflow = import_tensorflow()
    spec = tensorflow.TensorSpec([batch, None, None, 3], tensorflow.float32)
    try:
        with quiet_native_code():
            function = tensorflow.compat.v1.wrap_function(lambda pixels: imported(graph, pixels, graph.output), [spec])
    except Exception as error:  # ValueError for most things, but whatever a damaged graph makes TensorFlow raise
        raise ModelError(f"This TensorFlow cannot run the graph: {one_line(error)}", NOT_A_GRAPH) from error

    def run(photos: np.ndarray) -> np.ndarray:
        with full_precision:
            return np.asarray(function(tensorflow.constant(photos)))
    return run


def imported(graph: PoetsGraph, pixels: Any, node: str) -> Any:
    """Imports a graph into the one that is being built, fed with `pixels`; gives a node's tensor."""
    return import_tensorflow().graph_util.import_graph_def(graph.definition, {f"{graph.input}:0": pixels},
                                                           [f"{node}:0"], name="poets")[0]
