"""Read and run TensorFlow graphs, including those of TensorFlow for Poets."""
from typing import TYPE_CHECKING

from tfpoets.lazy_names import lazy_names

if TYPE_CHECKING:
    from .file_kinds import KERAS_MODULE, FileKind, find_placeholder, identify_file
    from .first_run import FirstRun
    from .frozen_graph import concatenate_outputs, load_frozen_graph, output_columns
    from .legacy_graphs import (LEGACY_GRAPH_NAMES, TFPOETS_MARKER, LegacyGraph, LegacyNetwork,
                                identify_legacy_network, import_legacy_graph, parse_graph, read_legacy_graph,
                                wrap_legacy_graph)
    from .legacy_names import MOBILENET_SIZES, MOBILENET_WIDTHS, architecture_names, find_architecture
    from .legacy_tools import group_nodes_by_operation, round_weights, write_for_tensorboard
    from .node_names import HEAD_SCOPE, LOGITS, MODULE_SCOPE, PROBABILITIES, UNKNOWN_SCOPE, UNKNOWN_SCORE
    from .operation_versions import oldest_tensorflow, unsupported_by_opencv
    from .model_files import TRUST_WARNING, read_model_file
    from .portable_graph import make_portable
    from .safety import check_whole_graph, extract_inference_graph
    from .saved_model_safety import check_saved_model, read_saved_model
    from .signature_runner import load_signature
    from .signatures import Signature, find_inference_graph, format_shape, has_variables, load_signatures
    from .tflite_safety import check_tflite

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    ".file_kinds": "KERAS_MODULE FileKind find_placeholder identify_file",
    ".first_run": "FirstRun",
    ".frozen_graph": "concatenate_outputs load_frozen_graph output_columns",
    ".legacy_graphs": "LEGACY_GRAPH_NAMES TFPOETS_MARKER LegacyGraph LegacyNetwork identify_legacy_network "
                      "import_legacy_graph parse_graph read_legacy_graph wrap_legacy_graph",
    ".legacy_names": "MOBILENET_SIZES MOBILENET_WIDTHS architecture_names find_architecture",
    ".legacy_tools": "group_nodes_by_operation round_weights write_for_tensorboard",
    ".node_names": "HEAD_SCOPE LOGITS MODULE_SCOPE PROBABILITIES UNKNOWN_SCOPE UNKNOWN_SCORE",
    ".operation_versions": "oldest_tensorflow unsupported_by_opencv",
    ".model_files": "TRUST_WARNING read_model_file",
    ".portable_graph": "make_portable",
    ".safety": "check_whole_graph extract_inference_graph",
    ".saved_model_safety": "check_saved_model read_saved_model",
    ".signature_runner": "load_signature",
    ".signatures": "Signature find_inference_graph format_shape has_variables load_signatures",
    ".tflite_safety": "check_tflite",
})
