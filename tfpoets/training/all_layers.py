"""All layers trained: an extractor fine-tuned, or a network from scratch; either becomes an extractor again."""
from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import DEFAULT_AUGMENTATION, TRAINING, VALIDATION, AugmentationOptions, Dataset, store_pixels
from tfpoets.errors import OptionError, TfpoetsError, TrainingError, check_choice, check_range
from tfpoets.extractors import Extractor, Network, average_views, core_count, has_gpu, prepare_extractor

from .convnets import PRESETS, build_convnet, seed_weights
from .linear_head import LinearHead
from .training_loop import LOOP_VERSION, Epoch, LoopOptions, NetworkFit, train_network

log = logging.getLogger(__name__)

RESNET, RESNET_SIZE = "resnet50_v2", 224
CONVNETS = tuple(PRESETS)
ARCHITECTURES = (*CONVNETS, RESNET)
COLOR_MODES = ("rgb", "grayscale")
WEIGHTS = ("none", "imagenet")
BATCH_NORMS = ("frozen", "training")


@dataclass(frozen=True, kw_only=True)
class FineTuningOptions(LoopOptions):
    """How a pretrained network is trained further, all layers of it.

    Attributes:
        batch_norm: "frozen": keep the statistics of batch normalisation; "training": learn them from the photos.
    """

    epochs: int = 4
    augmentation: AugmentationOptions = DEFAULT_AUGMENTATION
    batch_norm: str = "frozen"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("batch_norm", self.batch_norm, BATCH_NORMS)


@dataclass(frozen=True, kw_only=True)
class NetworkOptions(LoopOptions):
    """Which network is trained from scratch, and how.

    Attributes:
        architecture: one of ARCHITECTURES.
        weights: "imagenet" to begin resnet50_v2 with ImageNet's weights, or "none".
        color_mode: "rgb", or "grayscale": the network sees the brightness alone.
        dropout: share of units left out; None: the network's own.
    """

    architecture: str
    epochs: int = 20
    learning_rate: float = 1e-3
    label_smoothing: float = 0.0
    weights: str = "none"
    color_mode: str = "rgb"
    dropout: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("architecture", self.architecture, ARCHITECTURES)
        check_choice("weights", self.weights, WEIGHTS)
        check_choice("color_mode", self.color_mode, COLOR_MODES)
        check_range("dropout", self.dropout, minimum=0, below=1)
        if self.weights == "imagenet" and self.architecture != RESNET:
            raise OptionError(f"`weights`=imagenet is for `architecture`={RESNET}; other extractors have theirs.")
        if self.color_mode == "grayscale" and self.architecture == RESNET:
            raise OptionError(f"`color_mode`=grayscale is for networks from scratch ({', '.join(CONVNETS)}).")


@dataclass(frozen=True, eq=False)
class UntrainedNetwork:
    """A network before its training.

    Attributes:
        network: with its first weights.
        name, handle: for messages and the metadata.
        identity: tells its first weights from all others.
        kind: fine_tuned or from_scratch.
        start: the last layer to begin with, or None.
    """

    network: Network
    name: str
    handle: str
    identity: str
    kind: str
    start: LinearHead | None = None


def to_fine_tune(network: Network, extractor: Extractor, head: LinearHead, options: FineTuningOptions
                 ) -> UntrainedNetwork:
    """Return the extractor's network with its variables, and the head that was solved for it.

    Args:
        network: from `load_network`.
        extractor, head: of the same network.
        options: with `batch_norm` "training" each batch is normalised by its own statistics, which are kept; else they
            stay as they were pretrained (scale and shift are trained in any case): small batches of new photos mostly
            blur them.
    """
    batch_norm = options.batch_norm == "training"

    def trained(pixels: Any, training: bool) -> Any:
        return network(pixels, training and batch_norm)
    return UntrainedNetwork(replace(network, function=trained), f"{extractor.name}, fine-tuned", extractor.handle,
                     f"{extractor.digest}/{batch_norm}", "fine_tuned", head)


def from_scratch(options: NetworkOptions, image_size: int | None, seed: int,
                 resnet: Callable[[int, bool], Any]) -> UntrainedNetwork:
    """A network with random weights (or ImageNet's, for resnet50_v2 where that is asked for).

    Args:
        options: which.
        image_size: side of its input, in pixels; None: the network's own.
        seed: of the weights.
        resnet: gives ResNet50V2 as a Keras model for a side and whether ImageNet's weights are wanted.
    """
    name, grayscale, pretrained = (options.architecture, options.color_mode == "grayscale",
                                   options.weights == "imagenet")
    identity = f"{name}/{seed}/{grayscale}/{pretrained}"
    if name in PRESETS:
        size = image_size or PRESETS[name].image_size
        try:
            function = build_convnet(PRESETS[name], size, size, grayscale=grayscale, dropout=options.dropout,
                                     seed=seed)
        except ValueError as error:
            raise TrainingError(f"`architecture`={name} does not take photos of {size} x {size} pixels: {error}.",
                                "Give a larger `image_size`.") from error
    else:
        seed_weights(seed)
        size = image_size or RESNET_SIZE
        model = resnet(size, pretrained)

        def function(pixels: Any, training: bool) -> Any:
            return model(pixels * 2 - 1, training=training)
    return UntrainedNetwork(Network(function, size, size), name, name, identity, "from_scratch")


def train_all_layers(untrained: UntrainedNetwork, dataset: Dataset,
                        options: FineTuningOptions | NetworkOptions, views: int, work_dir: Path,
                        on_epoch: Callable[[Epoch], None]) -> tuple[Extractor, NetworkFit]:
    """Trains a network on the training photos, and prepares the best of its epochs as an extractor.

    Args:
        untrained: its network is changed in place.
        dataset: photos with their digests and split.
        options: how.
        views: of each photo, whose answers are averaged, in training one alone.
        work_dir: checkpoints, decoded photos and the result go below it; the same training goes on there.
        on_epoch: told of every epoch.

    Raises:
        TrainingError: there is nothing to resume; what `train_network` raises.
    """
    if options.mixed_precision and not has_gpu():
        log.info("`mixed_precision` changes nothing here: there is no GPU.")
    key = _key(untrained, dataset, options, views)
    folder = work_dir / "training" / key
    if (options.resume or options.checkpoint) and not folder.is_dir():
        given = "resume" if options.resume else "checkpoint"
        raise TrainingError("There is no checkpoint: no training of these photos with these options was begun.",
                            f"Give the options it was started with, or omit `{given}`.")
    answering = average_views(untrained.network, views)

    def network(photos: Any, training: bool) -> Any:
        return untrained.network(photos, True) if training else answering(photos)

    def decoded(part: int) -> tuple[np.ndarray, np.ndarray]:
        examples = dataset.part(part)
        return store_pixels(examples.photos, answering.height, answering.width, folder, core_count()), examples.y
    try:
        fit = train_network(network, untrained.start, len(dataset.labels), decoded(TRAINING), decoded(VALIDATION),
                            options, folder, untrained.kind, on_epoch)
    except TfpoetsError:
        _forget_pixels(folder)
        raise
    _forget_pixels(folder)
    weights = hashlib.blake2b(np.ascontiguousarray(fit.head.weights).tobytes(), digest_size=16).hexdigest()
    extractor = prepare_extractor(answering, untrained.name, untrained.handle, f"{untrained.kind}/{key}/{weights}",
                                  folder / f"extractor-{weights[:12]}")
    return extractor, fit


def _forget_pixels(folder: Path) -> None:
    for path in folder.glob("pixels-*"):
        with contextlib.suppress(OSError):  # Windows keeps a file while an array shows it
            path.unlink()


def _key(untrained: UntrainedNetwork, dataset: Dataset, options: FineTuningOptions | NetworkOptions, views: int
         ) -> str:
    """Names a training: the same network, photos and options, and no others, go on from its checkpoints."""
    start = untrained.start and hashlib.blake2b(untrained.start.weights.tobytes(), digest_size=16).hexdigest()
    dropout = options.dropout if isinstance(options, NetworkOptions) and options.architecture in CONVNETS else None
    network = untrained.network
    everything = [LOOP_VERSION, untrained.identity, untrained.kind, network.height, network.width, start,
                  dataset.split and dataset.split.digest, options.identity(), dropout, views,
                  [photo.label for photo in dataset.photos]]
    return hashlib.blake2b(json.dumps(everything).encode(), digest_size=8).hexdigest()
