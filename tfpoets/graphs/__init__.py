"""TensorFlow graphs as files, and what is known about TensorFlow for Poets' graphs."""
from .graph_files import count_operations, round_weights, write_for_tensorboard
from .legacy_graphs import (GRAPH_NAMES, OWN_MARK, PoetsGraph, PoetsNetwork, imported, network_of, nodes_behind,
                            read_poets_graph, run_poets_graph)
from .legacy_names import SIZES, WIDTHS, Architecture, architecture_names, find_architecture
from .node_names import HEAD_SCOPE, LOGITS, MODULE_SCOPE, PROBABILITIES, UNKNOWN_SCOPE, UNKNOWN_SCORE

__all__ = ["GRAPH_NAMES", "HEAD_SCOPE", "LOGITS", "MODULE_SCOPE", "OWN_MARK", "PROBABILITIES", "SIZES",
           "UNKNOWN_SCOPE", "UNKNOWN_SCORE", "WIDTHS", "Architecture", "PoetsGraph", "PoetsNetwork",
           "architecture_names", "count_operations", "find_architecture", "imported", "network_of", "nodes_behind",
           "read_poets_graph", "round_weights", "run_poets_graph", "write_for_tensorboard"]
