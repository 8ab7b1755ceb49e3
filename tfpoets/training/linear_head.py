"""The last layer: a linear layer and a softmax, with one temperature for all classes."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tfpoets.evaluation import log_softmax
from tfpoets.graphs import HEAD_SCOPE, LOGITS, PROBABILITIES
from tfpoets.tf_runtime import import_tensorflow


@dataclass(frozen=True, eq=False)
class LinearHead:
    """A head that computes softmax((X @ weights + bias) / temperature).

    Attributes:
        weights: float32 [depth, n_classes], for bottlenecks as the extractor returns them.
        bias: float32 [n_classes].
        temperature: The number by which the logits are divided before the softmax.
    """

    weights: np.ndarray
    bias: np.ndarray
    temperature: float = 1.0

    @classmethod
    def identity(cls, n_classes: int, temperature: float = 1.0) -> LinearHead:
        """Return the head of a network that contains its last layer: it passes the logits on."""
        return cls(np.eye(n_classes, dtype=np.float32), np.zeros(n_classes, np.float32), temperature)

    def outputs(self, X: np.ndarray) -> dict[str, np.ndarray]:
        """Return the `probabilities` of bottlenecks: float32 [n, depth] to float32 [n, n_classes]."""
        return {PROBABILITIES: self.probabilities(X)}

    def add_to_graph(self, bottleneck: Any, output_name: str) -> dict[str, Any]:
        """Add the same computation to the current TensorFlow graph; see `Head`."""
        tensorflow = import_tensorflow()
        with tensorflow.name_scope(HEAD_SCOPE):
            weights = tensorflow.constant(np.float32(self.weights / self.temperature), name="final_weights")
            bias = tensorflow.constant(np.float32(self.bias / self.temperature), name="final_biases")
            logits = tensorflow.add(tensorflow.matmul(bottleneck, weights), bias, name=LOGITS)
        return {PROBABILITIES: tensorflow.nn.softmax(logits, name=output_name)}

    def logits(self, X: np.ndarray) -> np.ndarray:
        """Return the logits before the temperature: float32 [n, depth] to float32 [n, n_classes]."""
        return X @ self.weights + self.bias

    def probabilities(self, X: np.ndarray) -> np.ndarray:
        """Return probabilities: float32 [n, depth] to float32 [n, n_classes]; each row sums to 1."""
        return np.exp(self.log_probabilities(X))

    def log_probabilities(self, X: np.ndarray) -> np.ndarray:
        """Return the natural logarithms of the probabilities: float32 [n, depth] to float32 [n, n_classes]."""
        return log_softmax(self.logits(X) / np.float32(self.temperature))
