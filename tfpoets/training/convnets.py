"""Small networks to train from scratch: one kind, with presets."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tfpoets.tf_runtime import import_tensorflow

# From float32 [n, height, width, 3] in [0, 1], and whether it is trained on, to float32 [n, depth].
TrainableNetwork = Callable[[Any, bool], Any]

# ITU-R BT.601: the share of each colour in the brightness.
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class ConvNet:
    """A network of blocks (convolution, ReLU, 2 x 2 maximum, normalisation) and dense layers.

    Attributes:
        image_size: side of its input where nobody asks for another, in pixels.
        filters: of each block's convolution.
        kernels: sides of them, in pixels.
        dense: units of each layer behind the blocks; the last one's are the bottleneck.
        batch_norm: normalise behind each block and dense layer.
        dropout: share of units left out behind each dense layer, where nobody asks for another.
    """

    image_size: int
    filters: tuple[int, ...]
    kernels: tuple[int, ...]
    dense: tuple[int, ...]
    batch_norm: bool = False
    dropout: float = 0.0


PRESETS = {
    # LeCun et al. 1998 (LeNet-5), with today's ReLU and maximum.
    "lenet": ConvNet(32, (6, 16), (5, 5), (120, 84)),
    # A common network for CIFAR-10: four blocks and a pyramid of dense layers.
    "cifar_cnn": ConvNet(32, (64, 128, 256, 512), (3, 3, 5, 5), (128, 256, 512, 1024), batch_norm=True, dropout=0.3),
    # Three small blocks, as tutorials on casting defects have them.
    "casting_cnn": ConvNet(300, (16, 32, 64), (3, 3, 3), (128,)),
}


def seed_weights(seed: int) -> None:
    """Makes the random weights of the next networks depend on the seed alone; it may be any whole number."""
    import_tensorflow()
    import keras
    keras.utils.set_random_seed(seed % 2 ** 31)


def build_convnet(preset: ConvNet, height: int, width: int, *, grayscale: bool, dropout: float | None, seed: int
                  ) -> TrainableNetwork:
    """A preset with random weights.

    Args:
        height, width: of its input, in pixels.
        grayscale: the first layer takes the brightness alone.
        dropout: another share than the preset's, or None.
        seed: of the weights.

    Raises:
        ValueError: the input is too small for so many blocks.
    """
    seed_weights(seed)
    import keras
    least = 2 ** len(preset.filters)
    if min(height, width) < least:
        raise ValueError(f"it needs at least {least} x {least} pixels")
    pixels = keras.Input((height, width, 3))
    x = _brightness(keras, pixels) if grayscale else pixels
    x = keras.layers.Rescaling(2.0, -1.0)(x)
    for filters, kernel in zip(preset.filters, preset.kernels):
        x = keras.layers.Conv2D(filters, kernel, padding="same", activation="relu")(x)
        x = keras.layers.MaxPooling2D()(x)
        x = keras.layers.BatchNormalization()(x) if preset.batch_norm else x
    x = keras.layers.Flatten()(x)
    share = preset.dropout if dropout is None else dropout
    for units in preset.dense:
        x = keras.layers.Dense(units, activation="relu")(x)
        x = keras.layers.BatchNormalization()(x) if preset.batch_norm else x
        x = keras.layers.Dropout(share)(x) if share else x
    model = keras.Model(pixels, x)
    return lambda photos, training: model(photos, training=training)


def _brightness(keras: Any, pixels: Any) -> Any:
    """Colours to gray by a fixed convolution, so that the pixel contract is the same for every network."""
    layer = keras.layers.Conv2D(1, 1, use_bias=False, trainable=False)
    gray = layer(pixels)
    layer.kernel.assign([[[[share] for share in LUMA]]])
    return gray
