"""The steps and epochs of one training run of a whole network."""
from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import augment_tensor
from tfpoets.errors import TrainingError
from tfpoets.extractors import has_gpu
from tfpoets.progress import progress_bar
from tfpoets.tf_runtime import import_tensorflow, redirect_native_stderr, xla_works

from .checkpoints import Checkpoints, RunFolder
from .linear_head import LinearHead
from .loop_options import EARLIER_LEARNING_RATE, LoopOptions
from .network_fit import EpochMetrics
from .own_training import StepModel, TrainableNetwork, TrainStep, check_step_result, convert_step_errors
from .schedules import build_optimizer, count_constant_epochs, default_learning_rate

# The number of photos per batch at inference on a GPU.
INFERENCE_BATCH_SIZE = 64
# On a CPU, batches are computed in parts of at most this number of pixels (5 photos of 320 x 320), which limits the
# memory for feature maps. Larger parts are not faster.
PART_PIXELS = 2 ** 19

@dataclass(frozen=True, eq=False)
class TrainableModel:
    """A network and its head, before training.

    Attributes:
        network: The network; training changes its variables in place.
        n_classes: The number of classes.
        initial_head: The initial head, or None for random weights.
        kind: "fine_tuned" or "from_scratch", for the metadata.
        has_batch_effects: Whether the features of a photo in training depend on the rest of its batch, or are random.
            Otherwise a batch can be computed in parts.
        train_step: The training step of a program; None for the usual one, which minimizes the cross-entropy.
        own_model: The Keras model that the network consists of, if it includes the last layer; the head is then not
            trained, layers that are not trainable are left unchanged, and the model's own losses are added.
    """

    network: TrainableNetwork
    n_classes: int
    initial_head: LinearHead | None
    kind: str
    has_batch_effects: bool = True
    train_step: TrainStep | None = None
    own_model: Any = None

    def select_trainable(self, variables: Any) -> list[Any]:
        """Return the variables that are to be trained, in order of creation."""
        if self.own_model is None:
            return _by_creation(variables)
        trainable = {variable.value.ref() for variable in self.own_model.trainable_variables}
        return _by_creation(variable for variable in variables if variable.ref() in trainable)

    def added_loss(self) -> Any:
        """Return the sum of the losses that layers have added in the last call, such as regularization."""
        return sum(self.own_model.losses) if self.own_model is not None else 0.0


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
        self.model, self._train = model, train
        # Read here, because autograph would try to convert these functions within a step.
        is_gpu, (height, width) = has_gpu(), train.pixels.shape[1:3]
        self._compiles_update = is_gpu and xla_works()
        # The number of photos that are computed at once on a CPU; 0 on a GPU, for whole batches.
        self._part_size = 0 if is_gpu else max(1, PART_PIXELS // (height * width))
        self._steps_per_epoch = math.ceil(len(train) / options.batch_size)
        graph, depth = self._trace(train.pixels.shape[1:3])
        self._kernel, self._bias = self._create_head(depth, options.seed)
        weights = model.select_trainable(graph.trainable_variables)
        if model.own_model is not None and not weights:
            raise TrainingError("The model has no weights that can be trained.", "Set trainable=True in a layer.")
        self._folder = RunFolder(folder, options.epochs, options.schedule)
        if self._folder.set_damaged_aside():
            self._folder = RunFolder(folder, options.epochs, options.schedule)
        default_rate = EARLIER_LEARNING_RATE if self._folder.is_earlier_version else default_learning_rate(
            sum(math.prod(variable.shape) for variable in weights))
        self.options = replace(options, learning_rate=options.learning_rate or default_rate)
        self._trainable = weights if model.own_model is not None else [*weights, self._kernel, self._bias]
        self._optimizer = build_optimizer(self.options, self._steps_per_epoch,
                                          "cosine" if self._folder.is_earlier_version else options.schedule)
        self._optimizer.build(self._trainable)
        self._step = tensorflow.Variable(0, dtype=tensorflow.int64)
        # The sum of the losses and the number of correct predictions in the current epoch.
        self._sums = tensorflow.Variable([0.0, 0.0])
        # The metrics of the finished epochs as JSON.
        self._history = tensorflow.Variable("[]")
        self._compile_steps()
        if not options.checkpoint:
            self._folder.copy_shorter_run()
        optimizer_state = {f"optimizer{number}": variable.value
                           for number, variable in enumerate(self._optimizer.variables)}
        self.checkpoints = Checkpoints(
            self._folder, [*_by_creation(graph.variables), self._kernel, self._bias],
            {**optimizer_state, "step": self._step, "sums": self._sums, "history": self._history})

    def _compile_steps(self) -> None:
        """Create the functions of the steps, once for all batch sizes."""
        tensorflow = self._tf
        photos = tensorflow.TensorSpec([None, *self._train.pixels.shape[1:]], tensorflow.uint8)
        targets = tensorflow.TensorSpec([None], tensorflow.int64)
        self._run_train_step = tensorflow.function(self._train_step, input_signature=[photos, targets])
        if self.model.train_step is not None:
            with convert_step_errors():
                self._run_train_step.get_concrete_function()
        self._predict = tensorflow.function(self._inference_step, input_signature=[photos])

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

    def _create_head(self, depth: int, seed: int) -> tuple[Any, Any]:
        head, n_classes = self.model.initial_head, self.model.n_classes
        if head is not None:
            return self._tf.Variable(head.weights / head.temperature), self._tf.Variable(head.bias / head.temperature)
        rng = np.random.default_rng(seed % 2 ** 63)
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
        epochs = [EpochMetrics(**epoch) for epoch in json.loads(self._history.numpy())]
        if epochs and not self.options.checkpoint and self.n_steps == len(epochs) * self._steps_per_epoch:
            self._keep_state(len(epochs))  # in case the run was killed before it did this
        return epochs

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

    def end_epoch(self, epochs: list[EpochMetrics], is_best: bool, is_finished: bool) -> None:
        """Save the state and the metrics of the finished epochs, and the weights if the last epoch is the best.

        The state at the end of the constant learning rate is kept for longer training runs.
        """
        if is_best:
            self.checkpoints.save_best()
        self._sums.assign([0.0, 0.0])
        self._history.assign(json.dumps([asdict(epoch) for epoch in epochs]))
        self.checkpoints.save_last()
        self._keep_state(len(epochs), is_finished)

    def _keep_state(self, n_epochs: int, is_finished: bool = False) -> None:
        """Keep the current state for longer training runs if this was the last epoch with a constant learning rate."""
        n_constant = count_constant_epochs(self.options.epochs, self.options.schedule)
        if n_epochs == n_constant or is_finished and n_epochs < n_constant:
            self._folder.keep(n_epochs)

    def head(self, temperature: float) -> LinearHead:
        """Return the current head."""
        return LinearHead(self._kernel.numpy(), self._bias.numpy(), temperature)

    def log_probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Return the log probabilities of photos: uint8 [n, height, width, 3] to float32 [n, n_classes]."""
        size = self._part_size or INFERENCE_BATCH_SIZE
        batches = [self._predict(pixels[start:start + size]).numpy() for start in range(0, len(pixels), size)]
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
        if self.model.train_step:
            self._run_own_step(self.model.train_step, photos, y)
        elif self.model.has_batch_effects or not self._part_size:
            self._update(self._gradients(photos, y, tensorflow.shape(y)[0]))
        else:
            self._update(self._sum_gradients(photos, y))
        self._step.assign_add(1)

    def _run_own_step(self, train_step: TrainStep, photos: Any, y: Any) -> None:
        """Run the training step of a program, and add its loss and accuracy to the sums."""
        tensorflow = self._tf
        model = StepModel(self.model.network, self._kernel, self._bias, self._trainable, self._optimizer)
        loss, logits = check_step_result(train_step(model, photos, y), self._kernel.shape[1])
        count = tensorflow.cast(tensorflow.shape(y)[0], tensorflow.float32)
        is_correct = tensorflow.argmax(logits, axis=1) == y
        self._sums.assign_add([loss * count, tensorflow.reduce_sum(tensorflow.cast(is_correct, tensorflow.float32))])

    def _update(self, gradients: list[Any]) -> None:
        """Update the weights; those whose gradient is None are not changed."""
        variables = [variable for gradient, variable in zip(gradients, self._trainable) if gradient is not None]

        def apply(*values: Any) -> None:
            self._optimizer.apply_gradients(list(zip(values, variables)))
        if self._compiles_update:
            # Without XLA, most of a step is spent on starting the thousands of small operations of the update.
            apply = self._tf.function(apply, jit_compile=True)
        apply(*[gradient for gradient in gradients if gradient is not None])

    def _sum_gradients(self, photos: Any, y: Any) -> list[Any]:
        """Return the gradients of a batch, computed in parts of nearly equal size."""
        tensorflow, batch_size = self._tf, self._tf.shape(y)[0]
        n_parts = (batch_size - 1) // self._part_size + 1
        is_connected: list[bool] = []

        def add_part(number: Any, *sums: Any) -> tuple[Any, ...]:
            part = slice(number * batch_size // n_parts, (number + 1) * batch_size // n_parts)
            gradients = self._gradients(photos[part], y[part], batch_size)
            is_connected[:] = [gradient is not None for gradient in gradients]
            return number + 1, *(total if gradient is None else total + gradient
                                 for total, gradient in zip(sums, gradients))
        zeros = [tensorflow.zeros_like(variable) for variable in self._trainable]
        _, *sums = tensorflow.while_loop(lambda number, *_: number < n_parts, add_part, [0, *zeros],
                                         parallel_iterations=1)
        return [total if connected else None for total, connected in zip(sums, is_connected)]

    def _gradients(self, photos: Any, y: Any, batch_size: Any) -> list[Any]:
        """Return the gradients of the summed loss of some photos divided by `batch_size`; None for unused weights.

        The loss and the number of correct predictions are added to the sums.
        """
        tensorflow, n_classes, smoothing = self._tf, self._kernel.shape[1], self.options.label_smoothing
        smoothed = tensorflow.one_hot(y, n_classes) * (1 - smoothing) + smoothing / n_classes
        with tensorflow.GradientTape() as tape:
            logits = tensorflow.matmul(self.model.network(photos, True), self._kernel) + self._bias
            losses = tensorflow.nn.softmax_cross_entropy_with_logits(smoothed, logits)
            loss = tensorflow.reduce_sum(losses) / tensorflow.cast(batch_size, tensorflow.float32)
            loss += self.model.added_loss()
        is_correct = tensorflow.argmax(logits, axis=1) == y
        unsmoothed_losses = tensorflow.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
        self._sums.assign_add([tensorflow.reduce_sum(unsmoothed_losses),
                               tensorflow.reduce_sum(tensorflow.cast(is_correct, tensorflow.float32))])
        return tape.gradient(loss, self._trainable)


def _by_creation(variables: Any) -> list[Any]:
    """Return variables in order of creation, which is the same in every process; a graph does not keep it."""
    return sorted(variables, key=lambda variable: int(variable._unique_id.rsplit("_", 1)[1]))

