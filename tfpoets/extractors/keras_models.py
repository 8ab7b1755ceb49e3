"""Use a Keras model with this library's pixels and as a classifier that returns logits."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tfpoets.errors import ExtractorError, TfpoetsError, one_line
from tfpoets.tf_runtime import full_precision, import_tensorflow

from .keras_layers import InputScale, intercept_layers, read_input_scale
from .options import INPUT_RANGES

# The weights of red, green and blue in luma (ITU-R BT.601).
LUMA_WEIGHTS = (0.299, 0.587, 0.114)
# Probabilities below this are not distinguished, so that their logarithms are finite.
MIN_PROBABILITY = 1e-30
LOGITS, SOFTMAX, SIGMOID = "logits", "softmax", "sigmoid"


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
        activation: What the model ends in: "logits" (no activation), "softmax" or "sigmoid".
    """

    model: Any
    height: int
    width: int
    channels: int
    input_range: tuple[float, float]
    scale_source: str
    n_outputs: int
    activation: str

    @property
    def n_classes(self) -> int:
        """The number of classes; a single output is the second of two classes."""
        return max(2, self.n_outputs)

    def describe_input(self) -> str:
        """Return a sentence about the scale of the input, which names the layer that shows it."""
        low, high = self.input_range
        reason = f", as {self.scale_source} shows" if self.scale_source else ""
        gray = " in grayscale" if self.channels == 1 else ""
        return f"The model {self.model.name} takes pixels{gray} from {low:g} to {high:g}{reason}."

    @cached_property
    def _input_layers(self) -> Sequence[Any]:
        """The layers that convert RGB pixels in [0, 1] to the model's input."""
        import keras
        layers: list[Any] = []
        if self.channels == 1:
            to_gray = keras.layers.Conv2D(1, 1, use_bias=False, trainable=False, dtype="float32")
            with import_tensorflow().init_scope():  # not part of a graph that is being built
                to_gray.build((None, self.height, self.width, 3))
                to_gray.kernel.assign([[[[weight] for weight in LUMA_WEIGHTS]]])
            layers.append(to_gray)
        low, high = self.input_range
        if (low, high) != (0, 1):
            layers.append(keras.layers.Rescaling(high - low, low, dtype="float32"))
        return layers

    def to_input(self, pixels: Any) -> Any:
        """Convert pixels to the model's input.

        Args:
            pixels: A tensor of TensorFlow or Keras, float32 [n, height, width, 3] in [0, 1].

        Returns:
            A tensor of the same kind, float32 [n, height, width, channels] in `input_range`.
        """
        for layer in self._input_layers:
            pixels = layer(pixels)
        return pixels

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
        with full_precision:
            outputs = np.asarray(self.model(photos * np.float32(high - low) + np.float32(low), training=False))
        if self.n_outputs == 1:
            positive = outputs if self.activation == SIGMOID else 1 / (1 + np.exp(-outputs))
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
        activation, inner = _find_activation(outputs)
        has_inner = activation == self.activation  # not in eager execution, where tensors do not know their origin
        if self.n_outputs == 1:
            if self.activation == SIGMOID:
                inner = inner if has_inner else _log(ops, outputs) - _log(ops, 1.0 - outputs)
            return ops.concatenate([ops.zeros_like(inner), inner], axis=-1)
        if self.activation == LOGITS:
            return outputs
        return inner if self.activation == SOFTMAX and has_inner else _log(ops, outputs)


def _call_inside(model: Any, inputs: Any) -> Any:
    """Call a model on a KerasTensor, so that the result depends on layers of Keras only.

    The layers of classes that Keras does not contain are replaced by what their `call` does.
    """
    def call(original: Callable[..., Any], layer: Any, *args: Any, **kwargs: Any) -> Any:
        return original(layer, *args, **kwargs) if _is_of_keras(layer) else layer.call(*args, **kwargs)
    with intercept_layers(call):
        return model(inputs)


def _is_of_keras(layer: Any) -> bool:
    """Return whether a layer and the layers inside it are instances of classes of Keras."""
    return (type(layer).__module__.split(".")[0] == "keras"
            and all(_is_of_keras(inner) for inner in getattr(layer, "layers", ())))


def _log(ops: Any, probabilities: Any) -> Any:
    return ops.log(ops.maximum(probabilities, MIN_PROBABILITY))


def adapt_model(model: Any, input_range: str = "", image_size: int | None = None, channels: int | None = None
                ) -> AdaptedModel:
    """Find out how a Keras model takes photos and what it returns.

    Args:
        model: A Sequential, functional or subclassed model with one input, float32 [n, height, width, channels], and
            one output, float32 [n, outputs]. A model without weights is called on a symbolic input first.
        input_range: The range of the model's pixels, a key of INPUT_RANGES; "": read from the model's first layers.
        image_size: Height and width in pixels, for a model that takes any size or has no weights yet.
        channels: 1 or 3, for a model that has no weights yet (default: 3).

    Raises:
        ExtractorError: The model has another input or output, fails, or the range of its pixels is not known.
    """
    import_tensorflow()
    import keras
    if not isinstance(model, keras.Model):
        raise ExtractorError("The shapes of the model's input and output are not known, because it is not a "
                             "keras.Model.", "Use a Sequential, functional or subclassed keras.Model.")
    height, width, channels = shape = _input_shape(model, image_size, channels)
    try:
        spec = model(keras.Input((height, width, channels)))
        outputs = np.asarray(model(np.random.default_rng(0).random((2, *shape), np.float32), training=False))
        scale = None if input_range else read_input_scale(model, shape)
    except TfpoetsError:
        raise
    except Exception as error:  # the model may raise any error
        raise ExtractorError(f"The model {model.name} does not take photos of {height} x {width} pixels: "
                             f"{one_line(error)}", "Try a different `image_size`.") from error
    _check_outputs(getattr(spec, "shape", None), outputs)
    if input_range:
        scale = InputScale(INPUT_RANGES[input_range], "")
    if scale is None:
        raise ExtractorError(f"The range of the pixels that the model {model.name} takes is not known, because it "
                             "does not begin with a Rescaling or Normalization layer that shows it.",
                             "Set `input_range` to 0,1 or 0,255 or -1,1: the range of the pixels in its training.",
                             "input_range")
    return AdaptedModel(model, height, width, channels, scale.range, scale.layer, outputs.shape[1],
                        _activation(model, shape, outputs))


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
                             f"`image_size`={image_size}.", "Omit it.")
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


def _check_outputs(shape: Any, outputs: np.ndarray) -> None:
    """Raise an ExtractorError unless the outputs for random pixels are finite float32 [n, columns]."""
    if shape is None or len(shape) != 2 or shape[1] is None or outputs.ndim != 2:
        raise ExtractorError(f"The shape of the model's output is {list(shape) if shape else 'not known'}. It must be "
                             "[n, outputs].", "End the model with a Flatten, pooling or Dense layer.")
    if outputs.dtype != np.float32:
        raise ExtractorError(f"The model's output is {outputs.dtype}, but it must be float32.",
                             'Set dtype="float32" in its last layer.')
    if not np.isfinite(outputs).all():
        raise ExtractorError("The model's output is not finite.", "Train the model again.")


def _activation(model: Any, shape: tuple[int, int, int], outputs: np.ndarray) -> str:
    """Return what a model ends in, from its graph; a softmax also from its outputs for random pixels."""
    tensorflow = import_tensorflow()
    traced = tensorflow.function(lambda pixels: model(pixels, training=False), autograph=False).get_concrete_function(
        tensorflow.TensorSpec([None, *shape], tensorflow.float32))
    activation, output = _find_activation(traced.outputs[0])
    operation = _operation(_skip_identities(output))
    if operation is not None and operation.type.endswith("PartitionedCall"):  # `call` is decorated with tf.function
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
        activation = _find_activation(convert_variables_to_constants_v2(traced).outputs[0])[0]
    sums_to_one = outputs.shape[1] > 1 and (outputs >= 0).all() and np.allclose(outputs.sum(1), 1, atol=1e-4)
    return SOFTMAX if sums_to_one else activation


def _find_activation(tensor: Any) -> tuple[str, Any]:
    """Return the activation that computes a tensor of a graph, and its input.

    The first is "logits" for any other tensor, and the second is then the tensor itself.
    """
    operation = _operation(_skip_identities(tensor))
    kind = {"Softmax": SOFTMAX, "Sigmoid": SIGMOID}.get(operation.type if operation is not None else "", LOGITS)
    return kind, (tensor if operation is None or kind == LOGITS else operation.inputs[0])


def _skip_identities(tensor: Any) -> Any:
    """Return the tensor of a graph that a tensor is a copy of."""
    operation = _operation(tensor)
    while operation is not None and operation.type in ("Identity", "StopGradient"):
        tensor = operation.inputs[0]
        operation = _operation(tensor)
    return tensor


def _operation(tensor: Any) -> Any:
    """Return the operation of a graph that computes a tensor; None in eager execution and for tensors of Keras."""
    try:
        return tensor.op
    except AttributeError:
        return None
