"""Train all layers of a pretrained or new network, and prepare the result as an extractor."""
from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import DEFAULT_AUGMENTATION, TRAINING, VALIDATION, AugmentationOptions, Dataset, store_pixels
from tfpoets.errors import OptionError, TfpoetsError, TrainingError, check_choice, check_range, one_line
from tfpoets.extractors import Extractor, Network, average_views, prepare_extractor
from tfpoets.locks import lock_destination
from tfpoets.parallel import core_count

from .checkpoints import COSINE_LOOP_VERSION, LOOP_VERSION, RunFolder
from .initial_network import InitialNetwork
from .linear_head import LinearHead
from .loop_options import LoopOptions
from .network_fit import EpochMetrics, NetworkFit
from .training_loop import train_network
from .training_run import PixelData, TrainableModel

log = logging.getLogger(__name__)

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
        architecture: A network of `tfpoets.networks`, such as "lenet"; or FILE.py:NAME, for a function of height,
            width and number of classes that returns a Keras model, or a subclass of ImageClassifier (the file is
            run); or FILE.keras, a Keras model to train further.
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
        check_choice("weights", self.weights, WEIGHTS)
        check_choice("color_mode", self.color_mode, COLOR_MODES)
        check_range("dropout", self.dropout, minimum=0, below=1)
        if self.learning_rate is None:
            raise OptionError("`learning_rate`=None is only available for `fine_tuning`.", "Use a number.")


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


def train_all_layers(initial: InitialNetwork, dataset: Dataset, options: LoopOptions, views: int, work_dir: Path,
                     on_epoch: Callable[[EpochMetrics], None]) -> tuple[Extractor, NetworkFit]:
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
    with _trained(initial, dataset, options, views, work_dir, on_epoch) as (fit, folder):
        own_weights = initial.own_model.get_weights() if initial.own_model is not None else ()
        weights = _digest(fit.head.weights, *own_weights)
        extractor = prepare_extractor(average_views(initial.network, views), initial.name, initial.handle,
                                      f"{initial.kind}/{folder.name}/{weights}", folder / f"extractor-{weights[:12]}")
    return extractor, fit


def fit_network(initial: InitialNetwork, dataset: Dataset, options: LoopOptions, work_dir: Path,
                on_epoch: Callable[[EpochMetrics], bool | None]) -> NetworkFit:
    """Train a network on the training photos; arguments and errors are those of `train_all_layers`.

    If `on_epoch` returns True, the training ends after that epoch.
    """
    with _trained(initial, dataset, options, 1, work_dir, on_epoch) as (fit, _):
        return fit


@contextlib.contextmanager
def _trained(initial: InitialNetwork, dataset: Dataset, options: LoopOptions, views: int, work_dir: Path,
             on_epoch: Callable[[EpochMetrics], bool | None]) -> Iterator[tuple[NetworkFit, Path]]:
    """Train a network, and yield the result and the folder of the run, which no other process uses meanwhile."""
    with ExitStack() as locks:
        folder = work_dir / "training" / _lock_run(initial, dataset, options, views, work_dir, locks)
        try:
            fit = _train(initial, average_views(initial.network, views), dataset, options, folder, on_epoch)
        except TfpoetsError:
            _delete_pixels(folder)
            raise
        _delete_pixels(folder)
        yield fit, folder


def _lock_run(initial: InitialNetwork, dataset: Dataset, options: LoopOptions, views: int, work_dir: Path,
              locks: ExitStack) -> str:
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


def _train(initial: InitialNetwork, network: Network, dataset: Dataset, options: LoopOptions, folder: Path,
           on_epoch: Callable[[EpochMetrics], bool | None]) -> NetworkFit:
    """Train a network; `network` is the one for inference, which averages the views."""
    def forward(pixels: Any, training: bool) -> Any:
        return initial.network(pixels, True) if training else network(pixels)

    def decode(part: int) -> PixelData:
        examples = dataset.part(part)
        pixels = store_pixels(examples.photos, network.height, network.width, folder, core_count())
        return PixelData(pixels, examples.y)
    model = TrainableModel(forward, len(dataset.labels), initial.head, initial.kind, initial.has_batch_effects,
                           initial.train_step, initial.own_model)
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


def _find_key(initial: InitialNetwork, dataset: Dataset, options: LoopOptions, views: int, work_dir: Path) -> str:
    """Return a hash of everything that determines a training run, except the number of epochs.

    Only runs with the same key share checkpoints. If an earlier version has started the run, its key is returned.
    """
    head = initial.head and _digest(initial.head.weights)
    def hash_content(version: int, identity: dict[str, Any]) -> str:
        content = [version, initial.identity, initial.kind, initial.network.height, initial.network.width, head,
                   dataset.split and dataset.split.digest, identity, initial.dropout, views,
                   [photo.label for photo in dataset.photos]]
        return hashlib.blake2b(json.dumps(content).encode(), digest_size=8).hexdigest()
    earlier = hash_content(COSINE_LOOP_VERSION, options.earlier_identity())
    if (work_dir / "training" / earlier / "last").is_dir():
        return earlier
    return hash_content(LOOP_VERSION, {name: value for name, value in options.identity().items() if name != "epochs"})
