"""Stochastic gradient descent on class-balanced batches, as in TensorFlow for Poets.

This follows scripts/retrain.py of googlecodelabs/tensorflow-for-poets-2: the mean cross-entropy without a penalty, a
constant learning rate, weights drawn from a truncated normal distribution with a standard deviation of 0.001, and a
bias of zeros. Each photo of a batch is drawn with replacement: first its class, then one of the photos of that class.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from tfpoets.data import Examples, StoredRows, row_slices
from tfpoets.errors import TrainingError, check_range
from tfpoets.evaluation import cross_entropy, fit_temperature

from .curves import Curves, build_curves
from .linear_head import LinearHead

WEIGHTS_STDDEV = 0.001
# A larger batch would only use more memory.
MAX_BATCH_SIZE = 100_000


@dataclass(frozen=True)
class SGDOptions:
    """Options for training the last layer by gradient descent, as in TensorFlow for Poets.

    Attributes:
        how_many_training_steps: The number of steps.
        learning_rate: The number by which the gradient is multiplied.
        train_batch_size: The number of photos per step.
        validation_batch_size: The number of photos drawn for each evaluation; -1 for all.
        eval_step_interval: The number of steps between evaluations. The last step is always evaluated.
        intermediate_store_frequency: The number of steps between `IntermediateFit` events; 0 for none.
        seed: The seed of the initial weights and the batches. `retrain` replaces it with the seed of the split.
    """

    how_many_training_steps: int = 4000
    learning_rate: float = 0.01
    train_batch_size: int = 100
    validation_batch_size: int = 100
    eval_step_interval: int = 10
    intermediate_store_frequency: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        check_range("how_many_training_steps", self.how_many_training_steps, minimum=1, integer=True)
        check_range("learning_rate", self.learning_rate, above=0)
        check_range("train_batch_size", self.train_batch_size, minimum=1, maximum=MAX_BATCH_SIZE, integer=True)
        check_batch_size("validation_batch_size", self.validation_batch_size)
        check_range("eval_step_interval", self.eval_step_interval, minimum=1, integer=True)
        check_range("seed", self.seed, integer=True)
        check_range("intermediate_store_frequency", self.intermediate_store_frequency, minimum=0, integer=True)


def check_batch_size(option: str, value: int) -> None:
    """Raise OptionError unless a batch size is -1, which means all photos, or from 1 to MAX_BATCH_SIZE."""
    if value != -1:
        check_range(option, value, minimum=1, maximum=MAX_BATCH_SIZE, integer=True)


@dataclass(frozen=True)
class StepMetrics:
    """Event: a step has been evaluated.

    Attributes:
        number: The index of the step.
        train_loss: The mean cross-entropy of the training batch, in nats.
        train_accuracy: The fraction of the training batch classified correctly, 0 to 1.
        validation_loss: The mean cross-entropy of the validation batch, in nats; nan without validation photos.
        validation_accuracy: The fraction of the validation batch classified correctly, 0 to 1; nan without photos.
        validation_count: The number of photos in the validation batch.
    """

    number: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    validation_count: int


@dataclass(frozen=True)
class SGDFit:
    """A head and how it was trained.

    Attributes:
        head: The head after the last step.
        history: The metrics of the steps that were evaluated.
        learning_rate: The learning rate.
        batch_size: The number of photos per step.
        n_steps: The number of steps.
    """

    head: LinearHead
    history: tuple[StepMetrics, ...]
    learning_rate: float
    batch_size: int
    n_steps: int

    def description(self) -> dict[str, Any]:
        """Return the description of the training for the metadata."""
        return {"solver": "sgd", "how_many_training_steps": self.n_steps, "learning_rate": self.learning_rate,
                "train_batch_size": self.batch_size, "temperature": self.head.temperature}

    def curves(self) -> Curves:
        """Return the metrics of the steps that were evaluated."""
        return build_curves((step.number, step) for step in self.history)


@dataclass(frozen=True)
class IntermediateFit:
    """Event: an intermediate fit to store. `fit.n_steps` is the index of the step that it follows, from 0."""

    fit: SGDFit


class SGDTrainer:
    """Trains the head by gradient descent."""

    name = "sgd"
    options = SGDOptions

    def fit(self, train: Examples, validation: Examples, options: SGDOptions, on_event: Callable[[Any], None]
            ) -> SGDFit:
        """Fit a head as `fit_head_sgd` does. Augmented views count as further training photos."""
        if train.augmented is not None:
            _, n_views, depth = train.augmented.shape
            X: Any = StoredRows([train.X, train.augmented.reshape(-1, depth)])
            train = Examples(X, np.append(train.y, np.repeat(train.y, n_views)), train.n_classes)
        return fit_head_sgd(train, validation, options, on_event)


def fit_head_sgd(train: Examples, validation: Examples, options: SGDOptions = SGDOptions(),
                 on_event: Callable[[Any], None] = lambda event: None) -> SGDFit:
    """Train a head as TensorFlow for Poets does, then fit its temperature to all validation photos.

    The same arguments give the same result, byte for byte, on the same machine.

    Args:
        train: Training examples, with at least one of each class.
        validation: Validation examples; may be empty.
        options: The options for training.
        on_event: Called with each evaluation (`StepMetrics`) and each fit to be stored (`IntermediateFit`).

    Raises:
        TrainingError: The loss is not finite, because the learning rate is too large.
    """
    rng = make_rng(options.seed)
    n_steps, store_interval = options.how_many_training_steps, options.intermediate_store_frequency
    head = LinearHead(_truncated_normal(rng, (train.X.shape[1], train.n_classes)),
                      np.zeros(train.n_classes, np.float32))
    rows, validation_rows = _rows_by_class(train.y), _rows_by_class(validation.y)
    history: list[StepMetrics] = []

    def fit_after(steps: int, head: LinearHead) -> SGDFit:
        return SGDFit(head, tuple(history), options.learning_rate, options.train_batch_size, steps)

    with threadpool_limits(1, user_api="blas"), np.errstate(over="ignore", invalid="ignore"):
        for number in range(n_steps):
            batch = _draw(rows, options.train_batch_size, rng)
            X, y = train.X[batch], train.y[batch]
            head = _descend(head, X, y, options.learning_rate)
            if number % options.eval_step_interval == 0 or number == n_steps - 1:
                validation_batch = _validation_batch(validation, validation_rows, options.validation_batch_size, rng)
                history.append(_evaluate(number, head, (X, y), validation_batch))
                _check_finite(history[-1], options.learning_rate)
                on_event(history[-1])
            if store_interval and number and number % store_interval == 0:
                on_event(IntermediateFit(fit_after(number, head)))
        logits = [head.logits(validation.X[rows]) for rows in row_slices(validation.X)]
        temperature = fit_temperature(np.concatenate(logits), validation.y)
    return fit_after(n_steps, LinearHead(head.weights, head.bias, temperature))


def make_rng(seed: int) -> np.random.Generator:
    """Return a random number generator for any integer seed, including negative ones, which NumPy rejects."""
    return np.random.default_rng(seed % 2 ** 63)


def draw_balanced(y: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `size` rows with replacement, each by drawing a class and then one of its photos: int64 [size]."""
    return _draw(_rows_by_class(y), size, rng)


def _rows_by_class(y: np.ndarray) -> list[np.ndarray]:
    return [np.flatnonzero(y == label) for label in np.unique(y)]


def _draw(rows: list[np.ndarray], size: int, rng: np.random.Generator) -> np.ndarray:
    labels = rng.integers(len(rows), size=size)
    positions = rng.random(size)
    return np.array([rows[label][int(position * len(rows[label]))] for label, position in zip(labels, positions)])


def _descend(head: LinearHead, X: np.ndarray, y: np.ndarray, learning_rate: float) -> LinearHead:
    """Return the head after one gradient step on a batch."""
    error = head.probabilities(X)
    error[np.arange(len(y)), y] -= 1
    error *= np.float32(learning_rate) / np.float32(len(y))
    return LinearHead(head.weights - X.T @ error, head.bias - error.sum(axis=0))


def _validation_batch(validation: Examples, rows: list[np.ndarray], size: int, rng: np.random.Generator
                      ) -> tuple[np.ndarray, np.ndarray]:
    if size == -1 or not len(validation):
        return validation.X, validation.y
    batch = _draw(rows, size, rng)
    return validation.X[batch], validation.y[batch]


def _evaluate(number: int, head: LinearHead, train: tuple[np.ndarray, np.ndarray],
              validation: tuple[np.ndarray, np.ndarray]) -> StepMetrics:
    """Return the metrics of a training batch (X, y) and a validation batch."""
    return StepMetrics(number, *_loss_and_accuracy(head, *train), *_loss_and_accuracy(head, *validation),
                       len(validation[1]))


def _loss_and_accuracy(head: LinearHead, X: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    if not len(y):
        return float("nan"), float("nan")
    losses, correct = [], []
    for rows in row_slices(X):
        log_probabilities = head.log_probabilities(X[rows])
        losses.append(cross_entropy(log_probabilities, y[rows]))
        correct.append(log_probabilities.argmax(axis=1) == y[rows])
    return float(np.concatenate(losses).mean()), float(np.concatenate(correct).mean())


def _check_finite(step: StepMetrics, learning_rate: float) -> None:
    if not np.isfinite(step.train_loss):
        raise TrainingError(f"At step {step.number} the loss is not finite: `learning_rate`={learning_rate:g} is too "
                            "large.", "Try a tenth of it.")


def _truncated_normal(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw float32 weights, redrawing those more than two standard deviations from 0."""
    weights = rng.standard_normal(shape)
    while (is_far := np.abs(weights) > 2).any():
        weights[is_far] = rng.standard_normal(int(is_far.sum()))
    return (WEIGHTS_STDDEV * weights).astype(np.float32)
