"""The result of training a whole network."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .curves import Curves, build_curves
from .lbfgs import LBFGSFit
from .linear_head import LinearHead
from .loop_options import LoopOptions


@dataclass(frozen=True)
class EpochMetrics:
    """Event: an epoch has ended, with these metrics.

    Losses are cross-entropies with the labels before smoothing, in nats. Accuracies are from 0 to 1. The metrics of
    the training photos are means over the photos of the epoch, with augmentation and dropout. The validation loss is
    measured at the best temperature, which the classifier will use. Otherwise the first epoch would look best, because
    training on smoothed labels makes a network less confident.

    `number` is 0 for the first epoch. `seconds` is the duration of the epoch with its validation; of an interrupted
    epoch, only that of the part after the interruption. It is None for epochs that an earlier version trained.
    """

    number: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    seconds: float | None = field(default=None, compare=False)


@dataclass(frozen=True, eq=False)
class NetworkFit:
    """The head of a trained network, and how the network was trained.

    Attributes:
        head: The head of `head_fit` if there is one. Otherwise that of the best epoch or the last checkpoint, with a
            temperature fitted to the validation photos.
        epochs: The metrics of each epoch.
        best_epoch: The index of the epoch that the weights come from; None for the last checkpoint.
        n_steps: The total number of steps.
        options: The options for training.
        kind: "fine_tuned" or "from_scratch", for the metadata.
        head_fit: The fit of the head if it was fitted again to the trained network's bottlenecks, or None.
    """

    head: LinearHead
    epochs: tuple[EpochMetrics, ...]
    best_epoch: int | None
    n_steps: int
    options: LoopOptions
    kind: str
    head_fit: LBFGSFit | None = None

    def description(self) -> dict[str, Any]:
        """Return the description of the training for the metadata."""
        best = {} if self.best_epoch is None else {"best_epoch": self.best_epoch + 1}
        head_fit = {"l2": self.head_fit.l2, "refitted": self.head_fit.refitted} if self.head_fit else {}
        return {"solver": self.kind, "optimizer": self.options.optimizer, "epochs": len(self.epochs),
                "steps": self.n_steps, **best, "learning_rate": self.options.learning_rate,
                "temperature": self.head.temperature, **head_fit}

    def curves(self) -> Curves:
        """Return the metrics of the epochs; each epoch is one step of the curves, and the first one is step 1."""
        return build_curves((epoch.number + 1, epoch) for epoch in self.epochs)
