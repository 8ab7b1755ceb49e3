"""Load .keras files without running code from them."""
from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.errors import ExtractorError, one_line
from tfpoets.graphs import KERAS_MODULE, FirstRun, identify_file
from tfpoets.tf_runtime import import_tensorflow, redirect_native_stderr

KERAS_SUFFIX = ".keras"
CONFIG = "config.json"
# The configuration of a network with a thousand layers has about a megabyte.
MAX_CONFIG_BYTES = 1 << 26
# The modules of Keras whose classes and functions may be part of a model. In versions of Keras that do not prevent it,
# others can read, write or download files when a model is loaded (CVE-2025-1550, CVE-2025-8747).
_MODULES = re.compile(r"keras(\.src)?\.(activations|backend|constraints|dtype_policies|initializers|layers|losses|"
                      r"metrics|models|ops|optimizers|random|regularizers)(\.\w+)*")
# The classes that may be named without a module of Keras.
_TOP_LEVEL = ("DTypePolicy", "DTypePolicyMap", "FloatDTypePolicy", "Functional", "InputSpec", "KerasTensor", "Model",
              "QuantizedDTypePolicy", "Sequential")
# Layers that read files or run code of other libraries, although they are part of Keras.
_REFUSED_LAYERS = ("FlaxLayer", "HashedCrossing", "Hashing", "IntegerLookup", "JaxLayer", "StringLookup", "TFSMLayer",
                   "TextVectorization", "TorchModuleWrapper")


def load_keras_file(path: Path) -> Any:
    """Load the Keras model in a .keras file, without its optimizer.

    Files with Lambda layers or classes of other libraries are rejected before they are loaded, because these consist
    of Python code.

    Raises:
        ExtractorError: The file is missing or damaged, or needs code to be loaded.
    """
    check_keras_file(path)
    import_tensorflow()
    import keras
    try:
        with redirect_native_stderr():
            return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras, h5py and zipfile raise errors of many types
        raise ExtractorError(f"{path} cannot be loaded: {one_line(error)}", "Save it again with model.save(FILE).") \
            from error


def check_keras_file(path: Path) -> None:
    """Raise an ExtractorError if a .keras file is missing, is something else, or needs code to be loaded."""
    if not path.is_file():
        raise ExtractorError(f"There is no file {path}.", "Write it with model.save(FILE).")
    kind = identify_file(path)
    if kind is not None and kind.extractor_remedy != KERAS_MODULE:
        raise ExtractorError(f"{path} is not a Keras model (.keras): it {kind.description}.", kind.extractor_remedy)
    _check_config(path)


def try_keras_file(path: Path, input_range: str = "", size: int | None = None, channels: int | None = None) -> None:
    """Load a .keras file and run it on a gray photo in a process of its own, unless this has been done before.

    Args:
        path: The path of the file.
        input_range: The range of the model's pixels, as in `adapt_model`.
        size: The size of the photos for a model that does not state it, as in `adapt_model`.
        channels: 1 or 3 for a model that does not state it, as in `adapt_model`.

    Raises:
        ModelError: The process crashes, takes too long or needs too much memory.
        ExtractorError: The errors of `load_keras_file` and `adapt_model`.
    """
    check_keras_file(path)
    first_run = FirstRun(path, f"classifier {input_range} {size} {channels}")
    if not first_run.has_happened():
        first_run.run(_try, path, input_range, size, channels, library="keras")


def _try(path: Path, input_range: str, size: int | None, channels: int | None) -> None:
    from .keras_models import adapt_model  # imported here because other commands do not need it
    adapted = adapt_model(load_keras_file(path), input_range, size, channels)
    adapted.outputs(np.full((1, adapted.height, adapted.width, 3), 128, np.uint8))


def _check_config(path: Path) -> None:
    """Raise an ExtractorError unless the configuration of a .keras file consists only of classes of Keras."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(CONFIG).file_size > MAX_CONFIG_BYTES:
                raise ValueError(f"its {CONFIG} is too large")
            objects = list(_objects(json.loads(archive.read(CONFIG))))
    except Exception as error:  # a damaged archive can make zipfile raise nearly anything
        raise ExtractorError(f"{path} is not a Keras model (.keras): {one_line(error)}",
                             "Save it again with model.save(FILE).") from error
    for entry in objects:
        name = str(entry["class_name"])
        if name in ("Lambda", "__lambda__"):
            raise ExtractorError(f"{path} contains a Lambda layer, which is Python code, so it is not loaded.",
                                 "Use layers of Keras instead, or give the Python file that builds the model: "
                                 "`architecture`=FILE.py:FUNCTION.")
        module = entry.get("module")
        if name in _REFUSED_LAYERS or isinstance(module, str) and _is_other_keras_module(module, name):
            raise ExtractorError(f"{path} contains {name!r}, which is not a part of a network for photos, so it is "
                                 "not loaded.", "Save a model that consists of layers and operations of Keras.")
        if not isinstance(module, str) or module.split(".")[0] not in ("keras", "builtins"):
            registered = entry.get("registered_name") or name
            raise ExtractorError(f"{path} contains the class {str(registered)!r}, whose code is not in the file.",
                                 "Save a model that consists of layers of Keras, or give the Python file that builds "
                                 "it: `architecture`=FILE.py:FUNCTION.")


def _is_other_keras_module(module: str, name: str) -> bool:
    """Return whether a class belongs to a part of Keras that does not consist of layers, operations and the like."""
    if module.split(".")[0] != "keras":
        return False
    return name not in _TOP_LEVEL if module == "keras" else _MODULES.fullmatch(module) is None


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield all serialized objects in a configuration, at any depth."""
    if isinstance(value, dict):
        if "class_name" in value and "config" in value:
            is_plain = value["class_name"] in ("__keras_tensor__", "__tensor__", "__numpy__", "__tuple__", "__slice__",
                                               "__ellipsis__")
            if not is_plain:
                yield value
        for item in value.values():
            yield from _objects(item)
    elif isinstance(value, list):
        for item in value:
            yield from _objects(item)
