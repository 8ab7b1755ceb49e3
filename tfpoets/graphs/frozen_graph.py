"""Use TensorFlow to run frozen graphs (.pb) that tfpoets wrote."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tfpoets.tf_runtime import full_precision, import_tensorflow, redirect_native_stderr

from .node_names import PROBABILITIES, UNKNOWN_SCORE


def output_columns(outputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return a classifier's outputs as float32 [n, columns]: the probabilities, then the unknown score, if any."""
    return concatenate_outputs([outputs[name] for name in (PROBABILITIES, UNKNOWN_SCORE) if name in outputs])


def load_frozen_graph(graph: bytes, input_node: str, *output_nodes: str, takes_pixels: bool = False
                      ) -> Callable[[np.ndarray], np.ndarray]:
    """Load a serialized GraphDef as a function that computes in full float32.

    Args:
        graph: The bytes of a frozen GraphDef.
        input_node: The name of the node that takes photos, float32 [n, height, width, 3].
        *output_nodes: The names of the output nodes, each [n, columns] or [n].
        takes_pixels: Whether the function takes uint8 [n, height, width, 3] instead, and divides it by 255. On a GPU
            this is faster, because fewer bytes are copied to it.

    Returns:
        A function from photos to float32 [n, all columns], the outputs side by side.
    """
    from .safety import extract_inference_graph  # imported here because label_image does not need it for a .tflite
    tensorflow = import_tensorflow()
    v1 = tensorflow.compat.v1
    graph_def = extract_inference_graph(v1.GraphDef.FromString(graph), input_node, output_nodes, "The graph",
                                        is_checked=False)
    with redirect_native_stderr(), tensorflow.Graph().as_default():
        fed = f"{input_node}:0"
        replaced = {}
        if takes_pixels:
            fed = v1.placeholder(tensorflow.uint8, [None, None, None, 3])
            replaced = {input_node: tensorflow.cast(fed, tensorflow.float32) / 255}
        v1.import_graph_def(graph_def, replaced, name="")
        # A session starts in half the time of a tf.function of the same graph, and runs at least as fast.
        session = v1.Session()
    output_tensors = [f"{node}:0" for node in output_nodes]

    def run(photos: np.ndarray) -> np.ndarray:
        with full_precision:
            return concatenate_outputs(session.run(output_tensors, {fed: photos}))
    return run


def concatenate_outputs(outputs: Sequence[np.ndarray]) -> np.ndarray:
    """Concatenate arrays [n, columns] or [n] into one array [n, all columns]."""
    return outputs[0] if len(outputs) == 1 else np.column_stack(outputs)
