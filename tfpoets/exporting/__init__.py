"""A classifier's files: written, proven, published."""
from .conversion import Converted, check_formats, convert, open_graph
from .forms import FORMATS, Graph, check_conversion, check_format_names
from .metadata import UNKNOWN_LABEL, Metadata, describe_classifier, final_figures, split_info
from .parity import check_file
from .publish import DEFAULT_GRAPH, ExportOptions, Exported, Proof, check_destinations, export_classifier, export_graph
from .reading import TFLITE_IDENTIFIER, open_exported
from .sections import CrossValidation, HeadInfo, Input, NetworkInfo, Nodes, RejectOption, SplitInfo, TestFigures
from .targets.frozen_graph import check_output_name
from .wrap import wrap

__all__ = ["DEFAULT_GRAPH", "FORMATS", "TFLITE_IDENTIFIER", "UNKNOWN_LABEL", "Converted", "CrossValidation",
           "ExportOptions", "Exported", "Graph", "HeadInfo", "Input", "Metadata", "NetworkInfo", "Nodes", "Proof",
           "RejectOption", "SplitInfo", "TestFigures", "check_conversion", "check_destinations", "check_file",
           "check_format_names", "check_formats", "check_output_name", "convert", "describe_classifier",
           "export_classifier", "export_graph", "final_figures", "open_exported", "open_graph", "split_info", "wrap"]
