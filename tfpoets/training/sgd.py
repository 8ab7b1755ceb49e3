"""TensorFlow for Poets' way to the last layer: stochastic gradient descent on class-balanced batches.

As googlecodelabs/tensorflow-for-poets-2, scripts/retrain.py, does it: the softmax's mean cross-entropy without a
penalty, a constant learning rate, weights drawn from a truncated normal distribution of standard deviation 0.001, a
bias of zeros. A photo of a batch is drawn by its class first, then among the photos of that class, with replacement.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from tfpoets.data import Examples
from tfpoets.errors import TrainingError, check_range
from tfpoets.evaluation import cross_entropy, fit_temperature

from .curves import Curves, curves_of
from .linear_head import LinearHead

WEIGHTS_DEVIATION = 0.001
# More would only fill the memory.
MAX_BATCH_SIZE = 100_000


@dataclass(frozen=True)
class SGDOptions:
    """A training of the last layer by gradient steps, as TensorFlow for Poets does it; batch sizes of -1 mean all
    photos.

    Attributes:
        how_many_training_steps: steps.
        learning_rate: what the gradient is multiplied by.
        train_batch_size: photos a step.
        validation_batch_size: photos drawn for each evaluation; -1: all.
        eval_step_interval: steps from one evaluation to the next; the last step is always evaluated.
        intermediate_store_frequency: steps from one `IntermediateFit` event to the next; 0: never.
        seed: of first weights and batches; a retraining takes that of its split.
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
    """Check a number of photos at a time, of which -1 means all; raise OptionError for another one."""
    if value != -1:
        check_range(option, value, minimum=1, maximum=MAX_BATCH_SIZE, integer=True)


@dataclass(frozen=True)
class Step:
    """What one printed line of the training says.

    Attributes:
        number: of the step, from 0.
        train_loss, validation_loss: mean cross-entropy of the batch, in nats; nan without validation photos.
        train_accuracy, validation_accuracy: shares of the batch, 0 to 1.
        validation_count: photos in the validation batch.
    """

    number: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    validation_count: int


@dataclass(frozen=True)
class SGDFit:
    """A head and the steps that led to it.

    Attributes:
        head: as the last step left it.
        steps: those that were evaluated.
        learning_rate, batch_size, count: of the training.
    """

    head: LinearHead
    steps: tuple[Step, ...]
    learning_rate: float
    batch_size: int
    count: int

    def description(self) -> dict[str, Any]:
        """For the metadata."""
        return {"solver": "sgd", "how_many_training_steps": self.count, "learning_rate": self.learning_rate,
                "train_batch_size": self.batch_size, "temperature": self.head.temperature}

    def curves(self) -> Curves:
        """Return the figures of the steps that were evaluated."""
        return curves_of((step.number, step) for step in self.steps)


@dataclass(frozen=True)
class IntermediateFit:
    """Event: a training by steps as it stands, `fit.count` being the steps so far."""

    fit: SGDFit


class SGDTrainer:
    """Trains the head by gradient steps."""

    name = "sgd"
    options = SGDOptions

    def fit(self, train: Examples, validation: Examples, options: SGDOptions, on_event: Callable[[Any], None]
            ) -> SGDFit:
        """Fit a head; see `fit_head_sgd`. Augmented views are photos like the others."""
        if train.augmented is not None:
            augmented = train.augmented
            train = Examples(np.concatenate([train.X, *augmented]), np.append(train.y, np.repeat(
                train.y, augmented.shape[1])), train.n_classes)
        return fit_head_sgd(train, validation, options, on_event)


def fit_head_sgd(train: Examples, validation: Examples, options: SGDOptions = SGDOptions(),
                      on_event: Callable[[Any], None] = lambda event: None) -> SGDFit:
    """Train a head by the steps of TensorFlow for Poets, and add a temperature, chosen by all validation photos.

    Same arguments, same machine: the same bytes.

    Args:
        train: at least one photo of each class.
        validation: may be empty.
        options: how.
        on_event: is told of each evaluation (`Step`) and of each state that is to be stored (`IntermediateFit`).

    Raises:
        TrainingError: the learning rate is so large that the loss is not finite.
    """
    random = generator(options.seed)
    count, batch_size, learning_rate = (options.how_many_training_steps, options.train_batch_size,
                                        options.learning_rate)
    interval, store_interval = options.eval_step_interval, options.intermediate_store_frequency
    weights = _truncated_normal(random, (train.X.shape[1], train.n_classes))
    bias = np.zeros(train.n_classes, np.float32)
    rows, validation_rows = _rows_by_class(train.y), _rows_by_class(validation.y)
    steps = []
    with threadpool_limits(1, user_api="blas"), np.errstate(over="ignore", invalid="ignore"):
        rate = np.float32(learning_rate)
        for number in range(count):
            chosen = _draw(rows, batch_size, random)
            x, y = train.X[chosen], train.y[chosen]
            error = LinearHead(weights, bias).probabilities(x)
            error[np.arange(batch_size), y] -= 1
            error *= rate / np.float32(batch_size)
            weights = weights - x.T @ error
            bias = bias - error.sum(axis=0)
            if number % interval == 0 or number == count - 1:
                head = LinearHead(weights, bias)
                steps.append(_evaluated(number, head, (x, y), _validation_batch(
                    validation.X, validation.y, validation_rows, options.validation_batch_size, random)))
                _check_finite(steps[-1], learning_rate)
                on_event(steps[-1])
            if store_interval and number and number % store_interval == 0:
                head = LinearHead(weights, bias)
                on_event(IntermediateFit(SGDFit(head, tuple(steps), learning_rate, batch_size, number)))
        head = LinearHead(weights, bias)
        temperature = fit_temperature(head.logits(validation.X), validation.y)
    return SGDFit(LinearHead(weights, bias, temperature), tuple(steps), learning_rate, batch_size, count)


def generator(seed: int) -> np.random.Generator:
    """A generator for any seed; NumPy's own take none below 0."""
    return np.random.default_rng(seed % 2 ** 63)


def balanced_draw(y: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """Draw `size` rows, as TensorFlow for Poets does: a class, then a photo of it, with replacement: int [size]."""
    return _draw(_rows_by_class(y), size, random)


def _rows_by_class(y: np.ndarray) -> list[np.ndarray]:
    return [np.flatnonzero(y == label) for label in np.unique(y)]


def _draw(rows: list[np.ndarray], size: int, random: np.random.Generator) -> np.ndarray:
    drawn = random.integers(len(rows), size=size)
    places = random.random(size)
    return np.array([rows[label][int(place * len(rows[label]))] for label, place in zip(drawn, places)])


def _validation_batch(x: np.ndarray, y: np.ndarray, rows: list[np.ndarray], size: int,
                      random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    if size == -1 or not len(y):
        return x, y
    chosen = _draw(rows, size, random)
    return x[chosen], y[chosen]


def _evaluated(number: int, head: LinearHead, train: tuple[np.ndarray, np.ndarray],
               validation: tuple[np.ndarray, np.ndarray]) -> Step:
    return Step(number, *_loss_and_accuracy(head, *train), *_loss_and_accuracy(head, *validation), len(validation[1]))


def _loss_and_accuracy(head: LinearHead, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    if not len(y):
        return float("nan"), float("nan")
    log_probabilities = head.log_probabilities(x)
    return float(cross_entropy(log_probabilities, y).mean()), float(np.mean(log_probabilities.argmax(axis=1) == y))


def _check_finite(step: Step, learning_rate: float) -> None:
    if not np.isfinite(step.train_loss):
        raise TrainingError(f"After {step.number} steps the loss is not finite: `learning_rate`={learning_rate:g} is "
                            "too large.", "Try a tenth of it.")


def _truncated_normal(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Float32, of WEIGHTS_DEVIATION; what lies beyond two deviations is drawn again."""
    drawn = random.standard_normal(shape)
    while (far := np.abs(drawn) > 2).any():
        drawn[far] = random.standard_normal(int(far.sum()))
    return (WEIGHTS_DEVIATION * drawn).astype(np.float32)
