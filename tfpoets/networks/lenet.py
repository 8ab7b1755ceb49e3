"""LeNet-5 (LeCun et al. 1998), with ReLU and max pooling, as is usual today."""
from __future__ import annotations

from typing import Any

from .image_classifier import ImageClassifier


class LeNet(ImageClassifier):
    """A network of two convolutions and three dense layers, for photos of 32 x 32 pixels."""

    image_size = 32
    min_image_size = 4

    def build(self, height: int, width: int, n_classes: int) -> Any:
        """Return the Keras model."""
        from keras import Input, Sequential, layers
        return Sequential([
            Input((height, width, self.channels)),
            layers.Rescaling(2.0, -1.0),
            layers.Conv2D(6, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(120, activation="relu"),
            layers.Dropout(self.dropout),
            layers.Dense(84, activation="relu"),
            layers.Dropout(self.dropout),
            layers.Dense(n_classes)])
