"""Read and run TensorFlow graphs, including those of TensorFlow for Poets."""
from .frozen_graph import concatenate_outputs, load_frozen_graph, output_columns
from .legacy_graphs import (LEGACY_GRAPH_NAMES, TFPOETS_MARKER, LegacyGraph, LegacyNetwork, identify_legacy_network,
                            import_legacy_graph, read_legacy_graph, wrap_legacy_graph)
from .legacy_names import MOBILENET_SIZES, MOBILENET_WIDTHS, architecture_names, find_architecture
from .legacy_tools import group_nodes_by_operation, round_weights, write_for_tensorboard
from .node_names import HEAD_SCOPE, LOGITS, MODULE_SCOPE, PROBABILITIES, UNKNOWN_SCOPE, UNKNOWN_SCORE
from .signature_runner import load_signature
from .signatures import Signature, find_inference_graph, format_shape, has_variables, load_signatures

__all__ = ["HEAD_SCOPE", "LEGACY_GRAPH_NAMES", "LOGITS", "MOBILENET_SIZES", "MOBILENET_WIDTHS", "MODULE_SCOPE",
           "PROBABILITIES", "TFPOETS_MARKER", "UNKNOWN_SCOPE", "UNKNOWN_SCORE", "LegacyGraph", "LegacyNetwork",
           "Signature", "architecture_names", "concatenate_outputs", "find_architecture", "find_inference_graph",
           "format_shape", "group_nodes_by_operation", "has_variables", "identify_legacy_network",
           "import_legacy_graph", "load_frozen_graph", "load_signature", "load_signatures", "output_columns",
           "read_legacy_graph", "round_weights", "wrap_legacy_graph", "write_for_tensorboard"]
