"""Training a whole network: one loop for pretrained ones (fine-tuning) and for those with random weights.

It is an own step with GradientTape, not Keras's fit: it must take networks that are no Keras models (TF Hub's), go on
in the middle of an epoch with the same data order, and end where an undisturbed run ends.
"""
from __future__ import annotations

import contextlib
import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import AugmentationOptions, augment_tensor
from tfpoets.errors import TrainingError, check_choice, check_flag, check_type, check_range, one_line
from tfpoets.evaluation import cross_entropy, fit_temperature, log_softmax
from tfpoets.progress import progress_bar
from tfpoets.tf_runtime import auto_mixed_precision, import_tensorflow, redirect_native_stderr

from .convnets import TrainableNetwork
from .curves import Curves, curves_of
from .lbfgs import LBFGSFit
from .linear_head import LinearHead
from .sgd import MAX_BATCH_SIZE

log = logging.getLogger(__name__)

OPTIMIZERS = ("adamw", "adam", "rmsprop", "sgd")
MONITORS = ("loss", "accuracy")
CHECKPOINTS = ("best", "last")
CHECKPOINT_SECONDS = 30.0
# Grows when steps, figures or variables change their meaning: what an older loop left is not gone on with.
LOOP_VERSION = 2
# Photos of a validation batch; it only bounds memory.
VALIDATION_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """How a network is trained.

    Attributes:
        epochs: times that every photo is seen.
        batch_size: photos a step, at most; an epoch is divided into steps as even as can be.
        optimizer: adamw, adam, rmsprop or sgd (with momentum 0.9).
        learning_rate: its peak, reached after `warm_up` steps; then it falls to 0 along a cosine.
        warm_up: steps; at most a quarter of all.
        weight_decay: of adamw.
        label_smoothing: share of a label that is spread over all classes (Szegedy et al. 2016).
        patience: epochs without a better one after which it ends; 0: never before the last.
        monitor: loss or accuracy, of the validation photos: what an epoch is better in.
        mixed_precision: on a GPU, compute in 16 bits what tolerates it, and scale the loss (Micikevicius et al. 2018);
            weights stay float32.
        augmentation: of the training photos, anew at every step.
        seed: of data order, augmentation and first weights; a retraining takes that of its split.
        resume: refuse to begin a training that no earlier run has begun.
        checkpoint: best or last, to train no further; empty: train.
    """

    epochs: int
    batch_size: int = 32
    optimizer: str = "adamw"
    learning_rate: float = 1e-4
    warm_up: int = 30
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    patience: int = 0
    monitor: str = "loss"
    mixed_precision: bool = False
    augmentation: AugmentationOptions = AugmentationOptions()
    seed: int = 0
    resume: bool = False
    checkpoint: str = ""

    def __post_init__(self) -> None:
        check_flag("mixed_precision", self.mixed_precision)
        check_flag("resume", self.resume)
        check_type("augmentation", self.augmentation, AugmentationOptions)
        check_range("epochs", self.epochs, minimum=1, integer=True)
        check_range("batch_size", self.batch_size, minimum=1, maximum=MAX_BATCH_SIZE, integer=True)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_range("learning_rate", self.learning_rate, above=0)
        check_range("warm_up", self.warm_up, minimum=0, integer=True)
        check_range("weight_decay", self.weight_decay, minimum=0)
        check_range("label_smoothing", self.label_smoothing, minimum=0, below=1)
        check_range("seed", self.seed, integer=True)
        check_range("patience", self.patience, minimum=0, integer=True)
        check_choice("monitor", self.monitor, MONITORS)
        if self.checkpoint:
            check_choice("checkpoint", self.checkpoint, CHECKPOINTS)

    def identity(self) -> dict[str, Any]:
        """Return what decides how the training goes, under names that keys of checkpoints are made of."""
        names = ("epochs", "batch_size", "optimizer", "learning_rate", "warm_up", "weight_decay", "label_smoothing",
                 "patience", "monitor", "mixed_precision")
        return {**{name: getattr(self, name) for name in names}, "distortions": self.augmentation.to_dict(),
                "seed": self.seed}


@dataclass(frozen=True)
class Epoch:
    """Figures behind an epoch: losses (cross-entropy with the labels as they are) in nats, accuracies 0 to 1.

    Those of the training photos are means over the epoch's steps, of varied photos, with dropout and the like. The
    validation loss is that at the best temperature, which the classifier will have: training on smoothed labels makes
    a network less certain, and that alone would make its first epoch look the best.
    """

    number: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float


@dataclass(frozen=True, eq=False)
class NetworkFit:
    """A trained network's last layer, and how the training went; the network itself is changed in place.

    Attributes:
        head: of the best epoch, with a temperature by the validation photos, or the one in `solved`.
        epochs: in order, as far as it went.
        best: index of the epoch whose weights these are; None: the checkpoint of a training that was stopped.
        steps: done in all.
        options: it was trained with.
        kind: of the network, for the metadata: "fine_tuned" or "from_scratch".
        solved: the last layer, where it was solved once more on what the trained network sees; or None.
    """

    head: LinearHead
    epochs: tuple[Epoch, ...]
    best: int | None
    steps: int
    options: LoopOptions
    kind: str
    solved: LBFGSFit | None = None

    def description(self) -> dict[str, Any]:
        """For the metadata."""
        state = {} if self.best is None else {"best_epoch": self.best + 1}
        last_layer = {"l2": self.solved.l2, "refitted": self.solved.refitted} if self.solved else {}
        return {"solver": self.kind, "optimizer": self.options.optimizer, "epochs": len(self.epochs),
                "steps": self.steps, **state, "learning_rate": self.options.learning_rate,
                "temperature": self.head.temperature, **last_layer}

    def curves(self) -> Curves:
        """Return the figures of the epochs; an epoch is a step."""
        return curves_of((epoch.number, epoch) for epoch in self.epochs)


def train_network(network: TrainableNetwork, start: LinearHead | None, classes: int,
                  train: tuple[np.ndarray, np.ndarray], validation: tuple[np.ndarray, np.ndarray],
                  options: LoopOptions, folder: Path, kind: str,
                  on_epoch: Callable[[Epoch], None]) -> NetworkFit:
    """Trains a network and its last layer; goes on where a run with the same folder was stopped.

    Args:
        network: changed in place; ends with the weights of the best epoch.
        start: the last layer to begin with, or None for random weights.
        classes: how many there are.
        train, validation: pixels uint8 [n, height, width, 3] (may be memory-mapped), and int [n], their classes.
        options: how.
        folder: for checkpoints, of this training alone.
        kind: as in NetworkFit.
        on_epoch: told of every epoch.

    Raises:
        TrainingError: the network has no weights to train, or there is no such checkpoint.
    """
    # Grappler rewrites every function for a GPU, of Keras or not; without a GPU nothing.
    with auto_mixed_precision if options.mixed_precision else contextlib.nullcontext():
        return _trained(network, start, classes, train, validation, options, folder, kind, on_epoch)


def _trained(network: TrainableNetwork, start: LinearHead | None, classes: int, train: tuple[np.ndarray, np.ndarray],
             validation: tuple[np.ndarray, np.ndarray], options: LoopOptions, folder: Path, kind: str,
             on_epoch: Callable[[Epoch], None]) -> NetworkFit:
    checkpoint = options.checkpoint
    run = _Run(network, start, classes, train[0].shape[1:3], options, len(train[1]), folder)
    epochs = run.resumed()
    for epoch in epochs:
        on_epoch(epoch)
    if checkpoint and not epochs:
        raise TrainingError("There is no checkpoint of such a training that has ended an epoch.",
                            "Give the options it was started with, and the same photos, or omit `checkpoint`.")
    _log_where_it_stands(run.steps, checkpoint, _has_ended(epochs, options))
    while not (checkpoint or _has_ended(epochs, options)):
        loss, accuracy = run.train_epoch(len(epochs), *train)
        log_probabilities = run.log_probabilities(validation[0])
        if not (np.isfinite(log_probabilities).all() and np.isfinite(loss)):
            raise TrainingError(f"In epoch {len(epochs) + 1} the loss is no longer finite: `learning_rate`="
                                f"{options.learning_rate:g} is too large.", "Try a tenth of it.")
        temperature = fit_temperature(log_probabilities, validation[1], min_photos=1)
        epochs.append(Epoch(len(epochs), loss, accuracy, loss_at(temperature, log_probabilities, validation[1]),
                            float((log_probabilities.argmax(1) == validation[1]).mean())))
        on_epoch(epochs[-1])
        run.end_epoch(epochs, best=_best(epochs, options.monitor) == len(epochs) - 1)
    best = None if checkpoint == "last" else _best(epochs, options.monitor)
    if checkpoint != "last":
        run.restore_best()
    temperature = fit_temperature(run.log_probabilities(validation[0]), validation[1])
    return NetworkFit(run.head(temperature), tuple(epochs), best, run.steps, options, kind)


def _log_where_it_stands(steps: int, checkpoint: str, ended: bool) -> None:
    if checkpoint:
        log.info("The %s checkpoint is taken; the training had come to step %d.", checkpoint, steps)
    elif ended:
        log.info("This training has ended before; its network is taken.")
    elif steps:
        log.info("The training goes on at step %d, where it was stopped.", steps)


def loss_at(temperature: float, log_probabilities: np.ndarray, classes: np.ndarray) -> float:
    """Mean cross-entropy in nats of answers (float [n, classes]) at another temperature than 1."""
    return float(cross_entropy(log_softmax(log_probabilities.astype(np.float64) / temperature), classes).mean())


def _best(epochs: list[Epoch], monitor: str) -> int:
    if monitor == "accuracy":
        return int(np.argmax([epoch.validation_accuracy for epoch in epochs]))
    return int(np.nanargmin([epoch.validation_loss for epoch in epochs]))


def _has_ended(epochs: list[Epoch], options: LoopOptions) -> bool:
    if not epochs:
        return False
    idle = len(epochs) - 1 - _best(epochs, options.monitor)
    return len(epochs) == options.epochs or 0 < options.patience <= idle


class _Run:
    """Variables, optimizer and checkpoints of one training."""

    def __init__(self, network: TrainableNetwork, start: LinearHead | None, classes: int, size: tuple[int, int],
                 options: LoopOptions, photos: int, folder: Path):
        self._tf = tensorflow = import_tensorflow()
        self._network, self._options = network, options
        self._steps_an_epoch = math.ceil(photos / options.batch_size)
        with redirect_native_stderr():
            # Without autograph, which would hide an error of ours behind one of its own.
            traced = tensorflow.function(lambda pixels: network(pixels, True), autograph=False).get_concrete_function(
                tensorflow.TensorSpec([None, *size, 3], tensorflow.float32))
        if not traced.graph.trainable_variables:
            raise TrainingError("This module holds constants only: none of its layers can be trained.",
                                "Choose another module, or omit `fine_tuning`.")
        depth = int(traced.outputs[0].shape[-1])
        self._kernel, self._bias = self._first_head(start, depth, classes)
        self._trained = [*_in_order(traced.graph.trainable_variables), self._kernel, self._bias]
        self._all = [*_in_order(traced.graph.variables), self._kernel, self._bias]
        self._optimizer = _optimizer(options, self._steps_an_epoch * options.epochs)
        self._optimizer.build(self._trained)
        # Where the run stands: steps done, sums over the epoch that is under way, and the epochs' figures as JSON.
        self._step = tensorflow.Variable(0, dtype=tensorflow.int64)
        self._sums = tensorflow.Variable([0.0, 0.0])
        self._history = tensorflow.Variable("[]")
        self._update = tensorflow.function(self._train_step)
        self._answer = tensorflow.function(self._validation_step)
        state = {f"variable{number}": variable for number, variable in enumerate(self._all)}
        own = [variable.value for variable in self._optimizer.variables]
        everything = {**state, **{f"optimizer{number}": variable for number, variable in enumerate(own)},
                      "step": self._step, "sums": self._sums, "history": self._history}
        self._last = self._manager(folder / "last", everything)
        self._best = self._manager(folder / "best", state)
        self._saved_at = time.monotonic()

    def _manager(self, folder: Path, variables: dict[str, Any]) -> Any:
        try:
            return self._tf.train.CheckpointManager(self._tf.train.Checkpoint(**variables), str(folder), max_to_keep=1)
        except ValueError as error:
            raise _unreadable(folder, one_line(error)) from error

    def _first_head(self, start: LinearHead | None, depth: int, classes: int) -> tuple[Any, Any]:
        if start is not None:
            return (self._tf.Variable(start.weights / start.temperature),
                    self._tf.Variable(start.bias / start.temperature))
        random = np.random.default_rng(self._options.seed % 2 ** 63)
        limit = (6 / (depth + classes)) ** 0.5  # Glorot & Bengio 2010
        return (self._tf.Variable(random.uniform(-limit, limit, (depth, classes)).astype(np.float32)),
                self._tf.Variable(np.zeros(classes, np.float32)))

    @property
    def steps(self) -> int:
        """Done so far."""
        return int(self._step.numpy())

    def resumed(self) -> list[Epoch]:
        """Loads the last checkpoint, if there is one; the epochs that are behind it."""
        if self._last.latest_checkpoint:
            self._restore(self._last)
        return [Epoch(**each) for each in json.loads(self._history.numpy())]

    def train_epoch(self, epoch: int, pixels: np.ndarray, classes: np.ndarray) -> tuple[float, float]:
        """Goes through the photos once, from where the last checkpoint was; mean loss and accuracy."""
        order = np.random.default_rng([self._options.seed % 2 ** 63, epoch]).permutation(len(classes))
        done = self.steps - epoch * self._steps_an_epoch
        batches = [np.sort(batch) for batch in np.array_split(order, self._steps_an_epoch)[done:]]
        data = self._batches(batches, pixels, classes)
        with progress_bar(self._steps_an_epoch, f"Epoch {epoch + 1}", "step", done=done) as bar:
            for photos, truth in data:
                self._update(photos, truth)
                bar.update()
                if time.monotonic() - self._saved_at > CHECKPOINT_SECONDS:
                    self._save()
        loss, accuracy = self._sums.numpy() / len(classes)
        return float(loss), float(accuracy)

    def _batches(self, batches: list[np.ndarray], pixels: np.ndarray, classes: np.ndarray) -> Any:
        tensorflow = self._tf

        def read(number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return pixels[batches[int(number)]], classes[batches[int(number)]].astype(np.int64)

        def load(number: Any) -> tuple[Any, Any]:
            photos, truth = tensorflow.numpy_function(read, [number], [tensorflow.uint8, tensorflow.int64])
            photos.set_shape([None, *pixels.shape[1:]])
            truth.set_shape([None])
            return photos, truth
        return tensorflow.data.Dataset.range(len(batches)).map(load).prefetch(2)

    def end_epoch(self, epochs: list[Epoch], best: bool) -> None:
        """Makes an epoch survive the process."""
        if best:
            self._write(self._best)
        self._sums.assign([0.0, 0.0])
        self._history.assign(json.dumps([asdict(each) for each in epochs]))
        self._save()

    def _save(self) -> None:
        self._write(self._last)
        self._saved_at = time.monotonic()

    def _write(self, manager: Any) -> None:
        try:
            manager.save()
        except (OSError, self._tf.errors.OpError) as error:
            raise TrainingError(f"No checkpoint can be written into {manager.directory}: is the disk full?",
                                "Make room, or give another `bottleneck_dir`.") from error

    def restore_best(self) -> None:
        """Puts back the weights of the best epoch."""
        self._restore(self._best)

    def _restore(self, manager: Any) -> None:
        try:
            if manager.restore_or_initialize():
                return
            reason = "it is missing."
        except Exception as error:  # whatever damaged files make TensorFlow raise
            reason = one_line(error)
        raise _unreadable(Path(manager.directory), reason)

    def head(self, temperature: float) -> LinearHead:
        """The last layer as it is."""
        return LinearHead(self._kernel.numpy(), self._bias.numpy(), temperature)

    def log_probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Uint8 [n, height, width, 3] to float32 [n, classes]."""
        found = [self._answer(pixels[start:start + VALIDATION_BATCH]).numpy()
                 for start in range(0, len(pixels), VALIDATION_BATCH)]
        return np.concatenate(found)

    def _validation_step(self, pixels: Any) -> Any:
        photos = self._tf.cast(pixels, self._tf.float32) / 255
        logits = self._tf.matmul(self._network(photos, False), self._kernel) + self._bias
        return self._tf.nn.log_softmax(logits)

    def _train_step(self, pixels: Any, classes: Any) -> None:
        tensorflow = self._tf
        photos = augment_tensor(tensorflow.cast(pixels, tensorflow.float32) / 255, self._options.augmentation,
                                self._options.seed, self._step)
        width = self._kernel.shape[1]
        smoothing = self._options.label_smoothing
        wanted = tensorflow.one_hot(classes, width) * (1 - smoothing) + smoothing / width
        with tensorflow.GradientTape() as tape:
            logits = tensorflow.matmul(self._network(photos, True), self._kernel) + self._bias
            losses = tensorflow.nn.softmax_cross_entropy_with_logits(wanted, logits)
            loss = tensorflow.reduce_mean(losses)
            loss = self._optimizer.scale_loss(loss)  # as it is, but in mixed precision
        gradients = tape.gradient(loss, self._trained)
        self._optimizer.apply_gradients([(gradient, variable) for gradient, variable in zip(gradients, self._trained)
                                         if gradient is not None])
        right = tensorflow.argmax(logits, axis=1) == classes
        plain = tensorflow.nn.sparse_softmax_cross_entropy_with_logits(classes, logits)
        self._sums.assign_add([tensorflow.reduce_sum(plain),
                               tensorflow.reduce_sum(tensorflow.cast(right, tensorflow.float32))])
        self._step.assign_add(1)


def _unreadable(folder: Path, reason: str) -> TrainingError:
    return TrainingError(f"The checkpoint in {folder} cannot be read: {reason}",
                         f"Delete {folder.parent} to train from the beginning.")


def _in_order(variables: Any) -> list[Any]:
    """As they were made, which every process does alike; a graph lists them as it likes."""
    return sorted(variables, key=lambda variable: int(variable._unique_id.rsplit("_", 1)[1]))


def _optimizer(options: LoopOptions, steps: int) -> Any:
    import keras
    warm_up = min(options.warm_up, steps // 4)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0 if warm_up else options.learning_rate, max(1, steps - warm_up),
        warmup_target=options.learning_rate if warm_up else None, warmup_steps=warm_up)
    kinds = {"adamw": lambda: keras.optimizers.AdamW(rate, weight_decay=options.weight_decay),
             "adam": lambda: keras.optimizers.Adam(rate), "rmsprop": lambda: keras.optimizers.RMSprop(rate),
             "sgd": lambda: keras.optimizers.SGD(rate, momentum=0.9)}
    optimizer = kinds[options.optimizer]()
    if not options.mixed_precision:
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer)
