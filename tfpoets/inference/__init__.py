"""Load a classifier, and label photos with it."""
from .classifier import Classifier, Prediction
from .legacy_classifier import LegacyGraphOptions, open_legacy_graph
from .load import load_classifier
from .occlusion import occlusion_maps

__all__ = ["Classifier", "LegacyGraphOptions", "Prediction", "load_classifier", "occlusion_maps", "open_legacy_graph"]
