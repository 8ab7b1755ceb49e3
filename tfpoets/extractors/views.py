"""Average a network's features over several views of each photo."""
from __future__ import annotations

from typing import Any

from tfpoets.tf_runtime import import_tensorflow

from .network import Network

# The fraction of height and width that the center crop keeps.
CROP_FRACTION = 7 / 8


def average_views(network: Network, views: int) -> Network:
    """Return a network that computes the mean of the features over several views of each photo.

    The views are made inside the graph, so every file and program that runs it uses the same ones.

    Args:
        network: The network that processes each view.
        views: The number of views, one of VIEW_COUNTS.
    """
    if views == 1:
        return network
    tensorflow = import_tensorflow()

    def features(pixels: Any, training: bool = False) -> Any:
        view_pixels = [pixels, _enlarge_center(tensorflow, pixels, network)]
        if views == 4:
            view_pixels += [tensorflow.reverse(view, [2]) for view in view_pixels]
        view_features = tensorflow.split(network(tensorflow.concat(view_pixels, 0), training), views)
        return tensorflow.add_n(view_features) / views
    return Network(features, network.height, network.width)


def average_keras_views(network: Network, views: int) -> Network:
    """Return the same for a network of Keras layers, with operations of Keras instead of TensorFlow.

    Args:
        network: The network that processes each view, whose `is_keras` is true.
        views: The number of views, one of VIEW_COUNTS.
    """
    if views == 1:
        return network
    import_tensorflow()
    import keras
    height, width = network.height, network.width
    top, left = _margins(network)
    layers = keras.layers
    enlarge = keras.Sequential([layers.Cropping2D(((top, top), (left, left))), layers.Resizing(height, width)])

    def features(pixels: Any, training: bool | None = False) -> Any:
        view_pixels = [pixels, enlarge(pixels)]
        if views == 4:
            view_pixels += [keras.ops.flip(view, axis=2) for view in view_pixels]
        return layers.Average()([network(view, training) for view in view_pixels])
    return Network(features, height, width, is_keras=True)


def _margins(network: Network) -> tuple[int, int]:
    """Return the margins above and to the left of the center crop, in pixels."""
    top, left = (round(side * (1 - CROP_FRACTION) / 2) for side in (network.height, network.width))
    return top, left


def _enlarge_center(tensorflow: Any, pixels: Any, network: Network) -> Any:
    """Crop the center of each photo and resize it to the full size."""
    height, width = network.height, network.width
    top, left = _margins(network)
    center = pixels[:, top:height - top, left:width - left, :]
    return tensorflow.image.resize(center, [height, width])
