"""A network of three small blocks, as in tutorials on casting defects."""
from __future__ import annotations

from typing import Any

from .image_classifier import ImageClassifier


class CastingCNN(ImageClassifier):
    """A network of three convolutions and two dense layers, for photos of 300 x 300 pixels."""

    image_size = 300
    min_image_size = 8

    def build(self, height: int, width: int, n_classes: int) -> Any:
        """Return the Keras model."""
        from keras import Input, Sequential, layers
        return Sequential([
            Input((height, width, self.channels)),
            layers.Rescaling(2.0, -1.0),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(self.dropout),
            layers.Dense(n_classes)])
