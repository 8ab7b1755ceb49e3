"""Frozen graphs of TensorFlow 1, as TensorFlow for Poets downloaded and wrote them: their input and their output.

Such a file holds no description but the names of its nodes; the scripts of TensorFlow for Poets had the rest
hard-wired (googlecodelabs/tensorflow-for-poets-2, scripts/retrain.py and label_image.py).
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfpoets.errors import ModelError, one_line
from tfpoets.tf_runtime import full_precision, import_tensorflow, redirect_native_stderr

from .legacy_names import INCEPTION_GRAPH
from .node_names import HEAD_SCOPE, LOGITS

GRAPH_NAMES = ("frozen_graph.pb", INCEPTION_GRAPH)
NOT_A_GRAPH = "Give a frozen graph (.pb) as TensorFlow for Poets wrote it."
# `final_tensor_name` of TensorFlow for Poets.
RESULT = "final_result"
# A node that every graph and .tflite that this program writes has, and none of TensorFlow for Poets.
OWN_MARK = f"{HEAD_SCOPE}/{LOGITS}"


@dataclass(frozen=True)
class LegacyNetwork:
    """A family of networks that TensorFlow for Poets used.

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
NETWORKS = (LegacyNetwork("a TF Hub module", "module_apply_default/", 0.0, 255.0),
            LegacyNetwork("MobileNet v1", "MobilenetV1/", 127.5, 127.5),
            LegacyNetwork("Inception v3 (slim)", "InceptionV3/", 0.0, 255.0, 299),
            LegacyNetwork("Inception v3", "mixed_10/join", 128.0, 128.0, 299))


def identify_network(content: bytes) -> LegacyNetwork | None:
    """Return the family of a graph or .tflite, told by the names inside the file; None for one of no known family."""
    return next((network for network in NETWORKS if network.mark.encode() in content), None)


@dataclass(frozen=True)
class LegacyGraph:
    """A frozen GraphDef with what the names of its nodes tell.

    Attributes:
        definition: the GraphDef.
        network: its family, or None.
        input: name of the node that takes pixels.
        shape: of that node, None where the graph leaves a side open.
        output: name of the node with the class probabilities.
    """

    definition: Any
    network: LegacyNetwork | None
    input: str
    shape: tuple[int | None, ...]
    output: str

    @property
    def is_quantized(self) -> bool:
        """Whether it computes with 8-bit operations."""
        return any(node.op in ("Dequantize", "QuantizedConv2D") for node in self.definition.node)

    @property
    def pools_with_fixed_kernel(self) -> bool:
        """Whether an average pool has a kernel of fixed size, which leaves a rest of photos that are too large."""
        return any(node.op == "AvgPool" for node in self.definition.node)

    def pooled_layer(self) -> str | None:
        """Return the name of the node that pools the feature maps before the last layer, or None."""
        nodes = {node.name: node for node in self.definition.node}
        behind = _nodes_behind(nodes, self.output)
        return next((name for name in behind if nodes[name].op in ("AvgPool", "Mean")), None)


def read_legacy_graph(content: bytes, source: str, input_layer: str | None = None,
                     output_layer: str | None = None) -> LegacyGraph:
    """Read a frozen GraphDef and find its input and output.

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
    network = identify_network(content)
    input_name = input_layer or _find_input(nodes, source)
    output_name = output_layer or _find_output(nodes, input_name, source)
    return LegacyGraph(definition, network, input_name, _shape(nodes[input_name]), output_name)


def parse_graph(content: bytes, source: str) -> Any:
    """Return the GraphDef in a file's bytes; raise a ModelError, which calls it `source`, where there is none."""
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
    # Inception's graph decodes and resizes by itself; TensorFlow for Poets fed it at Mul, behind that.
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
            behind = set(_nodes_behind(nodes, name))
            if input_name in behind and any(nodes[each].op == "Softmax" for each in behind):
                found.append(name)
    if len(found) != 1:
        raise ModelError(f"{source} does not tell which node gives the answer"
                         + (f": it could be {', '.join(sorted(found)[:10])}." if found else "."),
                         "Say which with `output_layer`.")
    return found[0]


def _nodes_behind(nodes: dict[str, Any], name: str) -> Iterator[str]:
    """Yield the names of a node and of all nodes it depends on, the nearest first."""
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


def run_legacy_graph(graph: LegacyGraph, batch: int | None) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from scaled pixels, float32 [n, height, width, 3], to the answers, float32 [n, classes].

    Args:
        graph: from `read_legacy_graph`.
        batch: how many photos at a time; None: any number.

    Raises:
        ModelError: TensorFlow cannot run the graph.
    """
    tensorflow = import_tensorflow()
    spec = tensorflow.TensorSpec([batch, None, None, 3], tensorflow.float32)
    try:
        with redirect_native_stderr():
            function = tensorflow.compat.v1.wrap_function(lambda pixels: imported(graph, pixels, graph.output), [spec])
    except Exception as error:  # ValueError for most things, but whatever a damaged graph makes TensorFlow raise
        raise ModelError(f"This TensorFlow cannot run the graph: {one_line(error)}", NOT_A_GRAPH) from error

    def run(photos: np.ndarray) -> np.ndarray:
        with full_precision:
            return np.asarray(function(tensorflow.constant(photos)))
    return run


def imported(graph: LegacyGraph, pixels: Any, node: str) -> Any:
    """Import a graph into the one that is being built, fed with `pixels`, and return a node's tensor."""
    # `poets` stays in the names of nodes: another name would change the bytes of every prepared extractor.
    return import_tensorflow().graph_util.import_graph_def(graph.definition, {f"{graph.input}:0": pixels},
                                                           [f"{node}:0"], name="poets")[0]
