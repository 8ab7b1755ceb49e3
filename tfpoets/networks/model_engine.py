"""Run a Keras model in memory."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfpoets.exporting import WrappedModel
from tfpoets.extractors import TENSORFLOW_BATCH


class KerasModelEngine:
    """An engine that runs a Keras model in memory, in batches."""

    name = "keras"
    batch_size = TENSORFLOW_BATCH

    def __init__(self, model: WrappedModel):
        self._model = model

    def open(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return the function that runs the model; see `Engine`."""
        return self._model.predict
