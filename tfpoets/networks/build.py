"""Build the network that `architecture` selects, for training from scratch."""
from __future__ import annotations

import logging
from typing import Any

from tfpoets.errors import OptionError, check_choice
from tfpoets.extractors import LUMA_WEIGHTS, ExtractorOptions, Network
from tfpoets.training import InitialNetwork, NetworkOptions, log_summary, seed_weights

from .casting_cnn import CastingCNN
from .cifar_cnn import CifarCNN
from .image_classifier import ImageClassifier
from .lenet import LeNet
from .model_training import describe_initial
from .own_networks import check_own_network_file, is_own_network, load_own_network
from .resnet50_v2 import ResNet50V2
from .small_cnn import SmallCNN

log = logging.getLogger(__name__)

RESNET = "resnet50_v2"
# The networks by the name that `architecture` takes.
ARCHITECTURES: dict[str, type[ImageClassifier]] = {
    "lenet": LeNet, "cifar_cnn": CifarCNN, "casting_cnn": CastingCNN, "small_cnn": SmallCNN, RESNET: ResNet50V2}
# Those that are small, and have the options `color_mode` and `dropout`.
CONVNETS = tuple(name for name in ARCHITECTURES if name != RESNET)


def check_network_options(options: NetworkOptions) -> None:
    """Raise an error if there is no such network or file, or the network does not have one of the options."""
    name = options.architecture
    if is_own_network(name):
        check_own_network_file(name)
        return
    check_choice("architecture", name, tuple(ARCHITECTURES))
    if options.weights == "imagenet" and name != RESNET:
        raise OptionError(f"`weights`=imagenet is only available for `architecture`={RESNET}.")
    if options.color_mode == "grayscale" and name == RESNET:
        raise OptionError(f"`color_mode`=grayscale is not available for `architecture`={RESNET}.",
                          f"Choose from {', '.join(CONVNETS)}.")


def build_network(options: NetworkOptions, source: ExtractorOptions, n_classes: int) -> InitialNetwork:
    """Build a network to train from scratch, or load the user's network.

    Args:
        options: The architecture and its options.
        source: The options of the input, and the folder for downloaded weights.
        n_classes: The number of classes.

    Raises:
        TrainingError: The network cannot be built, or does not fit the photos.
    """
    if is_own_network(options.architecture):
        return _load_own_network(options, source, n_classes)
    return _build_named_network(options, source, n_classes)


def _build_named_network(options: NetworkOptions, source: ExtractorOptions, n_classes: int) -> InitialNetwork:
    """Build one of ARCHITECTURES without its last layer, which is the head."""
    name, grayscale, pretrained = (options.architecture, options.color_mode == "grayscale",
                                   options.weights == "imagenet")
    classifier = ARCHITECTURES[name](image_size=source.image_size, color_mode=options.color_mode)
    dropout = options.dropout if name in CONVNETS else None
    if dropout is not None:
        classifier.dropout = dropout
    if isinstance(classifier, ResNet50V2):
        classifier.pretrained, classifier.model_dir, classifier.offline = pretrained, source.model_dir, source.offline
    size = classifier.image_size
    classifier.check_size()
    seed_weights(options.seed)
    import keras
    to_grayscale = _grayscale_layer() if grayscale else None
    model = classifier.build(size, size, n_classes)
    features = keras.Model(model.inputs[0], model.layers[-1].input, name=name)
    log_summary(features)

    def function(pixels: Any, training: bool | None) -> Any:
        return features(to_grayscale(pixels) if to_grayscale else pixels, training=training)
    return InitialNetwork(Network(function, size, size, is_keras=True), name, name,
                          f"{name}/{options.seed}/{grayscale}/{pretrained}", "from_scratch", dropout=dropout)


def _grayscale_layer() -> Any:
    """Return a layer that converts RGB to grayscale, so that every network takes RGB input."""
    import keras
    layer = keras.layers.Conv2D(1, 1, use_bias=False, trainable=False)
    layer.build((None, None, None, 3))
    layer.kernel.assign([[[[weight] for weight in LUMA_WEIGHTS]]])
    return layer


def _load_own_network(options: NetworkOptions, source: ExtractorOptions, n_classes: int) -> InitialNetwork:
    """Build a network that the user has written, including its last layer."""
    name, channels = options.architecture, 1 if options.color_mode == "grayscale" else None
    adapted = load_own_network(name, source, n_classes, options.seed, channels)
    log.info("%s", adapted.describe_input())
    return describe_initial(adapted, name)
