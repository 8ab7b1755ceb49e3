"""Retrain an image classifier on your own photos.

The public names are imported when they are first used, so that `import tfpoets` loads neither NumPy nor TensorFlow and
changes nothing in the program that imports it. It does not even load `logging` or `typing`, because commands can
handle Ctrl-C only after this import.
"""
from __future__ import annotations

from .lazy_names import lazy_names

__version__ = "3.0.0"

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    ".data": "read_dataset split_photos",
    ".errors": "TfpoetsError",
    ".evaluation": "evaluate",
    ".exporting": "export wrap",
    ".extractors": "extract_bottlenecks open_extractor",
    ".inference": "load_classifier",
    ".networks": "ImageClassifier",
    ".pipeline": "retrain",
    ".retrain_options": "RetrainOptions",
    ".training": "fit_head",
})
