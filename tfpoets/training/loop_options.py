"""The options of training a whole network."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tfpoets.data import AugmentationOptions
from tfpoets.errors import check_bool, check_choice, check_range, check_type

from .sgd import MAX_BATCH_SIZE

OPTIMIZERS = ("adamw", "adam", "rmsprop", "sgd")
SCHEDULES = ("constant", "cosine", "step")
MONITORS = ("loss", "accuracy")
CHECKPOINTS = ("best", "last")
# The learning rate of fine-tuning in earlier versions, unless the options set one.
EARLIER_LEARNING_RATE = 1e-4


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """Options for training a whole network.

    Attributes:
        epochs: The number of epochs. A run with more epochs than a finished one continues it, from where its learning
            rate began to decrease, and gives the same result as if it had been started from the beginning. With the
            schedule "cosine" there is no such point, and the longer run starts from the beginning.
        batch_size: The maximum number of photos per step. The steps of an epoch are as nearly equal in size as
            possible.
        optimizer: "adamw", "adam", "rmsprop", or "sgd" (with momentum 0.9).
        learning_rate: The learning rate, reached after `warm_up` steps. None: it is derived from the number of weights
            of the network (`default_learning_rate`).
        schedule: How the learning rate decreases. "constant": linearly to 0 in the last quarter of the epochs; before,
            it is constant. "cosine": to 0 as a cosine from the end of the warm-up. "step": to a tenth after half of
            the steps, and to a hundredth after three quarters.
        warm_up: The number of warm-up steps. In a run of one epoch, and with the schedule "cosine", they are at most
            a quarter of all steps.
        weight_decay: The weight decay of adamw.
        label_smoothing: The fraction of each label that is spread evenly over all classes (Szegedy et al. 2016).
        patience: The number of epochs without improvement after which training stops; 0 to never stop early.
        monitor: The validation metric by which epochs are compared: "loss" or "accuracy".
        augmentation: The augmentation of the training photos, drawn anew in every step.
        seed: The seed of data order, augmentation and initial weights. `retrain` replaces it with the seed of the
            split.
        resume: Whether to raise an error if there is nothing to continue, instead of starting a new training run.
        checkpoint: "best" or "last" to use that checkpoint without further training; "" to train.
    """

    epochs: int
    batch_size: int = 32
    optimizer: str = "adamw"
    learning_rate: float | None = None
    schedule: str = "constant"
    warm_up: int = 30
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    patience: int = 0
    monitor: str = "loss"
    augmentation: AugmentationOptions = AugmentationOptions()
    seed: int = 0
    resume: bool = False
    checkpoint: str = ""

    def __post_init__(self) -> None:
        check_bool("resume", self.resume)
        check_type("augmentation", self.augmentation, AugmentationOptions)
        check_range("epochs", self.epochs, minimum=1, integer=True)
        check_range("batch_size", self.batch_size, minimum=1, maximum=MAX_BATCH_SIZE, integer=True)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_range("learning_rate", self.learning_rate, above=0)
        check_choice("schedule", self.schedule, SCHEDULES)
        check_range("warm_up", self.warm_up, minimum=0, integer=True)
        check_range("weight_decay", self.weight_decay, minimum=0)
        check_range("label_smoothing", self.label_smoothing, minimum=0, below=1)
        check_range("seed", self.seed, integer=True)
        check_range("patience", self.patience, minimum=0, integer=True)
        check_choice("monitor", self.monitor, MONITORS)
        if self.checkpoint:
            check_choice("checkpoint", self.checkpoint, CHECKPOINTS)

    def identity(self) -> dict[str, Any]:
        """Return the options that determine the result of training, for the key of the checkpoints.

        If these names change, existing checkpoints can no longer be resumed.
        """
        names = ("epochs", "batch_size", "optimizer", "learning_rate", "warm_up", "weight_decay", "label_smoothing",
                 "patience", "monitor")
        # Earlier versions had an option for mixed precision, and no choice of schedules.
        schedule = {} if self.schedule == "constant" else {"schedule": self.schedule}
        return {**{name: getattr(self, name) for name in names}, **schedule, "mixed_precision": False,
                "distortions": self.augmentation.to_dict(), "seed": self.seed}

    def earlier_identity(self) -> dict[str, Any]:
        """Return the same for the training runs of earlier versions, which had a fixed default learning rate."""
        return {**self.identity(), "learning_rate": self.learning_rate or EARLIER_LEARNING_RATE}
