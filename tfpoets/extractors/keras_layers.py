"""Observe the layers that a Keras model calls, and find out from the first ones how the model scales its input."""
from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tfpoets.tf_runtime import eager_functions

from .options import INPUT_RANGES

# What networks usually compute on: pixels scaled to one of these ranges.
SCALED_RANGES = ((0, 1), (-1, 1), (-0.5, 0.5), (0, 255), (-127.5, 127.5))
# The largest error of an affine function that is fitted to float32 values, relative to the largest value.
FIT_TOLERANCE = 1e-4


@dataclass(eq=False)
class LayerCall:
    """One call of a layer.

    Attributes:
        layer: The layer.
        input: Its first argument.
        output: Its result; None during the call.
        is_leaf: Whether the layer has called no other layer.
    """

    layer: Any
    input: Any
    output: Any = None
    is_leaf: bool = True


class InputScale(NamedTuple):
    """The range of pixels that a model takes, and the layer that shows it.

    Attributes:
        range: The lowest and the highest value of a pixel.
        layer: The name and class of the layer, for messages.
        possible: All ranges that the layer may have been made for, including `range`; () if there is no layer.
    """

    range: tuple[float, float]
    layer: str
    possible: tuple[tuple[float, float], ...] = ()


# A function that is called instead of a layer, with the layer's own `__call__`, the layer and the arguments.
Interceptor = Callable[..., Any]


@contextlib.contextmanager
def intercept_layers(interceptor: Interceptor) -> Iterator[None]:
    """Within the block, call a function instead of each layer that this thread calls, also within other layers."""
    from unittest import mock  # imported here because label_image must start without it

    import keras
    original, thread = keras.layers.Layer.__call__, threading.get_ident()

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != thread:
            return original(layer, *args, **kwargs)
        return interceptor(original, layer, *args, **kwargs)
    with mock.patch.object(keras.layers.Layer, "__call__", call):
        yield


@contextlib.contextmanager
def record_layers() -> Iterator[list[LayerCall]]:
    """Return a list that receives the calls of layers within the block, in the order in which they begin."""
    calls: list[LayerCall] = []
    running: list[LayerCall] = []

    def record(original: Callable[..., Any], layer: Any, *args: Any, **kwargs: Any) -> Any:
        call = LayerCall(layer, args[0] if args else next(iter(kwargs.values()), None))
        calls.append(call)
        if running:
            running[-1].is_leaf = False
        running.append(call)
        try:
            call.output = original(layer, *args, **kwargs)
        finally:
            running.pop()
        return call.output
    with intercept_layers(record):
        yield calls


def describe_layer(layer: Any) -> str:
    """Return the name and class of a layer."""
    return f"{layer.name!r} ({type(layer).__name__})"


def read_input_scale(model: Any, shape: tuple[int, int, int]) -> InputScale | None:
    """Find out which range of pixels a model was trained with, from what it does first.

    The model is run on random pixels. The first layer counts that only scales and shifts them, such as Rescaling or
    Normalization, also within another model; or arithmetic before the first layer, such as `preprocess_input` of
    keras.applications. Before them there may be layers that keep the scale of the pixels, such as augmentation,
    resizing or conversion to grayscale. Batch normalization does not count, because its weights are trained.

    Args:
        model: A Keras model.
        shape: Height, width and channels of its input.

    Returns:
        None if the model scales nothing first, or several ranges are plausible.
    """
    import keras
    pixels = np.random.default_rng(0).random((1, *shape), np.float32)
    with eager_functions, record_layers() as calls:
        model(pixels, training=False)
    for call in calls:
        if not call.is_leaf:
            continue
        before = _fit_affine(pixels, np.asarray(call.input))
        if before is not None and not _is_identity(before):
            return _scale(_ranges_of_scaling(*before), f"the arithmetic before {describe_layer(call.layer)}")
        is_scaling = isinstance(call.layer, (keras.layers.Rescaling, keras.layers.Normalization))
        keeps_scale = _keeps_pixels(call) if is_scaling else _keeps_scale(call)
        if not keeps_scale:
            return _read_layer(call)
    return None


def _keeps_pixels(call: LayerCall) -> bool:
    """Return whether a layer returns its input, such as Rescaling(1.0)."""
    fitted = _fit_affine(np.asarray(call.input), np.asarray(call.output))
    return fitted is not None and _is_identity(fitted)


def _read_layer(call: LayerCall) -> InputScale | None:
    """Return the range of pixels that a layer shows, if it only scales and shifts them."""
    import keras
    fitted = _fit_affine(np.asarray(call.input), np.asarray(call.output))
    if fitted is None or isinstance(call.layer, keras.layers.BatchNormalization):
        return None
    is_normalization = isinstance(call.layer, keras.layers.Normalization)
    found = _ranges_of_normalization(*fitted) if is_normalization else _ranges_of_scaling(*fitted)
    return _scale(found, f"the layer {describe_layer(call.layer)}")


def _scale(found: Sequence[tuple[float, float]], layer: str) -> InputScale | None:
    return InputScale(found[0], layer, tuple(found)) if found else None


def _fit_affine(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return scale and offset of each channel if y is an affine function of x, also with reversed channels.

    Args:
        x: float32 [..., channels].
        y: The same shape.

    Returns:
        float64 [channels] each, or None if y is another function of x.
    """
    if x.shape != y.shape or x.ndim < 2:
        return None
    targets = y.reshape(-1, y.shape[-1]).astype(np.float64)
    for source in (x, x[..., ::-1]):
        values = source.reshape(-1, x.shape[-1]).astype(np.float64)
        variance = values.var(0)
        if not variance.all():
            return None
        scale = ((values - values.mean(0)) * (targets - targets.mean(0))).mean(0) / variance
        offset = targets.mean(0) - scale * values.mean(0)
        if np.abs(values * scale + offset - targets).max() <= FIT_TOLERANCE * max(np.abs(targets).max(), 1e-6):
            return scale, offset
    return None


def _is_identity(affine: tuple[np.ndarray, np.ndarray]) -> bool:
    return np.allclose(affine[0], 1, atol=1e-3) and np.allclose(affine[1], 0, atol=1e-3)


def _keeps_scale(call: LayerCall) -> bool:
    """Return whether a layer maps images of one brightness to the same brightness."""
    import keras
    if isinstance(call.layer, keras.layers.ZeroPadding2D):
        return True
    values = np.asarray(call.input)
    # Without this argument, layers for augmentation assume training.
    training = {"training": False} if "training" in inspect.signature(call.layer.call).parameters else {}
    return all(np.allclose(np.asarray(call.layer(np.full_like(values, brightness), **training)), brightness, atol=1e-5)
               for brightness in (0.25, 0.75))


def _ranges_of_scaling(scale: np.ndarray, offset: np.ndarray) -> Sequence[tuple[float, float]]:
    """Return the range of pixels that an affine function maps to a range that networks usually compute on.

    If several ranges are equally plausible, return none.
    """
    images = {pixels: np.sort([float((scale * end + offset).mean()) for end in pixels])
              for pixels in INPUT_RANGES.values()}
    for matches in (_is_usual, _is_plausible):
        found = [pixels for pixels, (low, high) in images.items() if matches(low, high)]
        if found:
            return found if len(found) == 1 else []
    return []


def _is_usual(low: float, high: float) -> bool:
    return any(np.allclose((low, high), usual, atol=0.03 * (usual[1] - usual[0])) for usual in SCALED_RANGES)


def _is_plausible(low: float, high: float) -> bool:
    width, center = high - low, (low + high) / 2
    return (0.4 <= width <= 8 or 128 <= width <= 512) and abs(center) <= 0.8 * width


def _ranges_of_normalization(scale: np.ndarray, offset: np.ndarray) -> Sequence[tuple[float, float]]:
    """Return the ranges of pixels that a Normalization layer may have been made for, the most plausible first."""
    if not (scale > 0).all():
        return []
    mean, deviation = -offset / scale, 1 / scale
    if (deviation > 2).all() and (mean > -1).all() and (mean < 256).all():
        return [INPUT_RANGES["0,255"]]
    ranges = []
    # In a range, the standard deviation is largest if all pixels are at its ends.
    largest = np.sqrt(np.clip(mean * (1 - mean), 0, None))
    if (mean >= 0).all() and (mean <= 1).all() and (deviation <= largest + 0.05).all():
        ranges.append(INPUT_RANGES["0,1"])
    if (np.abs(mean) < 1).all() and (deviation < 0.95).all():
        ranges.append(INPUT_RANGES["-1,1"])
    return ranges
