"""The list of head trainers, and the protocols of a head, a trainer and its result.

A head turns bottlenecks into probabilities. It is implemented twice in the same class, in NumPy and as TensorFlow
operations. The final files of a classifier are compared with the NumPy version before they are published.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from tfpoets.data import Examples, row_slices
from tfpoets.errors import OptionError

from .curves import Curves
from .lbfgs import LBFGSTrainer
from .sgd import SGDTrainer


class Head(Protocol):
    """The last layer of a classifier: bottlenecks to probabilities."""

    def outputs(self, X: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs of exported files, by name.

        Args:
            X: float32 [n, depth], bottlenecks.

        Returns:
            `probabilities`: float32 [n, n_classes], whose rows sum to 1. A head with a reject option also returns
            `unknown_score`: float32 [n].
        """

    def add_to_graph(self, bottleneck: Any, output_name: str) -> dict[str, Any]:
        """Add the same computation to the current TensorFlow graph.

        Args:
            bottleneck: A float32 tensor [n, depth].
            output_name: The node name of the probabilities. The node of any other output is named after the output.

        Returns:
            Tensors with the names, shapes and values of `outputs`.
        """


def head_outputs(head: Head, X: Any) -> dict[str, np.ndarray]:
    """Return the outputs of a head; those for bottlenecks on disk are computed in blocks of rows.

    Args:
        head: The head.
        X: float32 [n, depth], an array or StoredRows.
    """
    blocks = [head.outputs(X[rows]) for rows in row_slices(X)]
    return {name: np.concatenate([outputs[name] for outputs in blocks]) for name in blocks[0]}


class HeadFit(Protocol):
    """The result of training a head or a whole network."""

    @property
    def head(self) -> Head:
        """The trained head."""

    def description(self) -> dict[str, Any]:
        """Return the description of the training for the metadata, ready for JSON.

        It contains `solver`, the name of the trainer, and `temperature`, if the head has one. It may
        contain other entries.
        """

    def curves(self) -> Curves:
        """Return the metrics of each step, by run ("train" and "validation")."""


class HeadTrainer(Protocol):
    """A way to train a head."""

    @property
    def name(self) -> str:
        """The name of the solver."""

    @property
    def options(self) -> type:
        """The class of its options: a frozen dataclass with defaults for all fields."""

    def fit(self, train: Examples, validation: Examples, options: Any, on_event: Callable[[Any], None]) -> HeadFit:
        """Fit a head.

        Args:
            train: Training examples, with at least one of each class. The head is also fitted to augmented views
                (`Examples.augmented`), if there are any.
            validation: Validation examples; may be empty.
            options: An instance of `options`.
            on_event: Called with the events of training; `cli/retrain_text.py` prints those that it supports.
        """


HEAD_TRAINERS: list[HeadTrainer] = [LBFGSTrainer(), SGDTrainer()]


def solver_names() -> list[str]:
    """Return the names of all solvers."""
    return [trainer.name for trainer in HEAD_TRAINERS]


def trainer_named(name: str) -> HeadTrainer:
    """Return the trainer of a solver; raise OptionError if there is none."""
    for trainer in HEAD_TRAINERS:
        if trainer.name == name:
            return trainer
    raise OptionError(f"`solver`={name} is not a valid choice.", f"Choose from {', '.join(solver_names())}.")


def trainer_for(options: Any) -> HeadTrainer:
    """Return the trainer that takes options of this class; raise OptionError if there is none."""
    for trainer in HEAD_TRAINERS:
        if isinstance(options, trainer.options):
            return trainer
    raise OptionError(f"`head`={options!r} is not valid: no solver accepts such options.",
                      f"The solvers are {', '.join(solver_names())}.")
