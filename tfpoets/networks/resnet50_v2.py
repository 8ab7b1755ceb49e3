"""ResNet50V2 (He et al. 2016) of keras.applications, with a last layer for the classes."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from tfpoets.extractors import ExtractorOptions, build_application

from .image_classifier import ImageClassifier


class ResNet50V2(ImageClassifier):
    """A residual network of 50 layers, for photos of 224 x 224 pixels.

    Attributes:
        pretrained: Whether the training starts from ImageNet weights, which are downloaded, instead of random ones.
        model_dir: The folder for downloaded weights.
        offline: Whether downloads are forbidden.
    """

    image_size = 224
    pretrained = False
    model_dir: Path = ExtractorOptions().model_dir
    offline = False

    def build(self, height: int, width: int, n_classes: int) -> Any:
        """Return the Keras model."""
        from keras import Input, Sequential, layers
        network = build_application("ResNet50V2", height, self.pretrained, self.model_dir, self.offline)
        return Sequential([
            Input((height, width, 3)),
            layers.Rescaling(2.0, -1.0),
            network,
            layers.Dense(n_classes)])
