"""Interfaces of pretrained networks and of the providers that find them."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tfpoets.tf_runtime import import_tensorflow

from .options import ExtractorOptions


@dataclass(frozen=True)
class Network:
    """A TensorFlow network with its variables.

    Attributes:
        function: A function from a float32 tensor [n, height, width, 3] in [0, 1], and the keyword `training`, to
            float32 [n, depth]. With `training=True`, batch normalisation uses the statistics of the batch and updates
            the moving averages. A network that does not support this raises an ExtractorError.
        height, width: The input size in pixels.
        is_keras: Whether `function` consists of Keras layers and operations, so that it also takes a KerasTensor.
    """

    function: Callable[..., Any]
    height: int
    width: int
    is_keras: bool = False

    def __call__(self, pixels: Any, training: bool | None = False) -> Any:
        """Return the features of photos; arguments and result are those of `function`."""
        return self.function(pixels, training=training)


class PretrainedNetwork(Protocol):
    """A pretrained network that can become an extractor; TensorFlow loads it only in `build`.

    If it is a Keras model, it may have an attribute `is_keras` with the value True; and if all its weights are
    constants, so that it cannot be fine-tuned, an attribute `is_frozen` with the value True.
    """

    @property
    def name(self) -> str:
        """The name in messages and folder names."""

    @property
    def default_size(self) -> int | None:
        """Height and width of the input in pixels if the options do not set one; None: `build` decides."""

    def identity(self) -> str:
        """Return a string that identifies the network and its weights, quickly and without TensorFlow."""

    def build(self, image_size: int | None) -> Network:
        """Load the network with TensorFlow.

        Args:
            image_size: Height and width of its input in pixels; None: the size that the network was made for.

        Raises:
            ExtractorError: The network cannot be loaded, or does not take photos of that size.
        """


def run_network(pretrained: PretrainedNetwork, image_size: int | None) -> None:
    """Load a network, and run it on a gray photo, to see whether it works."""
    network = pretrained.build(image_size)
    run = import_tensorflow().function(lambda pixels: network(pixels))  # old graphs cannot run outside of a graph
    run(np.full((1, network.height, network.width, 3), 0.5, np.float32))


class ExtractorProvider(Protocol):
    """A provider of pretrained networks for one kind of handle."""

    def find(self, handle: str, options: ExtractorOptions) -> PretrainedNetwork | None:
        """Return the network that a handle names, or None if the handle is of a different kind.

        Args:
            handle: The handle, without leading or trailing whitespace.
            options: `model_dir` is the folder for downloads, and `offline` forbids them.

        Raises:
            ExtractorError: The handle is of this kind, but no such network exists or it cannot be downloaded.
        """

    def names(self) -> Sequence[str]:
        """Return valid handles, as suggestions for misspelt ones; this must be fast, and the result may be empty."""
