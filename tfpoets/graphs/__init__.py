"""TensorFlow graphs as files: read, run and checked; and what is known about TensorFlow for Poets' graphs."""
from .frozen_graph import concatenate_outputs, load_frozen_graph, output_columns
from .legacy_graphs import (GRAPH_NAMES, OWN_MARK, LegacyGraph, LegacyNetwork, identify_network, imported,
                            read_legacy_graph, run_legacy_graph)
from .legacy_names import SIZES, WIDTHS, architecture_names, find_architecture
from .legacy_tools import count_operations, round_weights, write_for_tensorboard
from .node_names import HEAD_SCOPE, LOGITS, MODULE_SCOPE, PROBABILITIES, UNKNOWN_SCOPE, UNKNOWN_SCORE
from .signature_runner import load_signature
from .signatures import Signature, has_variables, inference_graph, load_signatures, shape_text

__all__ = ["GRAPH_NAMES", "HEAD_SCOPE", "LOGITS", "MODULE_SCOPE", "OWN_MARK", "PROBABILITIES", "SIZES",
           "UNKNOWN_SCOPE", "UNKNOWN_SCORE", "WIDTHS", "LegacyGraph", "LegacyNetwork", "Signature",
           "architecture_names", "concatenate_outputs", "count_operations", "find_architecture", "has_variables",
           "identify_network", "imported", "inference_graph", "load_frozen_graph", "load_signature", "load_signatures",
           "output_columns", "read_legacy_graph", "round_weights", "run_legacy_graph", "shape_text",
           "write_for_tensorboard"]
