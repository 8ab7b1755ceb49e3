"""Append a linear layer and a softmax to the .tflite of an extractor, without TensorFlow's converter.

The format is defined by TensorFlow Lite's schema.fbs; LiteRT provides Python classes for it.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tfpoets.extractors import is_litert_installed
from tfpoets.graphs import HEAD_SCOPE, LOGITS, PROBABILITIES

from ..exportable import TrainedNetwork
from .tflite_metadata import import_schema, pack_model

if TYPE_CHECKING:
    from tfpoets.training import LinearHead


def can_append_head(network: Any) -> bool:
    """Return whether `append_head` can write a network.

    It must be a `TrainedNetwork` with a `LinearHead`, and LiteRT must be installed.
    """
    if not isinstance(network, TrainedNetwork) or not is_litert_installed():
        return False
    from tfpoets.training import LinearHead  # imported here because label_image does not need training code
    return type(network.head) is LinearHead


def append_head(model: bytes, head: LinearHead) -> bytes:
    """Append a head to a network.

    Args:
        model: A .tflite with one output, bottlenecks: float32 [1, depth].
        head: The head.

    Returns:
        A .tflite with one output, probabilities: float32 [1, n_classes].
    """
    schema = import_schema()
    model_t = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
    network = _Network(schema, model_t)
    n_classes = len(head.bias)
    weights, bias = ((values / head.temperature).astype(np.float32) for values in (head.weights.T, head.bias))
    inputs = [*network.outputs, network.add_tensor(f"{HEAD_SCOPE}/final_weights", weights.shape, weights),
              network.add_tensor(f"{HEAD_SCOPE}/final_biases", bias.shape, bias)]
    logits, probabilities = (network.add_tensor(name, (1, n_classes)) for name in
                             (f"{HEAD_SCOPE}/{LOGITS}", PROBABILITIES))
    network.add_operator("FULLY_CONNECTED", inputs, logits, "FullyConnectedOptions")
    network.add_operator("SOFTMAX", [logits], probabilities, "SoftmaxOptions", beta=1.0)
    network.outputs = [probabilities]
    return pack_model(model_t, len(model) + weights.nbytes + bias.nbytes)


class _Network:
    """The main subgraph of a `ModelT`, to which tensors and operators can be added."""

    def __init__(self, schema: Any, model_t: Any):
        self._schema, self._model_t, self._graph = schema, model_t, model_t.subgraphs[0]

    @property
    def outputs(self) -> list[int]:
        """The indices of the output tensors."""
        return list(self._graph.outputs)

    @outputs.setter
    def outputs(self, indices: list[int]) -> None:
        self._graph.outputs = indices

    def add_tensor(self, name: str, shape: tuple[int, ...], values: np.ndarray | None = None) -> int:
        """Add a float32 tensor, with constant values or none, and return its index."""
        buffer, tensor = self._schema.BufferT(), self._schema.TensorT()
        if values is not None:
            buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self._model_t.buffers.append(buffer)
        tensor.name, tensor.shape, tensor.type = name, list(shape), self._schema.TensorType.FLOAT32
        tensor.buffer, tensor.hasRank = len(self._model_t.buffers) - 1, True
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def add_operator(self, name: str, inputs: list[int], output: int, options_name: str, **options: float) -> None:
        """Add version 1 of a builtin operator; `options` are those that differ from their defaults."""
        code, operator = self._schema.OperatorCodeT(), self._schema.OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(self._schema.BuiltinOperator, name)
        code.version = 1
        self._model_t.operatorCodes.append(code)
        operator.opcodeIndex = len(self._model_t.operatorCodes) - 1
        operator.inputs, operator.outputs = inputs, [output]
        operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, options_name)
        operator.builtinOptions = getattr(self._schema, f"{options_name}T")()
        for option, value in options.items():
            setattr(operator.builtinOptions, option, value)
        self._graph.operators.append(operator)
