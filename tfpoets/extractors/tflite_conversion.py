"""Convert TensorFlow functions to TensorFlow Lite."""
from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tfpoets.data import network_input
from tfpoets.errors import ExportError
from tfpoets.tf_runtime import import_tensorflow, redirect_native_stderr

from .engines import LiteRTModel

INPUT_NODE, OUTPUT_NODE = "input", "bottleneck"
TFLITE_KINDS = ("float32", "float16", "dynamic", "int8")


def convert_to_tflite(function: Callable[[Any], Any], height: int, width: int, kind: str = "float32",
                      calibration: np.ndarray | None = None) -> bytes:
    """Convert a TensorFlow function without variables to a .tflite for one photo.

    Args:
        function: A function from a float32 tensor [1, height, width, 3] in [0, 1] to a tensor, or a list of tensors.
        height: The height of the photo in pixels.
        width: The width of the photo in pixels.
        kind: The kind of quantization, one of TFLITE_KINDS. float32: none; float16: 16-bit weights; dynamic: 8-bit
            weights; int8: 8-bit weights and activations, with uint8 pixels as input and uint8 outputs.
        calibration: For int8, photos from which the range of every activation is determined: uint8
            [n, height, width, 3].

    Returns:
        The bytes of the .tflite.

    Raises:
        ExportError: The int8 network does not take uint8 pixels unchanged.
        ValueError: There is no such kind, or `calibration` is missing.
        Exception: The conversion failed. The converter has no error type of its own.
    """
    if kind not in TFLITE_KINDS:
        raise ValueError(f"the kind {kind!r} is not one of {', '.join(TFLITE_KINDS)}.")
    tensorflow = import_tensorflow()
    spec = tensorflow.TensorSpec([1, height, width, 3], tensorflow.float32, name=INPUT_NODE)
    with redirect_native_stderr(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Statistics for quantized inputs")  # `calibration` provides them
        # ReLU does not change pixels, which are never negative. It separates the scale of the input from that of
        # the views made from it, which are concatenated and therefore must share one scale.
        converted = (lambda pixels: function(tensorflow.nn.relu(pixels))) if kind == "int8" else function
        concrete = tensorflow.function(converted).get_concrete_function(spec)
        converter = tensorflow.lite.TFLiteConverter.from_concrete_functions([concrete])
        if kind != "float32":
            converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
            # TensorFlow Lite before version 2.18 cannot run dense layers with a scale for each channel.
            converter._experimental_disable_per_channel_quantization_for_dense_layers = True
        if kind == "float16":
            converter.target_spec.supported_types = [tensorflow.float16]
        if kind == "int8":
            if calibration is None:
                raise ValueError("8-bit quantization needs photos for calibration")
            converter.representative_dataset = lambda: ([photo] for photo in _calibration_inputs(calibration))
            converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tensorflow.uint8
        model = converter.convert()
    if kind == "int8":
        _check_takes_uint8(model)
    return model


def _calibration_inputs(photos: np.ndarray) -> Iterator[np.ndarray]:
    """Yield network inputs one by one; the first contains a 0 and a 1, so the input range is exactly [0, 1]."""
    for number, photo in enumerate(photos):
        pixels = network_input(photo[None])
        if number == 0:
            pixels[0, 0, 0], pixels[0, 0, 1] = 0.0, 1.0
        yield pixels


def _check_takes_uint8(model: bytes) -> None:
    """Raise an ExportError unless the input is unchanged uint8 pixels and all outputs are uint8."""
    tensors = LiteRTModel(model).tensor_details()
    scale, zero_point = tensors[0]["quantization"]
    if any(tensor["dtype"] != np.uint8 for tensor in tensors) or zero_point != 0 or abs(255 * scale - 1) > 1e-3:
        listed = ", ".join(f"{tensor['dtype'].__name__} {tensor['quantization']}" for tensor in tensors)
        raise ExportError(f"The quantized network does not take uint8 pixels unchanged ({listed}).",
                          "Please report this problem and the module that you used.")
