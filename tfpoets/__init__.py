"""Retrain an image classifier on your own photos.

The public names are imported when they are first used, so that `import tfpoets` loads neither NumPy nor TensorFlow and
changes nothing in the program that imports it.
"""
from __future__ import annotations

import importlib
import logging
from typing import Any

__version__ = "3.0.0"

# The library logs nothing by itself; the host program or the command line adds a handler.
logging.getLogger("tfpoets").addHandler(logging.NullHandler())

# Module -> its public names.
_PUBLIC_NAMES = {
    "tfpoets.data": ("read_dataset", "split_photos"),
    "tfpoets.errors": ("TfpoetsError",),
    "tfpoets.evaluation": ("evaluate",),
    "tfpoets.exporting": ("export", "wrap"),
    "tfpoets.extractors": ("extract_bottlenecks", "open_extractor"),
    "tfpoets.inference": ("load_classifier",),
    "tfpoets.pipeline": ("retrain",),
    "tfpoets.retrain_options": ("RetrainOptions",),
    "tfpoets.training": ("fit_head",),
}
_MODULES = {name: module for module, names in _PUBLIC_NAMES.items() for name in names}
__all__ = ["__version__", *sorted(_MODULES)]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'tfpoets' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
