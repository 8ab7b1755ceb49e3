"""All layers trained: an extractor fine-tuned, or a network from scratch; either becomes an extractor again."""
from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scripts.console import UserError
from scripts.console.settings import NetworkSettings
from scripts.features import Extractor, NetworkFunction, averaged, core_count, has_gpu, prepare_extractor
from scripts.photos import TRAINING, VALIDATION, PhotoTree, Split, store_pixels

from .head import Head
from .loop import LOOP_VERSION, Epoch, LoopSettings, NetworkFit, train_network
from .networks import PRESETS, TrainableNetwork, build_convnet, seed_weights

log = logging.getLogger(__name__)

RESNET_SIZE = 224


@dataclass(frozen=True, eq=False)
class Untrained:
    """A network before its training.

    Attributes:
        network: with its first weights.
        height, width: of its input, in pixels.
        name, handle: for messages and the metadata.
        identity: tells its first weights from all others.
        kind: fine_tuned or from_scratch.
        start: the last layer to begin with, or None.
    """

    network: TrainableNetwork
    height: int
    width: int
    name: str
    handle: str
    identity: str
    kind: str
    start: Head | None = None


def to_fine_tune(loaded: tuple[NetworkFunction, int, int], extractor: Extractor, head: Head, batch_norm: bool
                 ) -> Untrained:
    """The extractor's network with its variables, and the head that was solved for it.

    Args:
        loaded: from `load_network`.
        extractor, head: of the same network.
        batch_norm: normalise each batch by its own statistics and keep those; else they stay as they were pretrained
            (scale and shift are trained in any case): small batches of new photos mostly blur them.
    """
    network, height, width = loaded

    def trained(pixels: Any, training: bool) -> Any:
        return network(pixels, training=True) if training and batch_norm else network(pixels)
    return Untrained(trained, height, width, f"{extractor.name}, fine-tuned", extractor.handle,
                     f"{extractor.digest}/{batch_norm}", "fine_tuned", head)


def from_scratch(settings: NetworkSettings, image_size: int | None, seed: int,
                 resnet: Callable[[int, bool], Any]) -> Untrained:
    """A network with random weights (or ImageNet's, for resnet50_v2 where that is asked for).

    Args:
        settings: which.
        image_size: side of its input, in pixels; None: the network's own.
        seed: of the weights.
        resnet: gives ResNet50V2 as a Keras model for a side and whether ImageNet's weights are wanted.
    """
    name = settings.architecture
    identity = f"{name}/{seed}/{settings.grayscale}/{settings.pretrained}"
    if name in PRESETS:
        size = image_size or PRESETS[name].image_size
        try:
            network = build_convnet(PRESETS[name], size, size, grayscale=settings.grayscale, dropout=settings.dropout,
                                    seed=seed)
        except ValueError as error:
            raise UserError(f"--architecture={name} does not take photos of {size} x {size} pixels: {error}.",
                            "Give a larger --image_size.") from error
    else:
        seed_weights(seed)
        size = image_size or RESNET_SIZE
        model = resnet(size, settings.pretrained)

        def network(pixels: Any, training: bool) -> Any:
            return model(pixels * 2 - 1, training=training)
    return Untrained(network, size, size, name, name, identity, "from_scratch")


def train_whole_network(untrained: Untrained, tree: PhotoTree, split: Split, settings: NetworkSettings, seed: int,
                        views: int, work_dir: Path, on_epoch: Callable[[Epoch], None]
                        ) -> tuple[Extractor, NetworkFit]:
    """Trains a network on the training photos, and prepares the best of its epochs as an extractor.

    Args:
        untrained: its network is changed in place.
        tree: photos with their digests.
        split: of the same.
        settings: how.
        seed: of the split and of everything random.
        views: of each photo, whose answers are averaged, in training one alone.
        work_dir: checkpoints, decoded photos and the result go below it; the same training goes on there.
        on_epoch: told of every epoch.

    Raises:
        UserError: there is nothing to resume; what `train_network` raises.
    """
    loop = LoopSettings(
        settings.epochs, settings.batch_size, settings.optimizer, settings.learning_rate, patience=settings.patience,
        monitor=settings.monitor, mixed_precision=settings.mixed_precision,
        label_smoothing=0.1 if untrained.kind == "fine_tuned" else 0.0, seed=seed, distortions=settings.distortions)
    if settings.mixed_precision and not has_gpu():
        log.info("--mixed_precision changes nothing here: there is no GPU.")
    key = _key(untrained, tree, split, loop, settings, views)
    folder = work_dir / "training" / key
    if (settings.resume or settings.checkpoint) and not folder.is_dir():
        flag = "resume" if settings.resume else "checkpoint"
        raise UserError("There is no checkpoint: no training of these photos with these flags was begun.",
                        f"Give the flags it was started with, or leave --{flag} away.")
    answering = averaged(lambda photos: untrained.network(photos, False), untrained.height, untrained.width, views)

    def network(photos: Any, training: bool) -> Any:
        return untrained.network(photos, True) if training else answering(photos)

    def decoded(part: int) -> tuple[np.ndarray, np.ndarray]:
        rows = split.rows(part)
        photos = [tree.photos[row] for row in rows]
        return (store_pixels(photos, untrained.height, untrained.width, folder, core_count()), tree.classes()[rows])
    try:
        fit = train_network(network, untrained.start, len(tree.labels), decoded(TRAINING), decoded(VALIDATION), loop,
                            folder, untrained.kind, on_epoch, settings.checkpoint)
    except UserError:
        _forget_pixels(folder)
        raise
    _forget_pixels(folder)
    weights = hashlib.blake2b(np.ascontiguousarray(fit.head.weights).tobytes(), digest_size=16).hexdigest()
    extractor = prepare_extractor(answering, untrained.height, untrained.width, untrained.name, untrained.handle,
                                  f"{untrained.kind}/{key}/{weights}", folder / f"extractor-{weights[:12]}")
    return extractor, fit


def _forget_pixels(folder: Path) -> None:
    for path in folder.glob("pixels-*"):
        with contextlib.suppress(OSError):  # Windows keeps a file while an array shows it
            path.unlink()


def _key(untrained: Untrained, tree: PhotoTree, split: Split, loop: LoopSettings, settings: NetworkSettings,
         views: int) -> str:
    """Names a training: the same network, photos and settings, and no others, go on from its checkpoints."""
    start = untrained.start and hashlib.blake2b(untrained.start.weights.tobytes(), digest_size=16).hexdigest()
    everything = [LOOP_VERSION, untrained.identity, untrained.kind, untrained.height, untrained.width, start,
                  split.digest, asdict(loop), settings.dropout, views, [photo.label for photo in tree.photos]]
    return hashlib.blake2b(json.dumps(everything).encode(), digest_size=8).hexdigest()
