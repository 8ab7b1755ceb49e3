"""Extractor and head as one TensorFlow graph: every export starts from what this function builds."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tfpoets.extractors import INPUT_NODE, OUTPUT_NODE, Extractor
from tfpoets.graphs import MODULE_SCOPE, PROBABILITIES, UNKNOWN_SCORE
from tfpoets.tf_runtime import import_tensorflow

if TYPE_CHECKING:
    from tfpoets.training import Head



class Answers(NamedTuple):
    """Tensors: float32 [n, classes], rows summing to 1; and float32 [n], or None where the head has no such score."""

    probabilities: Any
    unknown_score: Any


def read_graph(extractor: Extractor) -> Any:
    """The extractor's frozen GraphDef."""
    return import_tensorflow().compat.v1.GraphDef.FromString(extractor.graph_path.read_bytes())


def add_classifier(pixels: Any, definition: Any, head: Head, output_name: str) -> Answers:
    """Adds extractor and head to the graph that is being built.

    Args:
        pixels: float32 tensor [n, height, width, 3] in [0, 1].
        definition: the extractor's frozen GraphDef.
        head: its temperature is folded into the weights.
        output_name: of the softmax node; the other is UNKNOWN_SCORE.
    """
    bottleneck, = import_tensorflow().graph_util.import_graph_def(
        definition, {INPUT_NODE: pixels}, [f"{OUTPUT_NODE}:0"], name=MODULE_SCOPE)
    outputs = head.add_to_graph(bottleneck, output_name)
    return Answers(outputs[PROBABILITIES], outputs.get(UNKNOWN_SCORE))


def frozen_answers(pixels: Any, definition: Any, output_node: str, has_score: bool) -> Answers:
    """Adds a whole frozen classifier to the graph that is being built.

    Args:
        pixels: as in `add_classifier`.
        definition: what `add_classifier` made, frozen.
        output_node: of its probabilities.
        has_score: whether it has a score for unknown photos, too.
    """
    nodes = [f"{output_node}:0"] + ([f"{UNKNOWN_SCORE}:0"] if has_score else [])
    found = import_tensorflow().graph_util.import_graph_def(definition, {INPUT_NODE: pixels}, nodes, name="classifier")
    return Answers(found[0], found[1] if has_score else None)
