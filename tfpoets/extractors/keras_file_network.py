"""Pretrained networks in .keras files, whose penultimate features are used."""
from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.errors import ExtractorError
from tfpoets.graphs import FirstRun
from tfpoets.tf_runtime import import_tensorflow

from .keras_files import KERAS_SUFFIX, check_keras_file, load_keras_file
from .keras_layers import describe_layer, intercept_layers, record_layers
from .keras_models import AdaptedModel, adapt_model
from .network import Network, run_network
from .options import ExtractorOptions

log = logging.getLogger(__name__)

# Part of the extractor's identity. Increase it whenever other features are chosen.
DEFINITION_VERSION = 1
# The activations of a last layer that returns logits or probabilities.
CLASSIFIER_ACTIVATIONS = ("linear", "softmax", "sigmoid")


class KerasFileProvider:
    """The provider of networks in .keras files."""

    def find(self, handle: str, options: ExtractorOptions) -> KerasFileNetwork | None:
        """Return the network if the handle ends in .keras."""
        if not handle.endswith(KERAS_SUFFIX):
            return None
        path = Path(os.path.expanduser(handle))
        if not path.is_file():
            raise ExtractorError(f"There is no file {path}.", "Write it with model.save(FILE).")
        return KerasFileNetwork(path, options.input_range, options.trust_model)

    def names(self) -> Sequence[str]:
        """Return an empty tuple, since paths cannot be listed."""
        return ()


class KerasFileNetwork:
    """A network in a .keras file.

    Its features are the input of the last layer, if that is a Dense layer that returns logits or probabilities;
    otherwise they are the output of the model. Feature maps are averaged.

    Args:
        path: The path of the file.
        input_range: The range of the model's pixels, a key of INPUT_RANGES; "": read from its first layers.
        trust_model: Whether the file need not be loaded in a process of its own first. Code in it is never run.
    """

    default_size: int | None = None
    is_keras = True

    def __init__(self, path: Path, input_range: str, trust_model: bool = False):
        self.name, self._trust_model = path.stem, trust_model
        self._path, self._input_range = path, input_range

    def identity(self) -> str:
        """Return a hash of the file, with the range of the pixels."""
        digest = hashlib.blake2b(self._path.read_bytes()).hexdigest()
        return f"keras-file/{DEFINITION_VERSION}/{digest}/{self._input_range}"

    def build(self, image_size: int | None) -> Network:
        """Load the model, and find the layer whose input is used as features."""
        check_keras_file(self._path)
        first_run = FirstRun(self._path, f"network {self._input_range}")
        if not (self._trust_model or first_run.has_happened()):
            first_run.run(run_network, KerasFileNetwork(self._path, self._input_range, True), image_size,
                          library="keras")
        adapted = adapt_model(load_keras_file(self._path), self._input_range, image_size, is_classifier=False)
        last_layer = _find_last_layer(adapted)
        log.info("%s Its features are %s.", adapted.describe_input(),
                 f"the input of its last layer, {describe_layer(last_layer)}" if last_layer else "its output")

        def features(pixels: Any, training: bool | None = False) -> Any:
            if last_layer is None:
                return _call(adapted, pixels, training, None)
            return _average_maps(_call(adapted, pixels, training, last_layer))
        return Network(features, adapted.height, adapted.width, is_keras=True)


def _find_last_layer(adapted: AdaptedModel) -> Any:
    """Return the Dense layer that computes the logits of a model, or None if its output does not come from one."""
    import keras
    with record_layers() as calls:
        adapted.model(np.zeros((1, adapted.height, adapted.width, adapted.channels), adapted.dtype), training=False)
    for call in reversed([call for call in calls if call.is_leaf]):
        if isinstance(call.layer, keras.layers.Dense):
            return call.layer if call.layer.activation.__name__ in CLASSIFIER_ACTIVATIONS else None
        if not isinstance(call.layer, (keras.layers.Softmax, keras.layers.Activation, keras.layers.Rescaling,
                                       keras.layers.Dropout)):
            return None
    return None


def _call(adapted: AdaptedModel, pixels: Any, training: bool | None, last_layer: Any) -> Any:
    """Call a model, and return the input of one of its layers; None for the output of the model."""
    import keras
    inputs: list[Any] = []

    def call(original: Callable[..., Any], layer: Any, *args: Any, **kwargs: Any) -> Any:
        if layer is last_layer:
            inputs.append(args[0])
        if isinstance(layer, keras.Model) and isinstance(args[0], keras.KerasTensor):
            return layer.call(*args, **kwargs)  # otherwise the layers inside a model would not get a KerasTensor
        return original(layer, *args, **kwargs)
    with intercept_layers(call):
        outputs = adapted.model(adapted.to_input(pixels), training=training)
    return outputs if last_layer is None else inputs[-1]


def _average_maps(features: Any) -> Any:
    """Return the mean over the positions of feature maps: [n, height, width, depth] or [n, depth] to [n, depth]."""
    import_tensorflow()
    from keras import ops
    axes = tuple(range(1, len(features.shape) - 1))
    return ops.mean(features, axis=axes) if axes else features
