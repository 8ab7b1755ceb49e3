"""The one converter to TensorFlow Lite."""
from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tfpoets.data import network_input
from tfpoets.errors import ExportError
from tfpoets.tf_runtime import import_tensorflow, redirect_native_stderr

from .engines import LiteRTModel

INPUT_NODE = "input"
TFLITE_KINDS = ("float32", "float16", "dynamic", "int8")


def convert_to_tflite(function: Callable[[Any], Any], height: int, width: int, kind: str = "float32",
                      calibration: np.ndarray | None = None) -> bytes:
    """Convert a TensorFlow function without variables to a .tflite for one photo.

    Args:
        function: from a float32 tensor [1, height, width, 3] in [0, 1] to a tensor, or a list of tensors.
        height, width: in pixels.
        kind: one of TFLITE_KINDS. float32: as it is; float16: weights of 16 bits; dynamic: weights of 8 bits; int8:
            weights and activations of 8 bits, from the photo's bytes to uint8 in steps of 1 / 256.
        calibration: for int8, uint8 [n, height, width, 3]: photos that show the range of every activation.

    Raises:
        ExportError: the int8 network does not take the photo's bytes as they are.
        ValueError: there is no such kind, or `calibration` is missing.
        Exception: the converter has none of its own.
    """
    if kind not in TFLITE_KINDS:
        raise ValueError(f"the kind {kind!r} is not one of {', '.join(TFLITE_KINDS)}.")
    tensorflow = import_tensorflow()
    spec = tensorflow.TensorSpec([1, height, width, 3], tensorflow.float32, name=INPUT_NODE)
    with redirect_native_stderr(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Statistics for quantized inputs")  # `calibration` has them
        # Pixels are not below 0, so ReLU leaves them as they are; it keeps the input's scale its own, where views of
        # it are put together and must all have one.
        given = (lambda pixels: function(tensorflow.nn.relu(pixels))) if kind == "int8" else function
        concrete = tensorflow.function(given).get_concrete_function(spec)
        converter = tensorflow.lite.TFLiteConverter.from_concrete_functions([concrete])
        if kind != "float32":
            converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
        if kind == "float16":
            converter.target_spec.supported_types = [tensorflow.float16]
        if kind == "int8":
            if calibration is None:
                raise ValueError("8 bits need photos for the calibration")
            converter.representative_dataset = lambda: ([photo] for photo in _whole_range(calibration))
            converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tensorflow.uint8
        model = converter.convert()
    if kind == "int8":
        _check_takes_bytes(model)
    return model


def _whole_range(calibration: np.ndarray) -> Iterator[np.ndarray]:
    """Yield photos one by one, the first with a black and a white pixel: the input's range is then exactly [0, 1]."""
    for number, photo in enumerate(calibration):
        pixels = network_input(photo[None])
        if number == 0:
            pixels[0, 0, 0], pixels[0, 0, 1] = 0.0, 1.0
        yield pixels


def _check_takes_bytes(model: bytes) -> None:
    """Raise an ExportError unless a photo's bytes are what the network takes, and bytes are what it gives."""
    tensors = LiteRTModel(model).tensors()
    scale, zero_point = tensors[0]["quantization"]
    if any(each["dtype"] != np.uint8 for each in tensors) or zero_point != 0 or abs(255 * scale - 1) > 1e-3:
        found = ", ".join(f"{each['dtype'].__name__} {each['quantization']}" for each in tensors)
        raise ExportError(f"The quantized network does not take the photo's bytes as they are ({found}).",
                          "Please report this, with the module you used.")
