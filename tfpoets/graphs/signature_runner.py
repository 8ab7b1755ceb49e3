"""SavedModels that this program wrote, run in TensorFlow."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.errors import ModelError, one_line
from tfpoets.tf_runtime import full_precision, import_tensorflow, redirect_native_stderr


def load_signature(folder: Path, name: str, remedy: str = "") -> Callable[..., dict[str, np.ndarray]]:
    """Load a signature of a SavedModel as a function from arrays to arrays, each by name, computed in full float32.

    Args:
        folder: the SavedModel.
        name: of the signature.
        remedy: what to do where the SavedModel cannot be loaded; the error says it.

    Raises:
        ModelError: the SavedModel cannot be loaded.
        KeyError: it has no signature of that name.
    """
    tensorflow = import_tensorflow()
    try:
        with redirect_native_stderr():
            loaded = tensorflow.saved_model.load(str(folder))
    except Exception as error:  # whatever a damaged file makes TensorFlow raise
        raise ModelError(f"The SavedModel {folder} cannot be loaded: {one_line(error)}", remedy) from error
    signature = loaded.signatures[name]

    def call(**inputs: Any) -> dict[str, np.ndarray]:
        with full_precision:
            answers = signature(**{name: tensorflow.constant(value) for name, value in inputs.items()})
        return {output: tensor.numpy() for output, tensor in answers.items()}
    call.model = loaded  # type: ignore[attr-defined]  # its variables live as long as the function
    return call
