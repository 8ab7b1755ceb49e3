"""Find the inputs and outputs of the TensorFlow 1 graphs that TensorFlow for Poets downloaded or wrote.

Such a file describes itself only by the names of its nodes. Everything else was hard-coded in the scripts of
TensorFlow for Poets (googlecodelabs/tensorflow-for-poets-2, scripts/retrain.py and label_image.py).
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfpoets.errors import ModelError, one_line
from tfpoets.tf_runtime import full_precision, import_tensorflow, redirect_native_stderr

from .file_kinds import identify_file
from .legacy_names import INCEPTION_GRAPH
from .node_names import HEAD_SCOPE, LOGITS

LEGACY_GRAPH_NAMES = ("frozen_graph.pb", INCEPTION_GRAPH)
USE_LEGACY_GRAPH = "Use a frozen graph (.pb) that TensorFlow for Poets wrote."
# The default of `final_tensor_name` in TensorFlow for Poets.
LEGACY_OUTPUT = "final_result"
# The name of a node in every graph and .tflite that tfpoets writes, and in no graph of TensorFlow for Poets.
TFPOETS_MARKER = f"{HEAD_SCOPE}/{LOGITS}"


@dataclass(frozen=True)
class LegacyNetwork:
    """A family of networks that TensorFlow for Poets used.

    Attributes:
        name: The name in messages.
        node_substring: Text that is part of a node's name in every graph of the family.
        mean, std: The input scaling. Pixels p from 0 to 255 are fed as (p - mean) / std.
        input_size: Height and width of the input in pixels, if it is the same for the whole family; otherwise None.
    """

    name: str
    node_substring: str
    mean: float
    std: float
    input_size: int | None = None


# The first match wins. A graph that TF Hub's retrain.py wrote contains a module and is fed like one, whatever network
# the module contains.
LEGACY_NETWORKS = (LegacyNetwork("a TF Hub module", "module_apply_default/", 0.0, 255.0),
                   LegacyNetwork("MobileNet v1", "MobilenetV1/", 127.5, 127.5),
                   LegacyNetwork("Inception v3 (slim)", "InceptionV3/", 0.0, 255.0, 299),
                   LegacyNetwork("Inception v3", "mixed_10/join", 128.0, 128.0, 299))


def identify_legacy_network(content: bytes) -> LegacyNetwork | None:
    """Return the family of a graph or .tflite by the node names in its bytes, or None if it belongs to none."""
    return next((network for network in LEGACY_NETWORKS if network.node_substring.encode() in content), None)


@dataclass(frozen=True)
class LegacyGraph:
    """A frozen GraphDef and the properties that its node names reveal.

    Attributes:
        graph_def: The GraphDef.
        network: The family of its network, or None.
        input: The name of the node that takes pixels.
        shape: The shape of that node, with None for dimensions of any size; empty if the graph does not state it.
        output: The name of the node with the class probabilities.
    """

    graph_def: Any
    network: LegacyNetwork | None
    input: str
    shape: tuple[int | None, ...]
    output: str

    @property
    def is_quantized(self) -> bool:
        """Whether the graph computes with 8-bit operations."""
        return any(node.op in ("Dequantize", "QuantizedConv2D") for node in self.graph_def.node)

    @property
    def pools_with_fixed_kernel(self) -> bool:
        """Whether an average pool has a fixed kernel size; it would ignore the margins of larger photos."""
        return any(node.op == "AvgPool" for node in self.graph_def.node)

    def pooling_node(self) -> str | None:
        """Return the name of the node that pools the feature maps before the last layer, or None."""
        nodes = {node.name: node for node in self.graph_def.node}
        return next((name for name in _iterate_ancestors(nodes, self.output) if nodes[name].op in ("AvgPool", "Mean")),
                    None)


def read_legacy_graph(content: bytes, source: str, input_layer: str | None = None,
                      output_layer: str | None = None, is_checked: bool = True) -> LegacyGraph:
    """Read a frozen GraphDef, find its input and output, and remove what the output does not need.

    Args:
        content: The bytes of the file.
        source: The name of the graph in error messages.
        input_layer: The name of the input node; None: search for it.
        output_layer: The name of the output node; None: search for it.
        is_checked: Whether the operations are checked.

    Raises:
        ModelError: The content is not a GraphDef, an operation is not allowed, or a node cannot be found. The message
            lists the candidates.
    """
    from .safety import extract_inference_graph  # imported here because label_image does not need it for a .tflite
    graph_def = parse_graph(content, source)
    nodes = {node.name: node for node in graph_def.node}
    for layer in (input_layer, output_layer):
        if layer is not None and layer not in nodes:
            raise ModelError(f"{source} has no node {layer!r}.", f"Its last node is {graph_def.node[-1].name!r}.")
    input_name = input_layer or _find_input(nodes, source)
    output_name = output_layer or _find_output(nodes, input_name, source)
    shape = _placeholder_shape(nodes[input_name])
    graph_def = extract_inference_graph(graph_def, input_name, (output_name,), source, is_checked)
    return LegacyGraph(graph_def, identify_legacy_network(content), input_name, shape, output_name)


def parse_graph(content: bytes, source: str) -> Any:
    """Parse the bytes of a file as a GraphDef; raise a ModelError that names `source` if they are not one."""
    kind = identify_file(content)
    if kind is not None:
        raise ModelError(f"{source} is not a TensorFlow graph: it {kind.description}.", kind.classifier_remedy)
    tensorflow = import_tensorflow()
    try:
        graph_def = tensorflow.compat.v1.GraphDef.FromString(content)
    except Exception as error:  # protobuf moved its DecodeError between versions
        raise ModelError(f"{source} is not a TensorFlow graph, or it is truncated.", USE_LEGACY_GRAPH) from error
    if not graph_def.node:
        raise ModelError(f"{source} is a graph without nodes.", USE_LEGACY_GRAPH)
    return graph_def


def _input_nodes(node: Any) -> list[str]:
    """Return the names of the nodes that a node reads, without output indices and the "^" of control dependencies."""
    return [name.lstrip("^").split(":")[0] for name in node.input]


def _find_input(nodes: dict[str, Any], source: str) -> str:
    # The graph of Inception v3 decodes and resizes photos itself. TensorFlow for Poets fed it after that, at Mul.
    if "Mul" in nodes and "DecodeJpeg/contents" in nodes:
        return "Mul"
    candidates = [name for name, node in nodes.items() if node.op == "Placeholder" and _may_take_photos(node)]
    return "input" if "input" in candidates else _only_candidate(candidates, source, "takes the pixels", "input_layer")


def _may_take_photos(placeholder: Any) -> bool:
    shape = _placeholder_shape(placeholder)
    return len(shape) in (0, 4) and (shape + (None,) * 4)[3] in (3, None)


def _find_output(nodes: dict[str, Any], input_name: str, source: str) -> str:
    """Return the name of the node with the probabilities."""
    if LEGACY_OUTPUT in nodes:
        return LEGACY_OUTPUT
    consumed = {name for node in nodes.values() for name in _input_nodes(node)}
    candidates = []
    for name in nodes:
        if name not in consumed:
            ancestors = set(_iterate_ancestors(nodes, name))
            if input_name in ancestors and any(nodes[ancestor].op == "Softmax" for ancestor in ancestors):
                candidates.append(name)
    return _only_candidate(candidates, source, "is the output", "output_layer")


def _only_candidate(candidates: list[str], source: str, role: str, option: str) -> str:
    if len(candidates) != 1:
        raise ModelError(f"It is not clear which node of {source} {role}"
                         + (f"; it could be {', '.join(sorted(candidates)[:10])}." if candidates else "."),
                         f"Specify it with `{option}`.")
    return candidates[0]


def _iterate_ancestors(nodes: dict[str, Any], name: str) -> Iterator[str]:
    """Yield the names of a node and of all nodes that it depends on, in breadth-first order."""
    waiting, seen = [name], {name}
    while waiting:
        current = waiting.pop(0)
        yield current
        for parent in _input_nodes(nodes[current]) if current in nodes else ():
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)


def _placeholder_shape(node: Any) -> tuple[int | None, ...]:
    """Return the shape that a placeholder states, with None for dimensions of any size; empty if it states none."""
    if "shape" not in node.attr or node.attr["shape"].shape.unknown_rank:
        return ()
    return tuple(None if dim.size < 0 else dim.size for dim in node.attr["shape"].shape.dim)


def wrap_legacy_graph(graph: LegacyGraph, batch_size: int | None) -> Callable[[np.ndarray], np.ndarray]:
    """Wrap a graph in a function that computes in full float32.

    Args:
        graph: The graph, from `read_legacy_graph`.
        batch_size: The number of photos per call; None: any number.

    Returns:
        A function from scaled pixels, float32 [n, height, width, 3], to probabilities, float32 [n, n_classes].

    Raises:
        ModelError: TensorFlow cannot run the graph.
    """
    tensorflow = import_tensorflow()
    spec = tensorflow.TensorSpec([batch_size, None, None, 3], tensorflow.float32)
    try:
        with redirect_native_stderr():
            function = tensorflow.compat.v1.wrap_function(
                lambda pixels: import_legacy_graph(graph, pixels, graph.output), [spec])
    except Exception as error:  # usually a ValueError, but a damaged graph can make TensorFlow raise nearly anything
        raise ModelError(f"The installed TensorFlow cannot run the graph: {one_line(error)}",
                         USE_LEGACY_GRAPH) from error

    def run(photos: np.ndarray) -> np.ndarray:
        with full_precision:
            return np.asarray(function(tensorflow.constant(photos)))
    return run


def import_legacy_graph(graph: LegacyGraph, pixels: Any, node: str) -> Any:
    """Import a graph into the current TensorFlow graph, feed it with `pixels`, and return the tensor of a node."""
    # The scope is still called `poets`: a different name would change the bytes of every prepared extractor.
    return import_tensorflow().graph_util.import_graph_def(graph.graph_def, {f"{graph.input}:0": pixels},
                                                           [f"{node}:0"], name="poets")[0]
