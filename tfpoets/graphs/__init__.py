"""TensorFlow graphs as files: read, run and checked; and what is known about TensorFlow for Poets' graphs."""
from .frozen_graph import columns_of, load_frozen_graph, side_by_side
from .graph_files import count_operations, round_weights, write_for_tensorboard
from .legacy_graphs import (GRAPH_NAMES, OWN_MARK, LegacyGraph, LegacyNetwork, imported, network_of, read_legacy_graph,
                            run_legacy_graph)
from .legacy_names import SIZES, WIDTHS, architecture_names, find_architecture
from .node_names import HEAD_SCOPE, LOGITS, MODULE_SCOPE, PROBABILITIES, UNKNOWN_SCOPE, UNKNOWN_SCORE
from .saved_model import load_signature
from .signatures import Signature, has_variables, inference_graph, load_signatures, shape_text

__all__ = ["GRAPH_NAMES", "HEAD_SCOPE", "LOGITS", "MODULE_SCOPE", "OWN_MARK", "PROBABILITIES", "SIZES",
           "UNKNOWN_SCOPE", "UNKNOWN_SCORE", "WIDTHS", "LegacyGraph", "LegacyNetwork", "Signature",
           "architecture_names", "columns_of", "count_operations", "find_architecture", "has_variables", "imported",
           "inference_graph", "load_frozen_graph", "load_signature", "load_signatures", "network_of",
           "read_legacy_graph", "round_weights", "run_legacy_graph", "shape_text", "side_by_side",
           "write_for_tensorboard"]
