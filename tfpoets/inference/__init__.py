"""Load a classifier, and label photos with it."""
from typing import TYPE_CHECKING

from tfpoets.lazy_names import lazy_names

if TYPE_CHECKING:
    from .classifier import Classifier, PhotoInput, Prediction
    from .legacy_classifier import LegacyGraphOptions, open_legacy_graph
    from .load import load_classifier
    from .occlusion import occlusion_maps

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    ".classifier": "Classifier PhotoInput Prediction",
    ".legacy_classifier": "LegacyGraphOptions open_legacy_graph",
    ".load": "load_classifier",
    ".occlusion": "occlusion_maps",
})
