"""A .keras file is loaded only if it consists of layers and operations of Keras."""
from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tfpoets.errors import ExtractorError
from tfpoets.extractors import load_keras_file
from tfpoets.tf_runtime import import_tensorflow


def save_model(path: Path, extra: dict[str, Any] | None = None) -> Path:
    """Write a Keras model; with `extra`, one of its layers has this object as its activation."""
    import_tensorflow()
    import keras
    layers = [keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(2, 3, activation="gelu"),
              keras.layers.Flatten(), keras.layers.Dense(2, kernel_regularizer="l2")]
    keras.Sequential(layers).save(path)
    if extra is None:
        return path
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(files["config.json"])
    config["config"]["layers"][-1]["config"]["activation"] = extra
    files["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_a_model_of_layers_and_operations_is_loaded(tmp_path: Path) -> None:
    assert load_keras_file(save_model(tmp_path / "m.keras")).output_shape == (None, 2)


@pytest.mark.parametrize("module, class_name", [
    ("keras.utils", "get_file"), ("keras.src.utils.file_utils", "get_file"), ("keras.config", "enable_unsafe"),
    ("keras.saving", "load_model"), ("keras", "version"), ("keras.layers", "TFSMLayer"),
    ("keras.layers", "StringLookup"), ("os", "system"), ("keras.layers", "Lambda"), (None, "system")])
def test_other_functions_and_layers_that_read_files_are_refused_before_the_file_is_loaded(
        module: str, class_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_model(tmp_path / "m.keras", {"module": module, "class_name": class_name, "config": {}})
    import keras
    monkeypatch.setattr(keras.models, "load_model", lambda *args, **kwargs: pytest.fail("the file was loaded"))
    with pytest.raises(ExtractorError, match=class_name):
        load_keras_file(path)


def test_a_function_is_refused_by_the_module_that_contains_it(tmp_path: Path) -> None:
    path = save_model(tmp_path / "m.keras", {"module": "keras.utils", "class_name": "function", "config": "get_file",
                                             "registered_name": "get_file"})
    with pytest.raises(ExtractorError, match="not a part of a network"):
        load_keras_file(path)
