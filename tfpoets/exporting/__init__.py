"""A classifier's files: written, proven, published."""
from .classifier_graph import UNKNOWN_SCOPE
from .conversion import Converted, check_formats, convert, open_graph
from .forms import FORMATS, Graph, check_conversion, check_format_names
from .metadata import UNKNOWN_LABEL, Metadata, describe_classifier
from .parity import check_file
from .publish import DEFAULT_GRAPH, ExportOptions, Exported, Proof, check_destinations, export_classifier, export_graph
from .reading import TFLITE_IDENTIFIER, open_exported
from .targets.frozen_graph import check_output_name
from .wrap import wrap

__all__ = ["DEFAULT_GRAPH", "FORMATS", "TFLITE_IDENTIFIER", "UNKNOWN_LABEL", "UNKNOWN_SCOPE", "Converted",
           "ExportOptions", "Exported", "Graph", "Metadata", "Proof", "check_conversion", "check_destinations",
           "check_file", "check_format_names", "check_formats", "check_output_name", "convert", "describe_classifier",
           "export_classifier", "export_graph", "open_exported", "open_graph", "wrap"]
