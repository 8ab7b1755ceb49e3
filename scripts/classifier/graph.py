"""Extractor and head as one TensorFlow graph: every export starts from what this function builds."""
from __future__ import annotations

from typing import Any

import numpy as np

from scripts.console import import_tensorflow
from scripts.features import INPUT_NODE, OUTPUT_NODE, OWN_MARK, Extractor
from scripts.training import Head

# Scope (Poets' name) and node of the new layer.
HEAD_SCOPE, LOGITS = OWN_MARK.split("/")
MODULE_SCOPE = "module"


def read_graph(extractor: Extractor) -> Any:
    """The extractor's frozen GraphDef."""
    return import_tensorflow().compat.v1.GraphDef.FromString(extractor.graph_path.read_bytes())


def add_classifier(pixels: Any, definition: Any, head: Head, output_name: str) -> Any:
    """Adds extractor and head to the graph that is being built.

    Args:
        pixels: float32 tensor [n, height, width, 3] in [0, 1].
        definition: the extractor's frozen GraphDef.
        head: its temperature is folded into the weights.
        output_name: of the softmax node.

    Returns:
        float32 tensor [n, classes], rows summing to 1.
    """
    tensorflow = import_tensorflow()
    bottleneck, = tensorflow.graph_util.import_graph_def(definition, {INPUT_NODE: pixels}, [f"{OUTPUT_NODE}:0"],
                                                         name=MODULE_SCOPE)
    with tensorflow.name_scope(HEAD_SCOPE):
        weights = tensorflow.constant(np.float32(head.weights / head.temperature), name="final_weights")
        bias = tensorflow.constant(np.float32(head.bias / head.temperature), name="final_biases")
        logits = tensorflow.add(tensorflow.matmul(bottleneck, weights), bias, name=LOGITS)
    return tensorflow.nn.softmax(logits, name=output_name)
