"""Frozen graphs of TensorFlow 1, as Poets downloaded and wrote them: what they are fed, and where they answer.

Such a file says nothing of itself but the names of its nodes; Poets' scripts had the rest hard-wired
(googlecodelabs/tensorflow-for-poets-2, scripts/retrain.py and label_image.py).
"""
from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scripts.console import UserError, full_precision, import_tensorflow, one_line, quiet_native_code

from .architectures import INCEPTION_GRAPH
from .module import NetworkFunction

GRAPH_NAMES = ("frozen_graph.pb", INCEPTION_GRAPH)
NOT_A_GRAPH = "Give a frozen graph (.pb) as Poets wrote it."
# Poets' --final_tensor_name.
RESULT = "final_result"
# A node that every graph and .tflite that this program writes has, and none that Poets made.
OWN_MARK = "final_training_ops/logits"


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
        UserError: it is no GraphDef, or a node is not to be found; the sentence lists the candidates.
    """
    definition = parse_graph(content, source)
    nodes = {node.name: node for node in definition.node}
    for layer in (input_layer, output_layer):
        if layer is not None and layer not in nodes:
            raise UserError(f"{source} has no node {layer!r}.", f"Its last node is {definition.node[-1].name!r}.")
    network = network_of(content)
    input_name = input_layer or _find_input(nodes, source)
    output_name = output_layer or _find_output(nodes, input_name, source)
    return PoetsGraph(definition, network, input_name, _shape(nodes[input_name]), output_name)


def parse_graph(content: bytes, source: str) -> Any:
    """The GraphDef in a file's bytes; raises a UserError, which calls it `source`, where there is none."""
    graph_def = import_tensorflow().compat.v1.GraphDef
    try:
        definition = graph_def.FromString(content)
    except Exception as error:  # protobuf's DecodeError lives at another place in each of its versions
        raise UserError(f"{source} is not a TensorFlow graph, or it is cut short.", NOT_A_GRAPH) from error
    if not definition.node:
        raise UserError(f"{source} is a graph without nodes.", NOT_A_GRAPH)
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
        raise UserError(f"{source} does not tell which node takes the pixels"
                        + (f": it could be {', '.join(sorted(found)[:10])}." if found else "."),
                        "Say which with --input_layer.")
    return found[0]


def _find_output(nodes: dict[str, Any], input_name: str, source: str) -> str:
    if RESULT in nodes:
        return RESULT
    read = {name for node in nodes.values() for name in _inputs(node)}
    found = []
    for name in nodes:
        if name not in read:
            behind = set(_behind(nodes, name))
            if input_name in behind and any(nodes[each].op == "Softmax" for each in behind):
                found.append(name)
    if len(found) != 1:
        raise UserError(f"{source} does not tell which node gives the answer"
                        + (f": it could be {', '.join(sorted(found)[:10])}." if found else "."),
                        "Say which with --output_layer.")
    return found[0]


def _behind(nodes: dict[str, Any], name: str) -> Iterator[str]:
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
        UserError: TensorFlow cannot run the graph.
    """
    tensorflow = import_tensorflow()
    spec = tensorflow.TensorSpec([batch, None, None, 3], tensorflow.float32)
    try:
        with quiet_native_code():
            function = tensorflow.compat.v1.wrap_function(lambda pixels: imported(graph, pixels, graph.output), [spec])
    except Exception as error:  # ValueError for most things, but whatever a damaged graph makes TensorFlow raise
        raise UserError(f"This TensorFlow cannot run the graph: {one_line(error)}", NOT_A_GRAPH) from error

    def run(photos: np.ndarray) -> np.ndarray:
        with full_precision:
            return np.asarray(function(tensorflow.constant(photos)))
    return run


def imported(graph: PoetsGraph, pixels: Any, node: str) -> Any:
    """Imports a graph into the one that is being built, fed with `pixels`; gives a node's tensor."""
    return import_tensorflow().graph_util.import_graph_def(graph.definition, {f"{graph.input}:0": pixels},
                                                           [f"{node}:0"], name="poets")[0]


class PoetsGraphModule:
    """The ImageNet graph that a Poets download holds, as an extractor.

    Its bottleneck is what the network pools before its last layer: 256 to 1,024 numbers of MobileNet v1, 2,048 of
    Inception v3. (Poets took the 1,001 class probabilities of MobileNet, which know less.)
    """

    default_size: int | None = None

    def __init__(self, path: Path, name: str | None = None):
        self.path = path
        of_poets = path.name in GRAPH_NAMES  # then the folder says more
        self.name = name or (f"{path.resolve().parent.name}_{path.stem}" if of_poets else path.stem)

    def digest(self) -> str:
        return "poets-graph/" + hashlib.blake2b(self.path.read_bytes(), digest_size=16).hexdigest()

    def build(self, image_size: int | None) -> tuple[NetworkFunction, int, int]:
        tensorflow = import_tensorflow()
        content = self.path.read_bytes()
        if OWN_MARK.encode() in content:
            raise UserError(f"{self.path} is a classifier that this program made, not an extractor.",
                            "Give the module that it was made with.")
        graph = read_poets_graph(content, str(self.path))
        nodes = {node.name: node for node in graph.definition.node}
        if any(node.op in ("Dequantize", "QuantizedConv2D") for node in nodes.values()):
            raise UserError(f"{self.path} is an 8-bit graph, whose features are coarser than they need be.",
                            "Give the float graph, frozen_graph.pb.")
        if graph.network is None:
            raise UserError(f"{self.path} is neither a MobileNet v1 nor an Inception v3, so how to feed it is not "
                            "known.", "Give a SavedModel.")
        pooled = next((name for name in _behind(nodes, graph.output) if nodes[name].op in ("AvgPool", "Mean")), None)
        if pooled is None:
            raise UserError(f"{self.path} has no pooled layer before its last one.", "Give an ImageNet graph.")
        side = self._side(graph, image_size)
        mean, std = graph.network.mean, graph.network.std

        def features(pixels: Any, training: bool = False) -> Any:  # constants: never trained
            maps = imported(graph, (pixels * 255.0 - mean) / std, pooled)
            return tensorflow.reshape(maps, [-1, int(np.prod(maps.shape[1:]))])
        return features, side, side

    def _side(self, graph: PoetsGraph, image_size: int | None) -> int:
        own = (graph.shape + (None,) * 4)[1] or (graph.network and graph.network.side)
        if own is None and image_size is None:
            raise UserError(f"{self.path} does not state the size of its input.", "Say it with --image_size.")
        if own and image_size and own != image_size:
            raise UserError(f"The graph {self.path} takes photos of {own} x {own} pixels only, not of "
                            f"{image_size} x {image_size}.", "Leave --image_size away.")
        return int(own or image_size or 0)
