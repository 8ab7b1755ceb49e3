"""Find out from the graph of a Keras model whether it returns logits or probabilities."""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfpoets.errors import ExtractorError
from tfpoets.tf_runtime import import_tensorflow

LOGITS, SOFTMAX, SIGMOID, PROBABILITIES = "logits", "softmax", "sigmoid", "probabilities"
ENDS_THAT_WORK = "End the model in a softmax, in sigmoids, or without an activation."
# Rounding errors of sums of weights such as 1/3.
TOLERANCE = 1e-6
# Operations that copy their first input, perhaps with another shape or type.
COPIES = {"Identity", "IdentityN", "StopGradient", "PreventGradient", "EnsureShape", "Reshape", "Squeeze",
          "ExpandDims", "Cast"}
# Operations whose results lie between the smallest and the largest value of their first input.
SELECTIONS = COPIES | {"Transpose", "Slice", "StridedSlice", "GatherV2", "Max", "Min", "Mean", "MaxPool", "AvgPool",
                       "ResizeBilinear", "ResizeNearestNeighbor"}
# Linear operations on features and weights.
LINEAR = {"MatMul", "BatchMatMulV2", "Conv2D", "DepthwiseConv2dNative", "Einsum", "FusedBatchNormV3"}
# The smallest and the largest value of a tensor; None if they are not known.
Bounds = tuple[float, float] | None
UNBOUNDED = (-math.inf, math.inf)
BOUNDS = {"Softmax": (0, 1), "Sigmoid": (0, 1), "Tanh": (-1, 1), "Softsign": (-1, 1), "Relu": (0, math.inf),
          "Relu6": (0, 6), "Exp": (0, math.inf), "Softplus": (0, math.inf), "LogSoftmax": (-math.inf, 0),
          "LeakyRelu": UNBOUNDED}


def recognize_end(model: Any, shape: tuple[int, int, int], dtype: str, outputs: np.ndarray) -> str:
    """Return what a model ends in.

    Args:
        model: A Keras model.
        shape: Height, width and channels of its input.
        dtype: The type of its input.
        outputs: Its outputs for several random photos, float32 [n, outputs].

    Returns:
        "softmax" or "sigmoid" if an activation computes the output; "probabilities" if other operations compute
        values that are always in [0, 1], or that sum to 1; otherwise "logits".

    Raises:
        ExtractorError: The outputs seem to be neither logits nor probabilities.
    """
    tensorflow = import_tensorflow()
    traced = tensorflow.function(lambda pixels: model(pixels, training=False), autograph=False).get_concrete_function(
        tensorflow.TensorSpec([None, *shape], dtype))
    end, bounds = _analyse(traced)
    if bounds is None and any("PartitionedCall" in operation.type for operation in traced.graph.get_operations()):
        # Replace functions inside the graph, such as a `call` that is decorated with tf.function, by their content.
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
        end, bounds = _analyse(convert_variables_to_constants_v2(traced))
    return _check_end(model.name, end, bounds, outputs)


def _analyse(function: Any) -> tuple[str, Bounds]:
    """Return the activation that computes the output of a concrete function, and the bounds of the output."""
    output = function.outputs[0]
    return find_activation(output)[0], _Analysis(function.inputs[0].op.name).bounds(output)


def _check_end(name: str, end: str, bounds: Bounds, outputs: np.ndarray) -> str:
    """Return what a model ends in, given its last activation, the bounds of its outputs, and examples of them."""
    single, (low, high) = outputs.shape[1] == 1, bounds or (math.nan, math.nan)
    sums_to_one = not single and (outputs >= 0).all() and np.allclose(outputs.sum(1), 1, atol=1e-4)
    if end == SOFTMAX and single:
        raise ExtractorError(f"The model {name} ends in a softmax of one output, which is always 1.",
                             "Use a sigmoid, or one output per class.")
    if end == SOFTMAX and not sums_to_one:
        raise ExtractorError(f"The model {name} ends in a softmax, but its outputs do not sum to 1.",
                             "Apply the softmax to the axis of the classes.")
    if sums_to_one:
        return SOFTMAX if end == SOFTMAX else PROBABILITIES
    if end == SIGMOID:
        return SIGMOID
    if 0 <= low and high <= 1 + TOLERANCE:
        return PROBABILITIES
    is_sum = low >= 0 and high < math.inf  # of probabilities
    if is_sum or -1 <= low and high <= 1 or single and (low >= 0 or high <= 0):
        raise ExtractorError(f"The outputs of the model {name} are {_describe_bounds(low, high)}, so they are neither "
                             "logits nor probabilities.", ENDS_THAT_WORK)
    if bounds != UNBOUNDED and (outputs >= 0).all() and (outputs <= 1).all():
        raise ExtractorError(f"Whether the model {name} returns logits or probabilities is not known: its outputs for "
                             "random photos are between 0 and 1, but it does not end in a softmax or in sigmoids.",
                             ENDS_THAT_WORK)
    return LOGITS


def _describe_bounds(low: float, high: float) -> str:
    if math.isinf(high):
        return f"never below {low:g}"
    return f"never above {high:g}" if math.isinf(low) else f"always between {low:g} and {high:g}"


def find_activation(tensor: Any) -> tuple[str, Any]:
    """Return the activation that computes a tensor of a graph, and its input.

    Operations that only change the shape or the type are ignored.

    Returns:
        "softmax" or "sigmoid", and a tensor that may have another shape; or "logits", and the tensor itself.
    """
    operation = _operation(tensor)
    source = tensor
    while operation is not None and operation.type in COPIES:
        source = operation.inputs[source.value_index if operation.type == "IdentityN" else 0]
        operation = _operation(source)
    kind = {"Softmax": SOFTMAX, "Sigmoid": SIGMOID}.get(operation.type if operation is not None else "", LOGITS)
    return (kind, tensor) if operation is None or kind == LOGITS else (kind, operation.inputs[0])


def _operation(tensor: Any) -> Any:
    """Return the operation of a graph that computes a tensor; None in eager execution and for tensors of Keras."""
    try:
        return tensor.op
    except AttributeError:
        return None


class _Analysis:
    """Interval arithmetic on the tensors of a graph, whose input is a placeholder."""

    def __init__(self, placeholder: str) -> None:
        self._placeholder = placeholder
        self._of_weights: dict[str, bool] = {}

    def bounds(self, tensor: Any) -> Bounds:
        """Return the smallest and the largest value that a tensor can have."""
        operation = tensor.op
        kind, inputs = operation.type, operation.inputs
        if kind == "Const":
            from tensorflow import make_ndarray
            values = make_ndarray(operation.get_attr("value"))
            is_number = values.size > 0 and values.dtype.kind in "fiu"
            return (float(values.min()), float(values.max())) if is_number else None
        if self._is_of_weights(tensor):
            return UNBOUNDED
        if kind in LINEAR:
            return UNBOUNDED if any(self._is_of_weights(factor) for factor in inputs) else None
        if kind in SELECTIONS:
            return self.bounds(inputs[tensor.value_index if kind == "IdentityN" else 0])
        if kind in ARITHMETIC:
            operands = [self.bounds(operand) for operand in inputs]
            return None if None in operands else ARITHMETIC[kind](operands)
        return BOUNDS.get(kind)

    def _is_of_weights(self, tensor: Any) -> bool:
        """Return whether a tensor depends only on weights and constants."""
        waiting, seen = [tensor.op], set()
        while waiting:
            operation = waiting.pop()
            if operation.name in seen:
                continue
            seen.add(operation.name)
            known = self._of_weights.get(operation.name)
            if known is False or operation.name == self._placeholder:
                self._of_weights[tensor.op.name] = False
                return False
            if not known:
                waiting.extend(operand.op for operand in operation.inputs)
        self._of_weights[tensor.op.name] = True
        return True


def _extremes(combine: Callable[[float, float], float], operands: Sequence[Any]) -> Bounds:
    """Return the bounds of an operation that is monotonic in each of its two operands."""
    values = [combine(first, second) for first in operands[0] for second in operands[1]]
    return None if any(map(math.isnan, values)) else (min(values), max(values))


def _product(operands: Sequence[Any]) -> Bounds:
    return _extremes(lambda first, second: 0.0 if 0 in (first, second) else first * second, operands)


def _quotient(operands: Sequence[Any]) -> Bounds:
    if operands[1] == UNBOUNDED:  # weights
        return UNBOUNDED
    return _extremes(lambda first, second: first / second, operands) if operands[1][0] > 0 else None


def _sum(operands: Sequence[Any]) -> Bounds:
    return sum(low for low, _ in operands), sum(high for _, high in operands)


def _union(operands: Sequence[Any]) -> Bounds:
    return min(low for low, _ in operands), max(high for _, high in operands)


# Functions of the bounds of all inputs.
ARITHMETIC: dict[str, Callable[[Sequence[Any]], Bounds]] = {
    "AddV2": _sum, "AddN": _sum, "BiasAdd": _sum, "Mul": _product, "RealDiv": _quotient,
    "ConcatV2": lambda operands: _union(operands[:-1]),  # without the axis
    "Sub": lambda operands: (operands[0][0] - operands[1][1], operands[0][1] - operands[1][0]),
    "Neg": lambda operands: (-operands[0][1], -operands[0][0]),
    "Maximum": lambda operands: _extremes(max, operands), "Minimum": lambda operands: _extremes(min, operands)}
