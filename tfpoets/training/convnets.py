"""Small convolutional networks to train from scratch."""
from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tfpoets.extractors import LUMA_WEIGHTS
from tfpoets.tf_runtime import import_tensorflow

log = logging.getLogger(__name__)

# Maps float32 [n, height, width, 3] in [0, 1] to float32 [n, depth]. The second argument is Keras's `training`.
TrainableNetwork = Callable[[Any, bool], Any]


@dataclass(frozen=True)
class ConvNet:
    """The architecture of a network: convolutional blocks, then dense layers.

    A block is a convolution with ReLU, 2 x 2 max pooling, and optionally batch normalization.

    Attributes:
        image_size: The default side of the input, in pixels.
        filters: The number of filters in each block.
        kernel_sizes: The kernel size of each block's convolution, in pixels.
        dense: The number of units of each dense layer. The output of the last one is the bottleneck.
        batch_norm: Whether batch normalization follows each block and dense layer.
        dropout: The default dropout rate after each dense layer, 0 to 1.
    """

    image_size: int
    filters: tuple[int, ...]
    kernel_sizes: tuple[int, ...]
    dense: tuple[int, ...]
    batch_norm: bool = False
    dropout: float = 0.0


PRESETS = {
    # LeNet-5 (LeCun et al. 1998), with ReLU and max pooling, as is usual today.
    "lenet": ConvNet(32, (6, 16), (5, 5), (120, 84)),
    # A common network for CIFAR-10: four blocks, then dense layers of increasing size.
    "cifar_cnn": ConvNet(32, (64, 128, 256, 512), (3, 3, 5, 5), (128, 256, 512, 1024), batch_norm=True, dropout=0.3),
    # Three small blocks, as in tutorials on casting defects.
    "casting_cnn": ConvNet(300, (16, 32, 64), (3, 3, 3), (128,)),
}


def seed_weights(seed: int) -> None:
    """Seed the initial weights of networks built afterwards. Any integer is a valid seed."""
    import_tensorflow()
    import keras
    keras.utils.set_random_seed(seed % 2 ** 31)


def build_convnet(preset: ConvNet, height: int, width: int, *, grayscale: bool, dropout: float | None, seed: int
                  ) -> TrainableNetwork:
    """Build a network with random weights.

    Args:
        preset: The architecture.
        height: The height of the input, in pixels.
        width: The width of the input, in pixels.
        grayscale: Whether the network converts its input to grayscale first.
        dropout: The dropout rate, or None for the preset's default.
        seed: The seed of the initial weights.

    Raises:
        ValueError: The input is too small for the number of blocks.
    """
    seed_weights(seed)
    import keras
    min_size = 2 ** len(preset.filters)
    if min(height, width) < min_size:
        raise ValueError(f"it needs at least {min_size} x {min_size} pixels")
    pixels = keras.Input((height, width, 3))
    x = _to_grayscale(keras, pixels) if grayscale else pixels
    x = keras.layers.Rescaling(2.0, -1.0)(x)
    for filters, kernel_size in zip(preset.filters, preset.kernel_sizes):
        x = keras.layers.Conv2D(filters, kernel_size, padding="same", activation="relu")(x)
        x = keras.layers.MaxPooling2D()(x)
        x = keras.layers.BatchNormalization()(x) if preset.batch_norm else x
    x = keras.layers.Flatten()(x)
    rate = preset.dropout if dropout is None else dropout
    for units in preset.dense:
        x = keras.layers.Dense(units, activation="relu")(x)
        x = keras.layers.BatchNormalization()(x) if preset.batch_norm else x
        x = keras.layers.Dropout(rate)(x) if rate else x
    model = keras.Model(pixels, x)
    log_summary(model)
    return lambda photos, training: model(photos, training=training)


def log_summary(model: Any) -> None:
    """Log the layers of a Keras model with the shapes of their outputs, at the level DEBUG."""
    if log.isEnabledFor(logging.DEBUG):
        model.summary(line_length=79, print_fn=lambda text: log.debug("%s", text))


def _to_grayscale(keras: Any, pixels: Any) -> Any:
    """Convert to grayscale inside the network, so that every network takes RGB input."""
    layer = keras.layers.Conv2D(1, 1, use_bias=False, trainable=False)
    gray = layer(pixels)
    layer.kernel.assign([[[[weight] for weight in LUMA_WEIGHTS]]])
    return gray
