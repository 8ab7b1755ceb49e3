"""Use TensorFlow to run SavedModels that tfpoets wrote."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.errors import ModelError, one_line
from tfpoets.tf_runtime import full_precision, import_tensorflow, redirect_native_stderr


class _SignatureRunner:
    """A signature as a function that takes and returns arrays by name.

    It keeps a reference to the SavedModel, since TensorFlow deletes the variables of an unreferenced one.
    """

    def __init__(self, saved_model: Any, signature_name: str):
        self._saved_model = saved_model
        self._signature = saved_model.signatures[signature_name]

    def __call__(self, **inputs: Any) -> dict[str, np.ndarray]:
        tensorflow = import_tensorflow()
        with full_precision:
            outputs = self._signature(**{name: tensorflow.constant(value) for name, value in inputs.items()})
        return {name: tensor.numpy() for name, tensor in outputs.items()}


def load_signature(folder: Path, name: str, remedy: str = "") -> Callable[..., dict[str, np.ndarray]]:
    """Load a signature of a SavedModel as a function that computes in full float32.

    Args:
        folder: The folder of the SavedModel.
        name: The name of the signature.
        remedy: The remedy in the error message.

    Returns:
        A function that takes the inputs as keyword arguments and returns the outputs as arrays by name.

    Raises:
        ModelError: The SavedModel cannot be loaded.
        KeyError: It has no signature of that name.
    """
    tensorflow = import_tensorflow()
    try:
        with redirect_native_stderr():
            saved_model = tensorflow.saved_model.load(str(folder))
    except Exception as error:  # a damaged file can make TensorFlow raise nearly anything
        raise ModelError(f"The SavedModel {folder} cannot be loaded: {one_line(error)}", remedy) from error
    return _SignatureRunner(saved_model, name)
