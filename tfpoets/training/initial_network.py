"""Networks before training."""
from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from tfpoets.extractors import Network
from tfpoets.tf_runtime import import_tensorflow

from .linear_head import LinearHead
from .own_training import TrainStep

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class InitialNetwork:
    """A network before training.

    Attributes:
        network: The network with its initial weights.
        name: The name of the trained network, for messages.
        handle: The handle of the network, for the metadata.
        identity: A string that identifies the network and its initial weights; part of the key of its checkpoints.
        kind: "fine_tuned" or "from_scratch".
        head: The initial head, or None for random weights.
        has_batch_effects: See `TrainableModel`.
        own_model: The Keras model of the user that the network consists of, with its last layer; None for others.
        dropout: The dropout rate that was requested; None for the default, and for networks without that option.
        train_step: See `TrainableModel`.
    """

    network: Network
    name: str
    handle: str
    identity: str
    kind: str
    head: LinearHead | None = None
    has_batch_effects: bool = True
    own_model: Any = None
    dropout: float | None = None
    train_step: TrainStep | None = None


def seed_weights(seed: int) -> None:
    """Seed the initial weights of Keras models built afterwards. Any integer is a valid seed."""
    import_tensorflow()
    import keras
    keras.utils.set_random_seed(seed % 2 ** 31)


def log_summary(model: Any) -> None:
    """Log the layers of a Keras model with the shapes of their outputs, at the level DEBUG."""
    if log.isEnabledFor(logging.DEBUG):
        model.summary(line_length=79, print_fn=lambda text: log.debug("%s", text))
