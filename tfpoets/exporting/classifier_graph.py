"""Extractor and head as one TensorFlow graph: every export starts from what this function builds."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tfpoets.extractors import INPUT_NODE, OUTPUT_NODE, Extractor
from tfpoets.graphs import OWN_MARK
from tfpoets.tf_runtime import import_tensorflow

if TYPE_CHECKING:
    from tfpoets.training import Head, UnknownScore

# Scope (Poets' name) and node of the new layer.
HEAD_SCOPE, LOGITS = OWN_MARK.split("/")
MODULE_SCOPE = "module"
UNKNOWN_SCOPE, UNKNOWN_SCORE = "unknown", "unknown_score"


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
    tensorflow = import_tensorflow()
    bottleneck, = tensorflow.graph_util.import_graph_def(definition, {INPUT_NODE: pixels}, [f"{OUTPUT_NODE}:0"],
                                                         name=MODULE_SCOPE)
    with tensorflow.name_scope(HEAD_SCOPE):
        weights = tensorflow.constant(np.float32(head.weights / head.temperature), name="final_weights")
        bias = tensorflow.constant(np.float32(head.bias / head.temperature), name="final_biases")
        logits = tensorflow.add(tensorflow.matmul(bottleneck, weights), bias, name=LOGITS)
    probabilities = tensorflow.nn.softmax(logits, name=output_name)
    return Answers(probabilities, None if head.unknown is None else _unknown_score(bottleneck, head.unknown))


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


def _unknown_score(bottleneck: Any, unknown: UnknownScore) -> Any:
    """`UnknownScore.scores` as operations: float32 [n, depth] to [n]."""
    tensorflow = import_tensorflow()
    with tensorflow.name_scope(UNKNOWN_SCOPE):
        length = tensorflow.sqrt(tensorflow.reduce_sum(bottleneck * bottleneck, axis=1, keepdims=True))
        unit = bottleneck / tensorflow.maximum(length, 1e-6)
        references = tensorflow.constant(unknown.references)
        nearest = tensorflow.math.top_k(tensorflow.matmul(unit, references, transpose_b=True), unknown.nearest).indices
        gaps = unit[:, None] - tensorflow.gather(references, nearest)
        neighbours = tensorflow.reduce_mean(tensorflow.reduce_sum(gaps * gaps, axis=2), axis=1) / 2
        projected = tensorflow.matmul(bottleneck, tensorflow.constant(unknown.projection)) - unknown.shift
        coupled = tensorflow.matmul(projected, tensorflow.constant(unknown.coupling))
        relative = (tensorflow.reduce_min(unknown.offsets - 2 * projected, axis=1)
                    + tensorflow.reduce_sum(coupled * projected, axis=1))
        neighbours, relative = ((part - mean) / spread for part, mean, spread in
                                zip((neighbours, relative), unknown.means, unknown.spreads))
        total = neighbours + tensorflow.square(tensorflow.nn.relu(neighbours)) / 2 + relative
    return tensorflow.identity(total, name=UNKNOWN_SCORE)
