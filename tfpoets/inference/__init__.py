"""Load a classifier and label photos with it."""
from .classifier import Answer, Classifier
from .legacy import LegacyGraphOptions, open_legacy_graph
from .load import load_classifier
from .occlusion import occlusion_maps

__all__ = ["Answer", "Classifier", "LegacyGraphOptions", "load_classifier", "occlusion_maps", "open_legacy_graph"]
