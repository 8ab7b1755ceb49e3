"""A network of three equal blocks, as in introductions to convolutional networks."""
from __future__ import annotations

from typing import Any

from .image_classifier import ImageClassifier


class SmallCNN(ImageClassifier):
    """A network of three convolutions with 64 filters and two dense layers, for photos of 32 x 32 pixels."""

    image_size = 32
    min_image_size = 8

    def build(self, height: int, width: int, n_classes: int) -> Any:
        """Return the Keras model."""
        from keras import Input, Sequential, layers
        return Sequential([
            Input((height, width, self.channels)),
            layers.Rescaling(2.0, -1.0),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(self.dropout),
            layers.Dense(n_classes)])
