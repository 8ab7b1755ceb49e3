"""The steps and epochs of one training run of a whole network."""
from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import augment_tensor
from tfpoets.errors import TrainingError
from tfpoets.progress import progress_bar
from tfpoets.tf_runtime import import_tensorflow, redirect_native_stderr

from .checkpoints import Checkpoints
from .convnets import TrainableNetwork
from .linear_head import LinearHead
from .loop_options import LoopOptions
from .network_fit import EpochMetrics

# The number of photos per batch at inference, which limits the memory used.
INFERENCE_BATCH_SIZE = 64


@dataclass(frozen=True, eq=False)
class TrainableModel:
    """A network and its head, before training.

    Attributes:
        network: The network; training changes its variables in place.
        n_classes: The number of classes.
        initial_head: The initial head, or None for random weights.
        kind: "fine_tuned" or "from_scratch", for the metadata.
    """

    network: TrainableNetwork
    n_classes: int
    initial_head: LinearHead | None
    kind: str


@dataclass(frozen=True, eq=False)
class PixelData:
    """Decoded photos and their targets.

    Attributes:
        pixels: uint8 [n, height, width, 3]; may be memory-mapped.
        y: int64 [n], the true classes, 0 to n_classes - 1.
    """

    pixels: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.y)


class TrainingRun:
    """The variables, optimizer and checkpoints of one training run.

    Args:
        model: The network, which is changed in place, and its head.
        train: The training photos.
        options: The options for training.
        folder: The folder for the checkpoints.

    Raises:
        TrainingError: The network has no weights to train, or the existing checkpoints are damaged.
    """

    def __init__(self, model: TrainableModel, train: PixelData, options: LoopOptions, folder: Path):
        self._tf = tensorflow = import_tensorflow()
        self.model, self.options, self._train = model, options, train
        self._steps_per_epoch = math.ceil(len(train) / options.batch_size)
        graph, depth = self._trace(train.pixels.shape[1:3])
        self._kernel, self._bias = self._create_head(depth)
        self._trainable = [*_by_creation(graph.trainable_variables), self._kernel, self._bias]
        self._optimizer = _build_optimizer(options, self._steps_per_epoch * options.epochs)
        self._optimizer.build(self._trainable)
        self._step = tensorflow.Variable(0, dtype=tensorflow.int64)
        # The sum of the losses and the number of correct predictions in the current epoch.
        self._sums = tensorflow.Variable([0.0, 0.0])
        # The metrics of the finished epochs as JSON.
        self._history = tensorflow.Variable("[]")
        self._run_train_step = tensorflow.function(self._train_step)
        self._predict = tensorflow.function(self._inference_step)
        optimizer_state = {f"optimizer{number}": variable.value
                           for number, variable in enumerate(self._optimizer.variables)}
        self.checkpoints = Checkpoints(
            folder, [*_by_creation(graph.variables), self._kernel, self._bias],
            {**optimizer_state, "step": self._step, "sums": self._sums, "history": self._history})

    def _trace(self, size: tuple[int, int]) -> tuple[Any, int]:
        """Return the network's graph, which lists its variables, and the depth of its bottlenecks."""
        tensorflow = self._tf
        with redirect_native_stderr():
            # Autograph would wrap our errors in its own.
            traced = tensorflow.function(
                lambda pixels: self.model.network(pixels, True), autograph=False).get_concrete_function(
                    tensorflow.TensorSpec([None, *size, 3], tensorflow.float32))
        if not traced.graph.trainable_variables:
            raise TrainingError("This module contains only constants: none of its layers can be trained.",
                                "Choose another module, or omit `fine_tuning`.")
        return traced.graph, int(traced.outputs[0].shape[-1])

    def _create_head(self, depth: int) -> tuple[Any, Any]:
        head, n_classes = self.model.initial_head, self.model.n_classes
        if head is not None:
            return self._tf.Variable(head.weights / head.temperature), self._tf.Variable(head.bias / head.temperature)
        rng = np.random.default_rng(self.options.seed % 2 ** 63)
        limit = (6 / (depth + n_classes)) ** 0.5  # Glorot & Bengio 2010
        return (self._tf.Variable(rng.uniform(-limit, limit, (depth, n_classes)).astype(np.float32)),
                self._tf.Variable(np.zeros(n_classes, np.float32)))

    @property
    def n_steps(self) -> int:
        """The number of steps so far."""
        return int(self._step.numpy())

    def resume(self) -> list[EpochMetrics]:
        """Restore the last checkpoint, if there is one, and return the metrics of the finished epochs."""
        self.checkpoints.restore_last()
        return [EpochMetrics(**epoch) for epoch in json.loads(self._history.numpy())]

    def train_epoch(self, epoch: int) -> tuple[float, float]:
        """Train until the end of the epoch, and return the mean loss and accuracy of the whole epoch."""
        order = np.random.default_rng([self.options.seed % 2 ** 63, epoch]).permutation(len(self._train))
        done = self.n_steps - epoch * self._steps_per_epoch
        batches = [np.sort(rows) for rows in np.array_split(order, self._steps_per_epoch)[done:]]
        with progress_bar(self._steps_per_epoch, f"Epoch {epoch + 1}", "step", done=done) as bar:
            for pixels, y in self._load_batches(batches):
                self._run_train_step(pixels, y)
                bar.update()
                self.checkpoints.save_last_if_due()
        loss, accuracy = self._sums.numpy() / len(self._train)
        return float(loss), float(accuracy)

    def _load_batches(self, batches: list[np.ndarray]) -> Any:
        """Return a tf.data.Dataset of the pixels and targets of each batch of rows, with prefetching."""
        tensorflow, train = self._tf, self._train

        def read(number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return train.pixels[batches[int(number)]], train.y[batches[int(number)]].astype(np.int64)

        def load(number: Any) -> tuple[Any, Any]:
            pixels, y = tensorflow.numpy_function(read, [number], [tensorflow.uint8, tensorflow.int64])
            pixels.set_shape([None, *train.pixels.shape[1:]])
            y.set_shape([None])
            return pixels, y
        return tensorflow.data.Dataset.range(len(batches)).map(load).prefetch(2)

    def end_epoch(self, epochs: list[EpochMetrics], is_best: bool) -> None:
        """Save the state and the metrics of the finished epochs, and the weights if the last epoch is the best."""
        if is_best:
            self.checkpoints.save_best()
        self._sums.assign([0.0, 0.0])
        self._history.assign(json.dumps([asdict(epoch) for epoch in epochs]))
        self.checkpoints.save_last()

    def head(self, temperature: float) -> LinearHead:
        """Return the current head."""
        return LinearHead(self._kernel.numpy(), self._bias.numpy(), temperature)

    def log_probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Return the log probabilities of photos: uint8 [n, height, width, 3] to float32 [n, n_classes]."""
        batches = [self._predict(pixels[start:start + INFERENCE_BATCH_SIZE]).numpy()
                   for start in range(0, len(pixels), INFERENCE_BATCH_SIZE)]
        return np.concatenate(batches)

    def _inference_step(self, pixels: Any) -> Any:
        photos = self._tf.cast(pixels, self._tf.float32) / 255
        logits = self._tf.matmul(self.model.network(photos, False), self._kernel) + self._bias
        return self._tf.nn.log_softmax(logits)

    def _train_step(self, pixels: Any, y: Any) -> None:
        """Update the weights on one batch, and add its loss and accuracy to the sums."""
        tensorflow = self._tf
        photos = augment_tensor(tensorflow.cast(pixels, tensorflow.float32) / 255, self.options.augmentation,
                                self.options.seed, self._step)
        n_classes = self._kernel.shape[1]
        smoothing = self.options.label_smoothing
        smoothed = tensorflow.one_hot(y, n_classes) * (1 - smoothing) + smoothing / n_classes
        with tensorflow.GradientTape() as tape:
            logits = tensorflow.matmul(self.model.network(photos, True), self._kernel) + self._bias
            losses = tensorflow.nn.softmax_cross_entropy_with_logits(smoothed, logits)
            loss = tensorflow.reduce_mean(losses)
            loss = self._optimizer.scale_loss(loss)  # changes nothing without mixed precision
        gradients = tape.gradient(loss, self._trainable)
        self._optimizer.apply_gradients([(gradient, variable) for gradient, variable
                                         in zip(gradients, self._trainable) if gradient is not None])
        is_correct = tensorflow.argmax(logits, axis=1) == y
        unsmoothed_losses = tensorflow.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
        self._sums.assign_add([tensorflow.reduce_sum(unsmoothed_losses),
                               tensorflow.reduce_sum(tensorflow.cast(is_correct, tensorflow.float32))])
        self._step.assign_add(1)


def _by_creation(variables: Any) -> list[Any]:
    """Return variables in order of creation, which is the same in every process; a graph does not keep it."""
    return sorted(variables, key=lambda variable: int(variable._unique_id.rsplit("_", 1)[1]))


def _build_optimizer(options: LoopOptions, n_steps: int) -> Any:
    """Return the optimizer, with warm-up and cosine decay of the learning rate."""
    import keras
    warm_up = min(options.warm_up, n_steps // 4)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0 if warm_up else options.learning_rate, max(1, n_steps - warm_up),
        warmup_target=options.learning_rate if warm_up else None, warmup_steps=warm_up)
    builders = {"adamw": lambda: keras.optimizers.AdamW(schedule, weight_decay=options.weight_decay),
                "adam": lambda: keras.optimizers.Adam(schedule), "rmsprop": lambda: keras.optimizers.RMSprop(schedule),
                "sgd": lambda: keras.optimizers.SGD(schedule, momentum=0.9)}
    optimizer = builders[options.optimizer]()
    return keras.optimizers.LossScaleOptimizer(optimizer) if options.mixed_precision else optimizer
