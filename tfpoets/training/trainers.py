"""The list of head trainers, and what a trainer, its result and a head are.

A head turns bottlenecks into probabilities. It exists twice, in NumPy and as TensorFlow operations, side by side in
one class; every exported file is compared with the NumPy version before it is kept.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from tfpoets.data import Examples
from tfpoets.errors import OptionError

from .lbfgs import LBFGSTrainer
from .sgd import SGDTrainer


class Head(Protocol):
    """What answers, given bottlenecks."""

    def outputs(self, X: np.ndarray) -> dict[str, np.ndarray]:
        """Return what exported files give, by name, for float32 [n, depth].

        `probabilities`: float32 [n, n_classes], rows summing to 1; with a reject option also `unknown_score`:
        float32 [n].
        """

    def add_to_graph(self, bottleneck: Any, output_name: str) -> dict[str, Any]:
        """Add the same computation to the TensorFlow graph that is being built.

        Args:
            bottleneck: float32 tensor [n, depth].
            output_name: the name of the node of the probabilities; that of another output is its own name.

        Returns:
            Tensors with the names, shapes and values of `outputs`.
        """


class HeadFit(Protocol):
    """What a training of a head, or of a whole network, returns."""

    @property
    def head(self) -> Head:
        """The head that was found."""

    def description(self) -> dict[str, Any]:
        """Return what the metadata says of the training, as JSON takes it.

        `solver`: its name; `temperature`: what logits were divided by, if there is one; and whatever else.
        """

    def curves(self) -> dict[str, list[dict[str, float]]]:
        """Return figures along the training, by run (train, validation): `step` and what was measured there."""


class HeadTrainer(Protocol):
    """Trains a head."""

    @property
    def name(self) -> str:
        """The name of the solver."""

    @property
    def options(self) -> type:
        """The class of its options, a frozen dataclass with defaults for all fields."""

    def fit(self, train: Examples, validation: Examples, options: Any, on_event: Callable[[Any], None]) -> HeadFit:
        """Fit a head.

        Args:
            train: at least one of each class. Augmented views (`Examples.augmented`), where there are any, are to be
                fitted to as well.
            validation: may be empty.
            options: an instance of `options`.
            on_event: is told how it goes; `cli/retrain_text.py` prints the events that it knows.
        """


HEAD_TRAINERS: list[HeadTrainer] = [LBFGSTrainer(), SGDTrainer()]


def solver_names() -> list[str]:
    """Return the names of all trainers."""
    return [trainer.name for trainer in HEAD_TRAINERS]


def trainer_named(name: str) -> HeadTrainer:
    """Return the trainer of a name; raise OptionError where there is none."""
    for trainer in HEAD_TRAINERS:
        if trainer.name == name:
            return trainer
    raise OptionError(f"`solver`={name} is not possible.", f"It can be {', '.join(solver_names())}.")


def trainer_for(options: Any) -> HeadTrainer:
    """Return the trainer that takes such options; raise OptionError where there is none."""
    for trainer in HEAD_TRAINERS:
        if isinstance(options, trainer.options):
            return trainer
    raise OptionError(f"`head`={options!r}: no solver has such options.",
                      f"The solvers are {', '.join(solver_names())}.")
