"""Use a Keras model with this library's pixels and as a classifier that returns logits."""
from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tfpoets.errors import ExtractorError, TfpoetsError, one_line
from tfpoets.tf_runtime import full_precision, import_tensorflow

from .keras_layers import InputScale, describe_layer, intercept_layers, read_input_scale
from .keras_outputs import LOGITS, PROBABILITIES, SIGMOID, SOFTMAX, find_activation, recognize_end
from .options import INPUT_RANGES

# The weights of red, green and blue in luma (ITU-R BT.601).
LUMA_WEIGHTS = (0.299, 0.587, 0.114)
# Probabilities below this are not distinguished, so that their logarithms are finite.
MIN_PROBABILITY = 1e-30
# Types in which no layer may compute, because TensorFlow Lite cannot run such layers.
HALF_PRECISION = ("float16", "bfloat16")


@dataclass(frozen=True, eq=False)
class AdaptedModel:
    """A Keras model with the input that all networks of this library take.

    Attributes:
        model: The Keras model.
        height, width: The size of its input, in pixels.
        channels: 3 for a model of RGB photos, 1 for one of gray photos.
        input_range: The lowest and the highest value of the pixels that the model itself takes.
        scale_source: The layer that shows `input_range`, for messages; "" if the caller has stated it.
        n_outputs: The number of columns of its output.
        activation: What the model ends in, as returned by `recognize_end`; "" if it is not used as a classifier.
        dtype: The type of its input: "float32", or a type of integers, for which pixels are rounded.
    """

    model: Any
    height: int
    width: int
    channels: int
    input_range: tuple[float, float]
    scale_source: str
    n_outputs: int
    activation: str
    dtype: str = "float32"

    @property
    def n_classes(self) -> int:
        """The number of classes; a single output is the second of two classes."""
        return max(2, self.n_outputs)

    def describe_outputs(self) -> str:
        """Return the number of outputs, for messages."""
        return f"{self.n_outputs} output" + ("s" if self.n_outputs > 1 else "")

    def describe_input(self) -> str:
        """Return a sentence about the scale of the input and what shows it, and about the end of a classifier."""
        low, high = self.input_range
        reason = f", as {self.scale_source} shows" if self.scale_source else ""
        gray = " in grayscale" if self.channels == 1 else ""
        ends = {"": "", LOGITS: "returns logits", PROBABILITIES: "returns probabilities", SOFTMAX: "ends in a softmax",
                SIGMOID: "ends in a sigmoid" if self.n_outputs == 1 else "ends in sigmoids"}[self.activation]
        end = f"{',' if reason else ''} and {ends}" if ends else ""
        return f"The model {self.model.name} takes pixels{gray} from {low:g} to {high:g}{reason}{end}."

    @cached_property
    def _input_layers(self) -> Sequence[Any]:
        """The layers that convert RGB pixels in [0, 1] to the model's input."""
        import keras
        layers: list[Any] = []
        if self.channels == 1:
            to_gray = keras.layers.Conv2D(1, 1, use_bias=False, trainable=False, dtype="float32",
                                          name="tfpoets_gray")
            with import_tensorflow().init_scope():  # not part of a graph that is being built
                to_gray.build((None, self.height, self.width, 3))
                to_gray.kernel.assign([[[[weight] for weight in LUMA_WEIGHTS]]])
            layers.append(to_gray)
        low, high = self.input_range
        if (low, high) != (0, 1):
            layers.append(keras.layers.Rescaling(high - low, low, dtype="float32", name="tfpoets_scale"))
        return layers

    def to_input(self, pixels: Any) -> Any:
        """Convert pixels to the model's input.

        Args:
            pixels: A tensor of TensorFlow or Keras, float32 [n, height, width, 3] in [0, 1].

        Returns:
            A tensor of the same kind, [n, height, width, channels] in `input_range`, of type `dtype`.
        """
        from keras import ops
        for layer in self._input_layers:
            pixels = layer(pixels)
        return pixels if self.dtype == "float32" else ops.cast(ops.round(pixels), self.dtype)

    def outputs(self, pixels: np.ndarray) -> np.ndarray:
        """Return the probabilities that the model itself predicts.

        Args:
            pixels: uint8 [n, height, width, 3].

        Returns:
            float32 [n, n_classes].
        """
        return self.predict(pixels.astype(np.float32) / 255)

    def predict(self, photos: np.ndarray) -> np.ndarray:
        """Return the same for photos in [0, 1]: float32 [n, height, width, 3] to float32 [n, n_classes]."""
        low, high = self.input_range
        if self.channels == 1:
            photos = photos @ np.array(LUMA_WEIGHTS, np.float32)[:, None]
        photos = photos * np.float32(high - low) + np.float32(low)
        if self.dtype != "float32":
            photos = photos.round().astype(self.dtype)
        with full_precision:
            outputs = np.asarray(self.model(photos, training=False))
        if self.n_outputs == 1:
            positive = 1 / (1 + np.exp(-outputs)) if self.activation == LOGITS else outputs
            return np.concatenate([1 - positive, positive], 1)
        if self.activation == LOGITS:
            outputs = np.exp(outputs - outputs.max(1, keepdims=True))
        return outputs / np.maximum(outputs.sum(1, keepdims=True), MIN_PROBABILITY)

    def logits(self, pixels: Any, training: bool | None = False) -> Any:
        """Return the logits, whose softmax are the probabilities.

        Those of several sigmoids are their logarithms, so the probabilities are the sigmoids divided by their sum.

        Args:
            pixels: A tensor of TensorFlow or Keras, float32 [n, height, width, 3] in [0, 1].
            training: As in Keras.

        Returns:
            A tensor of the same kind, float32 [n, n_classes].
        """
        from keras import KerasTensor
        inputs = self.to_input(pixels)
        if isinstance(pixels, KerasTensor):
            return self.to_logits(_call_inside(self.model, inputs))
        return self.to_logits(self.model(inputs, training=training))

    def to_logits(self, outputs: Any) -> Any:
        """Convert the outputs of the model to logits."""
        from keras import ops
        activation, inner = find_activation(outputs)
        has_inner = activation == self.activation  # not in eager execution, where tensors do not know their origin
        if has_inner and activation != LOGITS:  # its shape and type may differ
            inner = ops.cast(ops.reshape(inner, (-1, self.n_outputs)), "float32")
        if self.activation == LOGITS:
            logits = outputs
        elif self.n_outputs == 1:
            is_sigmoid = has_inner and activation == SIGMOID
            logits = inner if is_sigmoid else _log(ops, outputs) - _log(ops, 1.0 - outputs)
        else:
            logits = inner if has_inner and activation == SOFTMAX else _log(ops, outputs)
        return ops.concatenate([ops.zeros_like(logits), logits], axis=-1) if self.n_outputs == 1 else logits


def _call_inside(model: Any, inputs: Any) -> Any:
    """Call a model on a KerasTensor, so that the result depends on layers of Keras only.

    The layers of classes that Keras does not contain are replaced by what their `call` does.
    """
    def call(original: Callable[..., Any], layer: Any, *args: Any, **kwargs: Any) -> Any:
        if _is_of_keras(layer):
            return original(layer, *args, **kwargs)
        training = inspect.signature(layer.call).parameters.get("training")
        if training is not None and training.default is training.empty and len(args) == 1:
            kwargs.setdefault("training", None)  # Keras would pass it
        return layer.call(*args, **kwargs)
    with intercept_layers(call):
        return model(inputs)


def _is_of_keras(layer: Any) -> bool:
    """Return whether a layer and the layers inside it are instances of classes of Keras."""
    return (type(layer).__module__.split(".")[0] == "keras"
            and all(_is_of_keras(inner) for inner in getattr(layer, "layers", ())))


def _log(ops: Any, probabilities: Any) -> Any:
    return ops.log(ops.maximum(probabilities, MIN_PROBABILITY))


def adapt_model(model: Any, input_range: str = "", image_size: int | None = None, channels: int | None = None,
                is_classifier: bool = True) -> AdaptedModel:
    """Find out how a Keras model takes photos and what it returns.

    Args:
        model: A Sequential, functional or subclassed model with one input, [n, height, width, channels], and one
            output, float32 [n, outputs]. A model without weights is called on a symbolic input first.
        input_range: The range of the model's pixels, a key of INPUT_RANGES; "": read from the model's first layers.
        image_size: Height and width in pixels, for a model that takes any size or has no weights yet.
        channels: 1 or 3, for a model that has no weights yet (default: 3).
        is_classifier: Whether the outputs are logits or probabilities; otherwise they may be anything.

    Raises:
        ExtractorError: The model has another input or output, fails, or the range of its pixels is not known or not
            `input_range`.
    """
    import_tensorflow()
    import keras
    if not isinstance(model, keras.Model):
        raise ExtractorError("The shapes of the model's input and output are not known, because it is not a "
                             "keras.Model.", "Use a Sequential, functional or subclassed keras.Model.")
    shape, dtype = _input_shape(model, image_size, channels), _input_dtype(model)
    try:
        spec = model(keras.Input(shape, dtype=dtype), training=False)
        _check_structure(model.name, spec)
        _check_precision(model)
        outputs = np.asarray(model(np.zeros((2, *shape), dtype), training=False))
        _check_outputs(spec.shape, outputs)
        scale = _find_scale(model, shape, dtype, input_range)
        outputs = np.asarray(model(_random_photos(shape, dtype, scale.range), training=False))
        _check_values(outputs)
        end = recognize_end(model, shape, dtype, outputs) if is_classifier else ""
    except TfpoetsError:
        raise
    except Exception as error:  # the model may raise any error
        raise _failure(model, shape, image_size, error) from error
    return AdaptedModel(model, *shape, scale.range, scale.layer, outputs.shape[1], end, dtype)


def _find_scale(model: Any, shape: tuple[int, int, int], dtype: str, input_range: str) -> InputScale:
    """Return the range of a model's pixels, which it shows or `input_range` states."""
    if dtype == "float32":
        found = read_input_scale(model, shape)
    else:
        found = InputScale(INPUT_RANGES["0,255"], f"its input of type {dtype}", (INPUT_RANGES["0,255"],))
    stated = INPUT_RANGES[input_range] if input_range else None
    if stated and found and stated not in found.possible:
        low, high = found.range
        raise ExtractorError(f"The model {model.name} takes pixels from {low:g} to {high:g}, as {found.layer} shows, "
                             f"but `input_range` is {input_range}.", "Omit `input_range`.", "input_range")
    if stated:
        return found if found and stated == found.range else InputScale(stated, "")
    if found is None:
        raise ExtractorError(f"The range of the pixels that the model {model.name} takes is not known, because it "
                             "does not begin with a Rescaling or Normalization layer that shows it.",
                             "Set `input_range` to 0,1 or 0,255 or -1,1: the range of the pixels in its training.",
                             "input_range")
    return found


def _random_photos(shape: tuple[int, int, int], dtype: str, input_range: tuple[float, float]) -> np.ndarray:
    """Return 8 photos with pixels in a range: random pixels, and random pixels of low contrast."""
    random, (low, high) = np.random.default_rng(0), input_range
    noise = random.random((8, *shape), np.float32)
    brightness = random.random((4, 1, 1, shape[2]), np.float32)
    noise[4:] = 0.8 * brightness + 0.2 * noise[4:]
    return (noise * (high - low) + low).astype(dtype)


def _failure(model: Any, shape: tuple[int, int, int], image_size: int | None, error: Exception) -> ExtractorError:
    """Return the error for a model that cannot be called."""
    height, width, channels = shape
    message = re.sub(r"\x1b\[[0-9;]*m", "", one_line(error))  # Keras prints some messages in bold
    if image_size and not isinstance(error, TypeError | AttributeError | NameError | NotImplementedError):
        return ExtractorError(f"The model {model.name} does not take photos of {height} x {width} pixels: {message}",
                              "Try a different `image_size`.")
    return ExtractorError(f"The model {model.name} cannot be called: {message}",
                          "Its method call must accept a symbolic tensor of the shape "
                          f"[n, {height}, {width}, {channels}], so use operations of Keras or TensorFlow in it.")


def _input_shape(model: Any, image_size: int | None, channels: int | None) -> tuple[int, int, int]:
    """Return height, width and channels of a model's input."""
    shape = _known_input_shape(model)
    if shape is None:
        if image_size is None:
            raise ExtractorError(f"The shape of the input of the model {model.name} is not known, because the model "
                                 "has not been called yet.", "Set `image_size`, or call the model on photos once.")
        return image_size, image_size, channels or 3
    if len(shape) != 4 or shape[3] not in (1, 3):
        raise ExtractorError(f"The shape of the model's input is {list(shape)}. It must be [n, height, width, 3], or "
                             "[n, height, width, 1] for gray photos.")
    if channels not in (None, shape[3]):
        raise ExtractorError(f"The model {model.name} takes photos with {shape[3]} channels, not {channels}.")
    height, width = (side or image_size for side in shape[1:3])
    if not height or not width:
        raise ExtractorError(f"The model {model.name} takes photos of any size.", "Set `image_size`.")
    if image_size and (height, width) != (image_size, image_size):
        raise ExtractorError(f"The model {model.name} takes photos of {height} x {width} pixels, not "
                             f"`image_size`={image_size}.", "Omit `image_size`.")
    return height, width, shape[3]


def _known_input_shape(model: Any) -> tuple[int | None, ...] | None:
    """Return the shape of a model's input, or None if it has not been called yet."""
    try:
        shape = model.input_shape
    except (AttributeError, ValueError):  # a subclassed model
        shape = (model.get_build_config() or {}).get("input_shape") if model.built else None
    if shape is None:
        return None
    if isinstance(shape, dict) or any(not (side is None or isinstance(side, int)) for side in shape):
        raise ExtractorError(f"The model {model.name} has several inputs.", "Use a model with one input.")
    return tuple(shape)


def _input_dtype(model: Any) -> str:
    """Return the type of a model's input if it is a type of integers, otherwise "float32"."""
    inputs = getattr(model, "inputs", None)  # None for a subclassed model
    dtype = str(inputs[0].dtype) if inputs else ""
    return dtype if dtype.startswith(("int", "uint")) else "float32"


def _check_structure(name: str, spec: Any) -> None:
    """Raise an ExtractorError unless the output of a model, of which `spec` is an example, is one tensor."""
    if not isinstance(spec, dict | list | tuple):
        return
    if len(spec) > 1:
        raise ExtractorError(f"The model {name} has several outputs.", "Use a model with one output.")
    raise ExtractorError(f"The output of the model {name} is a {type(spec).__name__}, not a tensor.",
                         "Return the tensor itself.")


def _check_precision(model: Any) -> None:
    """Raise an ExtractorError if a layer of a model computes in half precision."""
    from keras.layers import InputLayer
    for layer in model._flatten_layers(include_self=False):
        dtype = layer.dtype if isinstance(layer, InputLayer) else layer.compute_dtype
        if dtype in HALF_PRECISION:
            raise ExtractorError(f"The layer {describe_layer(layer)} of the model {model.name} computes in {dtype}, "
                                 "but all layers must compute in float32.",
                                 'Call keras.config.set_dtype_policy("float32") before you build the model.')


def _check_outputs(shape: Any, outputs: np.ndarray) -> None:
    """Raise an ExtractorError unless the output of a model is float32 [n, columns]."""
    if shape is None or len(shape) != 2 or shape[1] is None or outputs.ndim != 2:
        raise ExtractorError(f"The shape of the model's output is {list(shape) if shape else 'not known'}. It must be "
                             "[n, outputs].", "End the model with a Flatten, pooling or Dense layer.")
    if outputs.dtype != np.float32:
        raise ExtractorError(f"The model's output is {outputs.dtype}, but it must be float32.",
                             'Set dtype="float32" in its last layer.')


def _check_values(outputs: np.ndarray) -> None:
    """Raise an ExtractorError unless the outputs for random photos are finite."""
    if not np.isfinite(outputs).all():
        raise ExtractorError("The model's output is not finite.", "Train the model again.")
