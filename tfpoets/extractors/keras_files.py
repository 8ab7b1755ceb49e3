"""Load .keras files without running code from them."""
from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfpoets.errors import ExtractorError, one_line
from tfpoets.graphs import KERAS_MODULE, identify_file
from tfpoets.tf_runtime import import_tensorflow, redirect_native_stderr

KERAS_SUFFIX = ".keras"
CONFIG = "config.json"
# The configuration of a network with a thousand layers has about a megabyte.
MAX_CONFIG_BYTES = 1 << 26


def load_keras_file(path: Path) -> Any:
    """Load the Keras model in a .keras file, without its optimizer.

    Files with Lambda layers or classes of other libraries are rejected before they are loaded, because these consist
    of Python code.

    Raises:
        ExtractorError: The file is missing or damaged, or needs code to be loaded.
    """
    if not path.is_file():
        raise ExtractorError(f"There is no file {path}.", "Write it with model.save(FILE).")
    kind = identify_file(path)
    if kind is not None and kind.extractor_remedy != KERAS_MODULE:
        raise ExtractorError(f"{path} is not a Keras model (.keras): it {kind.description}.", kind.extractor_remedy)
    _check_config(path)
    import_tensorflow()
    import keras
    try:
        with redirect_native_stderr():
            return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras, h5py and zipfile raise errors of many types
        raise ExtractorError(f"{path} cannot be loaded: {one_line(error)}", "Save it again with model.save(FILE).") \
            from error


def _check_config(path: Path) -> None:
    """Raise an ExtractorError unless the configuration of a .keras file consists only of classes of Keras."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(CONFIG).file_size > MAX_CONFIG_BYTES:
                raise ValueError(f"its {CONFIG} is too large")
            objects = list(_objects(json.loads(archive.read(CONFIG))))
    except (OSError, KeyError, ValueError, RuntimeError, RecursionError, zipfile.BadZipFile) as error:
        raise ExtractorError(f"{path} is not a Keras model (.keras): {one_line(error)}",
                             "Save it again with model.save(FILE).") from error
    for entry in objects:
        name = str(entry["class_name"])
        if name in ("Lambda", "__lambda__"):
            raise ExtractorError(f"{path} contains a Lambda layer, which is Python code, so it is not loaded.",
                                 "Use layers of Keras instead, or give the Python file that builds the model: "
                                 "`architecture`=FILE.py:FUNCTION.")
        module = entry.get("module")
        if not isinstance(module, str) or module.split(".")[0] not in ("keras", "builtins"):
            registered = entry.get("registered_name") or name
            raise ExtractorError(f"{path} contains the class {str(registered)!r}, whose code is not in the file.",
                                 "Save a model that consists of layers of Keras, or give the Python file that builds "
                                 "it: `architecture`=FILE.py:FUNCTION.")


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
