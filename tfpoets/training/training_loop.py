"""The training loop for whole networks, for both fine-tuning and training from scratch.

It uses GradientTape instead of Keras's `fit`, because it must train networks that are not Keras models (from TF Hub),
resume in the middle of an epoch with the same data order, and end with the same result as an uninterrupted run.
"""
from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tfpoets.errors import TrainingError
from tfpoets.evaluation import cross_entropy, fit_temperature, log_softmax

from .loop_options import LoopOptions
from .network_fit import EpochMetrics, NetworkFit
from .training_run import PixelData, TrainableModel, TrainingRun

log = logging.getLogger(__name__)


def train_network(model: TrainableModel, train: PixelData, validation: PixelData, options: LoopOptions, folder: Path,
                  on_epoch: Callable[[EpochMetrics], bool | None]) -> NetworkFit:
    """Train a network and its head, resuming an interrupted run, or continuing a shorter one, in the same folder.

    Args:
        model: The network and head. Afterwards, the network has the weights of the best epoch, or of the requested
            checkpoint.
        train: The training photos.
        validation: The validation photos, on which the best epoch is chosen.
        options: The options for training.
        folder: The folder for the checkpoints of this training run, and of those that differ only in the number of
            epochs.
        on_epoch: Called with the metrics of each epoch, including those of an interrupted run. If it returns True, the
            training ends after this epoch.

    Raises:
        TrainingError: The network has no weights to train, the loss is not finite, or the requested checkpoint is
            missing or damaged.
    """
    return _train_network(TrainingRun(model, train, options, folder), validation, on_epoch)


def _train_network(run: TrainingRun, validation: PixelData, on_epoch: Callable[[EpochMetrics], bool | None]
                   ) -> NetworkFit:
    """Train until the run is finished; see `train_network`."""
    options, checkpoint = run.options, run.options.checkpoint
    epochs, is_stopped = run.resume(), False
    for epoch in epochs:
        is_stopped = on_epoch(epoch) is True or is_stopped
    if checkpoint and not epochs:
        raise TrainingError("There is no checkpoint: no training run with these photos and options has finished an "
                            "epoch.", "Use the same photos and options as in the first run, or omit `checkpoint`.")
    _log_start(run.n_steps, checkpoint, is_stopped or _is_finished(epochs, options))
    while not (checkpoint or is_stopped or _is_finished(epochs, options)):
        number, start = len(epochs), time.perf_counter()
        train_loss, train_accuracy = run.train_epoch(number)
        log_probabilities = run.log_probabilities(validation.pixels)
        if not (np.isfinite(log_probabilities).all() and np.isfinite(train_loss)):
            raise TrainingError(f"In epoch {number + 1} the loss is no longer finite: `learning_rate`="
                                f"{options.learning_rate:g} is too large.", "Try a tenth of it.")
        validation_accuracy = float((log_probabilities.argmax(1) == validation.y).mean())
        epochs.append(EpochMetrics(number, train_loss, train_accuracy,
                                   _calibrated_loss(log_probabilities, validation.y), validation_accuracy,
                                   time.perf_counter() - start))
        is_stopped = on_epoch(epochs[-1]) is True
        run.end_epoch(epochs, _find_best(epochs, options.monitor) == number, _is_finished(epochs, options))
    best_epoch = None
    if checkpoint != "last":
        best_epoch = _find_best(epochs, options.monitor)
        run.checkpoints.restore_best()
    temperature = fit_temperature(run.log_probabilities(validation.pixels), validation.y)
    return NetworkFit(run.head(temperature), tuple(epochs), best_epoch, run.n_steps, options, run.model.kind)


def _log_start(n_steps: int, checkpoint: str, is_finished: bool) -> None:
    if checkpoint:
        log.info("Using the %s checkpoint. Training had reached step %d.", checkpoint, n_steps)
    elif is_finished:
        log.info("Training is already finished; using the trained network.")
    elif n_steps:
        log.info("Training continues at step %d.", n_steps)


def _calibrated_loss(log_probabilities: np.ndarray, y: np.ndarray) -> float:
    """Return the mean cross-entropy in nats at the best temperature, which is fitted however few photos there are."""
    temperature = fit_temperature(log_probabilities, y, 1)
    return float(cross_entropy(log_softmax(log_probabilities.astype(np.float64) / temperature), y).mean())


def _find_best(epochs: list[EpochMetrics], monitor: str) -> int:
    if monitor == "accuracy":
        return int(np.argmax([epoch.validation_accuracy for epoch in epochs]))
    return int(np.nanargmin([epoch.validation_loss for epoch in epochs]))


def _is_finished(epochs: list[EpochMetrics], options: LoopOptions) -> bool:
    if not epochs:
        return False
    epochs_since_best = len(epochs) - 1 - _find_best(epochs, options.monitor)
    return len(epochs) == options.epochs or 0 < options.patience <= epochs_since_best
