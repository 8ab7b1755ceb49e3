"""A common network for CIFAR-10: four blocks, then dense layers of increasing size."""
from __future__ import annotations

from typing import Any

from .image_classifier import ImageClassifier


class CifarCNN(ImageClassifier):
    """A network of four convolutions and five dense layers with batch normalization, for photos of 32 x 32 pixels."""

    image_size = 32
    min_image_size = 16
    dropout = 0.3

    def build(self, height: int, width: int, n_classes: int) -> Any:
        """Return the Keras model."""
        from keras import Input, Sequential, layers
        model = Sequential([Input((height, width, self.channels)), layers.Rescaling(2.0, -1.0)])
        for filters, kernel_size in ((64, 3), (128, 3), (256, 5), (512, 5)):
            model.add(layers.Conv2D(filters, kernel_size, padding="same", activation="relu"))
            model.add(layers.MaxPooling2D())
            model.add(layers.BatchNormalization())
        model.add(layers.Flatten())
        for units in (128, 256, 512, 1024):
            model.add(layers.Dense(units, activation="relu"))
            model.add(layers.BatchNormalization())
            model.add(layers.Dropout(self.dropout))
        model.add(layers.Dense(n_classes))
        return model
