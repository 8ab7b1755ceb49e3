"""Train all layers of a pretrained or new network, and prepare the result as an extractor."""
from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import DEFAULT_AUGMENTATION, TRAINING, VALIDATION, AugmentationOptions, Dataset, store_pixels
from tfpoets.errors import OptionError, TfpoetsError, TrainingError, check_choice, check_range, one_line
from tfpoets.extractors import (Extractor, ExtractorOptions, Network, average_views, build_application, core_count,
                                prepare_extractor)
from tfpoets.locks import lock_destination

from .checkpoints import COSINE_LOOP_VERSION, LOOP_VERSION, RunFolder
from .convnets import PRESETS, build_convnet, log_summary, seed_weights
from .linear_head import LinearHead
from .loop_options import LoopOptions
from .network_fit import EpochMetrics, NetworkFit
from .own_networks import is_own_network, load_own_network, own_network_identity
from .training_loop import train_network
from .training_run import PixelData, TrainableModel

log = logging.getLogger(__name__)

RESNET, RESNET_SIZE = "resnet50_v2", 224
CONVNETS = tuple(PRESETS)
ARCHITECTURES = (*CONVNETS, RESNET)
COLOR_MODES = ("rgb", "grayscale")
WEIGHTS = ("none", "imagenet")
BATCH_NORMS = ("frozen", "training")


@dataclass(frozen=True, kw_only=True)
class FineTuningOptions(LoopOptions):
    """Options for fine-tuning all layers of a pretrained network.

    Attributes:
        batch_norm: "frozen" to keep the statistics of batch normalization, "training" to learn them from the photos.
    """

    epochs: int = 4
    augmentation: AugmentationOptions = DEFAULT_AUGMENTATION
    batch_norm: str = "frozen"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("batch_norm", self.batch_norm, BATCH_NORMS)


@dataclass(frozen=True, kw_only=True)
class NetworkOptions(LoopOptions):
    """Options for training a network from scratch.

    Attributes:
        architecture: One of ARCHITECTURES; or FILE.py:FUNCTION, for a function of height, width and number of classes
            that returns a Keras model (the file is run); or FILE.keras, a Keras model to train further.
        weights: "imagenet" to initialize resnet50_v2 with ImageNet weights, or "none".
        color_mode: "rgb", or "grayscale" to convert photos to grayscale first.
        dropout: The dropout rate, or None for the architecture's default.
    """

    architecture: str
    epochs: int = 20
    learning_rate: float | None = 1e-3
    label_smoothing: float = 0.0
    weights: str = "none"
    color_mode: str = "rgb"
    dropout: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_own_network(self.architecture):
            check_choice("architecture", self.architecture, ARCHITECTURES)
        check_choice("weights", self.weights, WEIGHTS)
        check_choice("color_mode", self.color_mode, COLOR_MODES)
        check_range("dropout", self.dropout, minimum=0, below=1)
        if self.learning_rate is None:
            raise OptionError("`learning_rate`=None is only available for `fine_tuning`.", "Use a number.")
        if self.weights == "imagenet" and self.architecture != RESNET:
            raise OptionError(f"`weights`=imagenet is only available for `architecture`={RESNET}.")
        if self.color_mode == "grayscale" and self.architecture == RESNET:
            raise OptionError(f"`color_mode`=grayscale is not available for `architecture`={RESNET}.",
                              f"Choose from {', '.join(CONVNETS)}.")


@dataclass(frozen=True, eq=False)
class InitialNetwork:
    """A network before training.

    Attributes:
        network: The network with its initial weights.
        name: The name of the trained network, for messages.
        handle: The handle of the network, for the metadata.
        identity: A string that identifies the network and its initial weights; part of the key of its checkpoints.
        kind: "fine_tuned" or "from_scratch".
        head: The initial head, or None for random weights.
        has_batch_effects: See `TrainableModel`.
        own_model: The Keras model of the user that the network consists of, with its last layer; None for others.
    """

    network: Network
    name: str
    handle: str
    identity: str
    kind: str
    head: LinearHead | None = None
    has_batch_effects: bool = True
    own_model: Any = None


def prepare_fine_tuning(network: Network, extractor: Extractor, head: LinearHead, options: FineTuningOptions
                     ) -> InitialNetwork:
    """Return a pretrained network and its head, ready to be fine-tuned.

    With `batch_norm` "training", batch normalization uses the statistics of each batch and updates its moving
    averages. With "frozen", it uses the pretrained statistics, because those of small batches of new photos are
    usually worse. Its scale and offset are trained in either case.

    Args:
        network: The network, from `load_network`.
        extractor: The extractor prepared from this network.
        head: The head that was fitted for the extractor.
        options: The options for fine-tuning.
    """
    batch_norm = options.batch_norm == "training"

    def forward(pixels: Any, training: bool | None) -> Any:
        return network(pixels, training and batch_norm)
    return InitialNetwork(replace(network, function=forward), f"{extractor.name}, fine-tuned", extractor.handle,
                          f"{extractor.digest}/{batch_norm}", "fine_tuned", head, batch_norm)


def build_from_scratch(options: NetworkOptions, image_size: int | None, seed: int,
                       build_resnet: Callable[[int, bool], Any]) -> InitialNetwork:
    """Build a network with random weights, or resnet50_v2 with ImageNet weights if requested.

    Args:
        options: The architecture and its options.
        image_size: The side of the input in pixels, or None for the architecture's default.
        seed: The seed of the weights.
        build_resnet: A function that builds ResNet50V2 as a Keras model, given the side of its input and whether to
            load ImageNet weights.

    Raises:
        TrainingError: The input is too small for the architecture.
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
                                "Use a larger `image_size`.") from error
    else:
        seed_weights(seed)
        size = image_size or RESNET_SIZE
        model = build_resnet(size, pretrained)
        log_summary(model)

        def function(pixels: Any, training: bool | None) -> Any:
            return model(pixels * 2 - 1, training=training)
    return InitialNetwork(Network(function, size, size, is_keras=True), name, name, identity, "from_scratch")


def build_untrained(options: NetworkOptions, source: ExtractorOptions, n_classes: int) -> InitialNetwork:
    """Build a network to train from scratch, or load the one of the user.

    Args:
        options: The architecture and its options.
        source: The options of the input, and where weights are downloaded from.
        n_classes: The number of classes.

    Raises:
        TrainingError: The network cannot be built, or does not fit the photos.
    """
    if is_own_network(options.architecture):
        return build_own_network(options, source, n_classes)
    return build_from_scratch(options, source.image_size, options.seed, lambda size, pretrained: build_application(
        "ResNet50V2", size, pretrained, source.model_dir, source.offline))


def build_own_network(options: NetworkOptions, source: ExtractorOptions, n_classes: int) -> InitialNetwork:
    """Build a network that the user has written, including its last layer.

    Args:
        options: The architecture and its options.
        source: `image_size` and `input_range` describe the input of the network.
        n_classes: The number of classes.

    Raises:
        TrainingError: The network cannot be built, or does not fit the photos.
    """
    name, channels = options.architecture, 1 if options.color_mode == "grayscale" else None
    adapted = load_own_network(name, source, n_classes, options.seed, channels)
    log.info("%s", adapted.describe_input())
    # The logits of the model are the bottlenecks, so the head only passes them on.
    head = LinearHead(np.eye(n_classes, dtype=np.float32), np.zeros(n_classes, np.float32))
    return InitialNetwork(Network(adapted.logits, adapted.height, adapted.width, is_keras=True), name, name,
                          own_network_identity(name, adapted, options.seed), "from_scratch", head,
                          own_model=adapted.model)


def train_all_layers(initial: InitialNetwork, dataset: Dataset, options: FineTuningOptions | NetworkOptions,
                     views: int, work_dir: Path, on_epoch: Callable[[EpochMetrics], None]
                     ) -> tuple[Extractor, NetworkFit]:
    """Train a network on the training photos and prepare its best epoch as an extractor.

    Args:
        initial: The network to train; changed in place.
        dataset: The photos, with digests and split.
        options: The options for training.
        views: The number of views of each photo that are averaged at inference; training uses one.
        work_dir: The folder for checkpoints, decoded photos and the extractor. An interrupted training run is resumed
            from its checkpoints there.
        on_epoch: Called with the metrics of each epoch.

    Raises:
        TrainingError: There is no checkpoint to resume from, or training fails.
    """
    with ExitStack() as locks:
        key = _lock_run(initial, dataset, options, views, work_dir, locks)
        folder = work_dir / "training" / key
        network = average_views(initial.network, views)
        try:
            fit = _train(initial, network, dataset, options, folder, on_epoch)
        except TfpoetsError:
            _delete_pixels(folder)
            raise
        _delete_pixels(folder)
        own_weights = initial.own_model.get_weights() if initial.own_model is not None else ()
        weights = _digest(fit.head.weights, *own_weights)
        extractor = prepare_extractor(network, initial.name, initial.handle, f"{initial.kind}/{key}/{weights}",
                                      folder / f"extractor-{weights[:12]}")
    return extractor, fit


def _lock_run(initial: InitialNetwork, dataset: Dataset, options: FineTuningOptions | NetworkOptions, views: int,
              work_dir: Path, locks: ExitStack) -> str:
    """Wait until no other run uses the folder of a training run, and return the name of the folder.

    Raises:
        TrainingError: There is no checkpoint to resume from, or nothing can be written to the folder.
    """
    while True:
        key = _find_key(initial, dataset, options, views, work_dir)
        folder = work_dir / "training" / key
        run_folder = RunFolder(folder, options.epochs, options.schedule)
        if (options.resume or options.checkpoint) and not run_folder.can_continue():
            option = "resume" if options.resume else "checkpoint"
            raise TrainingError("There is no checkpoint: no training run with these photos and options was started.",
                                f"Use the same photos and options as in the first run, or omit `{option}`.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            locks.enter_context(lock_destination(folder / "checkpoints"))
        except OSError as error:
            raise TrainingError(f"Checkpoints cannot be written to {folder}: {one_line(error)}",
                                "Choose another `bottleneck_dir`.") from error
        run_folder.remove_parts()
        # The next one is not that of an earlier version.
        if not (run_folder.is_earlier_version and run_folder.set_damaged_aside()):
            return key


def _train(initial: InitialNetwork, network: Network, dataset: Dataset, options: FineTuningOptions | NetworkOptions,
           folder: Path, on_epoch: Callable[[EpochMetrics], None]) -> NetworkFit:
    """Train a network; `network` is the one for inference, which averages the views."""
    def forward(pixels: Any, training: bool) -> Any:
        return initial.network(pixels, True) if training else network(pixels)

    def decode(part: int) -> PixelData:
        examples = dataset.part(part)
        pixels = store_pixels(examples.photos, network.height, network.width, folder, core_count())
        return PixelData(pixels, examples.y)
    model = TrainableModel(forward, len(dataset.labels), initial.head, initial.kind, initial.has_batch_effects,
                           initial.own_model)
    return train_network(model, decode(TRAINING), decode(VALIDATION), options, folder, on_epoch)


def _delete_pixels(folder: Path) -> None:
    """Delete the decoded photos, and those that killed runs have left incomplete."""
    for path in (*folder.glob("pixels-*"), *folder.glob(".pixels-*.part")):
        with contextlib.suppress(OSError):  # Windows cannot delete memory-mapped files
            path.unlink()


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(array.tobytes())
    return digest.hexdigest()


def _find_key(initial: InitialNetwork, dataset: Dataset, options: FineTuningOptions | NetworkOptions, views: int,
              work_dir: Path) -> str:
    """Return a hash of everything that determines a training run, except the number of epochs.

    Only runs with the same key share checkpoints. If an earlier version has started the run, its key is returned.
    """
    head = initial.head and _digest(initial.head.weights)
    dropout = options.dropout if isinstance(options, NetworkOptions) and options.architecture in CONVNETS else None

    def hash_content(version: int, identity: dict[str, Any]) -> str:
        content = [version, initial.identity, initial.kind, initial.network.height, initial.network.width, head,
                   dataset.split and dataset.split.digest, identity, dropout, views,
                   [photo.label for photo in dataset.photos]]
        return hashlib.blake2b(json.dumps(content).encode(), digest_size=8).hexdigest()
    earlier = hash_content(COSINE_LOOP_VERSION, options.earlier_identity())
    if (work_dir / "training" / earlier / "last").is_dir():
        return earlier
    return hash_content(LOOP_VERSION, {name: value for name, value in options.identity().items() if name != "epochs"})
