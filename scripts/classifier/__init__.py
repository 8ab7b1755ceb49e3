"""The classifier room: weights to files, files to answers, and the proof that both agree."""
from .conversion import Converted, check_formats, convert, open_graph
from .export import Destinations, Exported, Proof, check_destinations, export_classifier, export_graph
from .forms import Graph, check_conversion
from .graph_files import count_operations, write_for_tensorboard, write_rounded, write_tflite
from .known_photos import were_trained_on
from .load import load_classifier
from .metadata import UNKNOWN_LABEL, Metadata, describe_classifier
from .model import Answer, Classifier
from .occlusion import occlusion_maps
from .parity import Parity, check_file
from .targets.frozen_graph import check_output_name
from .wrap import Wrapped, wrap

__all__ = ["Answer", "Classifier", "Converted", "Destinations", "Exported", "Graph", "Metadata", "Parity", "Proof",
           "UNKNOWN_LABEL", "Wrapped", "check_conversion", "check_destinations", "check_file", "check_formats",
           "check_output_name", "convert", "count_operations", "describe_classifier", "export_classifier",
           "export_graph", "load_classifier", "occlusion_maps", "open_graph", "were_trained_on", "wrap",
           "write_for_tensorboard", "write_rounded", "write_tflite"]
