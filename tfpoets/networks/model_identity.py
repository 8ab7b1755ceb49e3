"""Identify a Keras model and a training step, so that only runs that train the same thing share checkpoints."""
from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Iterable
from typing import Any

import numpy as np

from tfpoets.errors import OptionError
from tfpoets.tf_runtime import import_tensorflow

# Attributes of operations that contain generated names.
NAME_ATTRIBUTES = ("_class", "container", "shared_name", "debug_name", "_gradient_op_type", "_user_specified_name")
MAX_DEPTH = 20


def model_identity(model: Any, shape: tuple[int, int, int]) -> str:
    """Return a hash of what a model computes in training, and of the values of its variables.

    The names of layers are not part of it, because Keras numbers them in each process.

    Args:
        model: The Keras model.
        shape: Height, width and channels of its input.
    """
    tensorflow = import_tensorflow()

    def train(pixels: Any) -> Any:
        return model(pixels, training=True), model.losses
    graph = tensorflow.function(train, autograph=False).get_concrete_function(
        tensorflow.TensorSpec([None, *shape], tensorflow.float32)).graph.as_graph_def()
    digest = hashlib.blake2b(digest_size=16)
    functions = {function.signature.name: function.node_def for function in graph.library.function}
    _add_nodes(digest, graph.node, functions, 0)
    for variable in model.variables:
        digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    for variable in model.trainable_variables:
        digest.update(str(variable.shape).encode())
    return digest.hexdigest()


def _add_nodes(digest: Any, nodes: Any, functions: dict[str, Any], depth: int) -> None:
    """Add operations to a digest, with their attributes and connections, but without their names."""
    numbers = {node.name: str(number) for number, node in enumerate(nodes)}
    for node in nodes:
        digest.update(node.op.encode())
        for connection in node.input:
            name, _, output = connection.lstrip("^").partition(":")
            digest.update(f"{numbers.get(name, name)}:{output}".encode())
        for name, value in sorted(node.attr.items()):
            if value.HasField("func"):
                if depth < MAX_DEPTH:
                    _add_nodes(digest, functions.get(value.func.name, ()), functions, depth + 1)
            elif name not in NAME_ATTRIBUTES:
                digest.update(name.encode() + value.SerializeToString(deterministic=True))


def step_identity(train_step: Any) -> str:
    """Return a hash of a training step: its code, constants, and the values that it refers to.

    Raises:
        OptionError: The step is not a function whose code can be compared.
    """
    function = getattr(train_step, "python_function", train_step)  # of a tf.function
    if not isinstance(function, types.FunctionType | types.MethodType | functools.partial):
        raise OptionError("`train_step` is not a function, so checkpoints cannot be assigned to it.",
                          "Use a function (def train_step(model, x, y)), or omit `checkpoint_dir`.", "train_step")
    digest = _CodeDigest()
    digest.add(function)
    return digest.hash.hexdigest()


class _CodeDigest:
    """A hash of functions and of the values that they refer to."""

    def __init__(self) -> None:
        self.hash = hashlib.blake2b(digest_size=16)
        self._seen: set[int] = set()

    def add(self, value: Any) -> None:
        """Add a value. Of anything but functions, plain values, containers and arrays, only the class is added."""
        value = getattr(value, "python_function", value)
        self.hash.update(type(value).__qualname__.encode())
        if isinstance(value, str | bytes | int | float | complex | types.NoneType):
            self.hash.update(repr(value).encode())
        elif id(value) in self._seen:
            return
        self._seen.add(id(value))
        if isinstance(value, tuple | list):
            self._add_all(value)
        elif isinstance(value, dict):
            self._add_all(item for pair in value.items() for item in pair)
        elif isinstance(value, frozenset | set):
            self._add_all(sorted(value, key=repr))
        elif isinstance(value, functools.partial):
            self._add_all((value.func, value.args, value.keywords))
        elif isinstance(value, types.MethodType):
            self.add(value.__func__)
        elif isinstance(value, types.CodeType):
            self._add_all((value.co_code, value.co_names, value.co_consts))
        elif isinstance(value, types.FunctionType):
            self._add_function(value)
        elif hasattr(value, "numpy") or isinstance(value, np.ndarray):
            self.hash.update(np.asarray(value).tobytes())

    def _add_all(self, values: Iterable[Any]) -> None:
        for value in values:
            self.add(value)

    def _add_function(self, function: types.FunctionType) -> None:
        """Add the code of a function, its default values, its closure and the global values that it uses."""
        code, known = function.__code__, function.__globals__
        if "site-packages" in code.co_filename:  # an installed library, which does not change between two runs
            self.hash.update(f"{function.__module__}.{function.__qualname__}".encode())
            return
        self._add_all((code, function.__defaults__, function.__kwdefaults__))
        self._add_all(cell.cell_contents for cell in function.__closure__ or ())
        self._add_all(known[name] for name in code.co_names
                      if name in known and not isinstance(known[name], types.ModuleType))
