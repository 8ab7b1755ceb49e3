"""The classifier room: weights to files, files to answers, and the proof that both agree."""
from .export import Destinations, Exported, Proof, check_destinations, export_classifier, export_graph
from .load import load_classifier
from .metadata import UNKNOWN_LABEL, Metadata, describe_classifier
from .model import Answer, Classifier
from .occlusion import occlusion_maps
from .parity import Parity, check_file
from .targets.frozen_graph import check_output_name
from .wrap import Wrapped, wrap

__all__ = ["Answer", "Classifier", "Destinations", "Exported", "Metadata", "Parity", "Proof", "UNKNOWN_LABEL",
           "Wrapped", "check_destinations", "check_file", "check_output_name", "describe_classifier",
           "export_classifier", "export_graph", "load_classifier", "occlusion_maps", "wrap"]
