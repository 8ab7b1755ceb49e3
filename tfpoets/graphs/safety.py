"""Check that a graph from another person only computes: no files, no Python, no network and no loops.

Only operations of a list are allowed (`allowed_operations.py`), and only in the part of a graph that is run. The
functions that it calls are part of it, at any depth. Nothing is run during the check.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Set
from dataclasses import dataclass
from math import prod
from typing import Any

from tfpoets.errors import ModelError

from .allowed_operations import ALLOWED_OPERATIONS, DECODERS, EFFECTS
from .model_files import DAMAGED_REMEDY, TRUST_REMEDY

# The largest networks for photos have tens of thousands of operations, counted each time that a function is called.
MAX_OPERATIONS = 1_000_000
# 2 GiB of float32 numbers, which is more than a file of a graph can contain.
MAX_CONSTANT_ELEMENTS = 2 ** 29
# DataType of variant and resource constants, which can contain anything (types.proto).
OPAQUE_TYPES = (20, 21)


def extract_inference_graph(graph_def: Any, input_node: str, outputs: Collection[str], source: str,
                            is_checked: bool = True) -> Any:
    """Return the part of a frozen graph that computes its outputs from its input.

    Args:
        graph_def: A GraphDef, which is not changed.
        input_node: The name of the node that is fed. What it was computed from is not part of the result.
        outputs: The names of the output nodes.
        source: The name of the graph in error messages.
        is_checked: Whether its operations are checked.

    Raises:
        ModelError: A node is missing, or an operation is not allowed.
    """
    needed = _find_ancestors(graph_def, (input_node, *outputs), source, fed=input_node)
    part = type(graph_def)(versions=graph_def.versions)
    for node in graph_def.node:
        if node.name in needed:
            copy = part.node.add()
            copy.CopyFrom(node)
            if node.name == input_node and node.op not in ("Placeholder", "PlaceholderV2"):
                _make_placeholder(copy)
            # Without this, TensorFlow requires nodes on which no output depends.
            copy.attr.pop("_class", None)
    if not is_checked:
        part.library.CopyFrom(graph_def.library)
        return part
    called = FunctionLibrary(graph_def.library, source).check(part.node, ALLOWED_OPERATIONS)
    part.library.function.extend(function for function in graph_def.library.function
                                 if function.signature.name in called)
    return part


def check_whole_graph(graph_def: Any, source: str) -> None:
    """Raise a ModelError unless all operations of a graph, also those that are never run, are allowed."""
    FunctionLibrary(graph_def.library, source).check(graph_def.node, ALLOWED_OPERATIONS | DECODERS)


def find_nodes(graph_def: Any, roots: Collection[str], source: str) -> list[Any]:
    """Return the nodes with these names and all nodes that they depend on; raise a ModelError if one is missing."""
    needed = _find_ancestors(graph_def, roots, source)
    return [node for node in graph_def.node if node.name in needed]


def node_name(reference: str) -> str:
    """Return the name of the node in a reference to a tensor ("name:0") or in a control dependency ("^name")."""
    return reference.lstrip("^").split(":")[0]


def _find_ancestors(graph_def: Any, roots: Collection[str], source: str, fed: str = "") -> set[str]:
    """Return the names of nodes and of all nodes that they depend on, except through the node `fed`."""
    inputs: dict[str, list[str]] = {}
    for node in graph_def.node:
        # A name that occurs twice is an error, which TensorFlow reports. Until then, both nodes count.
        inputs.setdefault(node.name, []).extend(map(node_name, node.input))
    for name in roots:
        if name not in inputs:
            raise ModelError(f"{source} has no node {name!r}.", DAMAGED_REMEDY)
    needed, waiting = set(roots), [name for name in roots if name != fed]
    while waiting:
        name = waiting.pop()
        for parent in inputs[name]:
            if parent not in inputs:
                raise ModelError(f"{source} is damaged: its node {name!r} uses {parent!r}, which is missing.",
                                 DAMAGED_REMEDY)
            if parent not in needed:
                needed.add(parent)
                if parent != fed:
                    waiting.append(parent)
    return needed


def _make_placeholder(node: Any) -> None:
    """Turn a node of float32 numbers into a placeholder."""
    from tensorflow.core.framework.types_pb2 import DT_FLOAT
    node.op = "Placeholder"
    del node.input[:]
    node.attr.clear()
    node.attr["dtype"].type = DT_FLOAT


@dataclass
class _Call:
    """A function whose operations are being checked.

    Attributes:
        name: The name of the function; "" for the graph itself.
        remaining: The names of the functions that it calls and that have not been checked yet.
        n_operations: The number of its operations, including those of the functions that were checked.
    """

    name: str
    remaining: Iterator[str]
    n_operations: int


class FunctionLibrary:
    """The functions of a graph, and the check of what runs when they are called.

    Args:
        library: A FunctionDefLibrary.
        source: The name of the graph in error messages.

    Raises:
        ModelError: Two functions have the same name.
    """

    def __init__(self, library: Any, source: str):
        self._source = source
        self._functions: dict[str, Any] = {}
        for function in library.function:
            if function.signature.name in self._functions:
                raise ModelError(f"{source} is damaged: it contains the function {function.signature.name!r} twice.",
                                 DAMAGED_REMEDY)
            self._functions[function.signature.name] = function
        self._substitutes = self._group_implementations()
        self._gradients: dict[str, list[str]] = {}
        for gradient in library.gradient:
            self._gradients.setdefault(gradient.function_name, []).append(gradient.gradient_func)
        self._registered_gradients = {gradient.registered_op_type: gradient.gradient_func
                                      for gradient in library.registered_gradients}

    def check_functions(self, names: Iterable[str], allowed: Set[str]) -> set[str]:
        """Check functions and all functions that they call; see `check`."""
        return self._check([], list(names), allowed)

    def check(self, nodes: Iterable[Any], allowed: Set[str]) -> set[str]:
        """Check nodes, and all nodes of all functions that they call.

        Args:
            nodes: NodeDef messages.
            allowed: The operations that are allowed.

        Returns:
            The names of the functions.

        Raises:
            ModelError: An operation is not allowed, or functions call each other without end or too often.
        """
        return self._check(nodes, [], allowed)

    def _check(self, nodes: Iterable[Any], names: list[str], allowed: Set[str]) -> set[str]:
        """Check nodes and functions. A loop instead of recursion, so that the depth of the calls is not limited."""
        sizes: dict[str, int] = {}
        examine = _Examiner(self._source, allowed, self._calls)
        n_operations, calls = examine(nodes)
        stack = [_Call("", iter([*calls, *names]), n_operations)]
        active = {""}
        while True:
            current = stack[-1]
            name = next(current.remaining, None)
            if name is None:
                stack.pop()
                active.discard(current.name)
                sizes[current.name] = current.n_operations
                if not stack:
                    return sizes.keys() - {""}
                stack[-1].n_operations += current.n_operations
            elif name in active:
                raise ModelError(f"{self._source} contains the function {name!r}, which calls itself, and might never "
                                 "end.", TRUST_REMEDY)
            elif name in sizes:
                current.n_operations += sizes[name]
            else:
                n_operations, calls = examine(self._body(name))
                stack.append(_Call(name, iter(calls), n_operations))
                active.add(name)
            if stack[-1].n_operations > MAX_OPERATIONS:
                raise ModelError(f"{self._source} runs more than {MAX_OPERATIONS:,} operations.", TRUST_REMEDY)

    def _body(self, name: str) -> Iterable[Any]:
        if name not in self._functions:
            raise ModelError(f"{self._source} is damaged: it calls the function {name!r}, which is missing.",
                             DAMAGED_REMEDY)
        return self._functions[name].node_def

    def _calls(self, node: Any) -> list[str]:
        """Return the names of the functions that a node may call."""
        # A function takes precedence over an operation of the same name.
        names = [node.op] if node.op in self._functions else []
        waiting = list(node.attr.values())
        while waiting:
            attribute = waiting.pop()
            for function in (attribute.func, *attribute.list.func):
                if function.name:
                    names.append(function.name)
                waiting += function.attr.values()
        if "_gradient_op_type" in node.attr:
            kind = node.attr["_gradient_op_type"].s.decode("utf-8", "replace")
            names += [self._registered_gradients[kind]] if kind in self._registered_gradients else []
        return [other for name in names
                for other in (name, *self._substitutes.get(name, ()), *self._gradients.get(name, ()))]

    def _group_implementations(self) -> dict[str, list[str]]:
        """Return for each function the others that TensorFlow may run instead, as implementations of one interface."""
        groups: dict[bytes, list[str]] = {}
        for name, function in self._functions.items():
            if "api_implements" in function.attr:
                groups.setdefault(function.attr["api_implements"].s, []).append(name)
        return {name: [other for other in names if other != name] for names in groups.values() for name in names}


class _Examiner:
    """A function that checks the nodes of a graph or function, and returns their number and the functions they call.

    It counts the elements of all constants that it has seen.

    Args:
        source: The name of the graph in error messages.
        allowed: The operations that are allowed.
        find_calls: Returns the names of the functions that a node may call.
    """

    def __init__(self, source: str, allowed: Set[str], find_calls: Callable[[Any], list[str]]):
        self._source, self._allowed, self._find_calls = source, allowed, find_calls
        self._n_elements = 0

    def __call__(self, nodes: Iterable[Any]) -> tuple[int, list[str]]:
        count, names = 0, []
        for node in nodes:
            calls = self._find_calls(node)
            if node.op not in self._allowed and node.op not in calls:
                self._refuse(node)
            if node.op == "Const":
                self._check_constant(node)
            names += calls
            count += 1
        return count, names

    def _refuse(self, node: Any) -> None:
        effect = EFFECTS.get(node.op)
        raise ModelError(f"{self._source} contains the operation {node.op} (node {node.name[:100]!r}), which "
                         + (f"{effect}." if effect else "is not known to be harmless."), TRUST_REMEDY)

    def _check_constant(self, node: Any) -> None:
        """Raise a ModelError for constants that need much more memory than the file, or are not numbers or text."""
        tensor = node.attr["value"].tensor
        if tensor.dtype in OPAQUE_TYPES:
            raise ModelError(f"{self._source} contains a constant (node {node.name[:100]!r}) of an unsupported type.",
                             TRUST_REMEDY)
        self._n_elements += prod(max(dim.size, 0) for dim in tensor.tensor_shape.dim)
        if self._n_elements > MAX_CONSTANT_ELEMENTS:
            raise ModelError(f"{self._source} contains constants with more than {MAX_CONSTANT_ELEMENTS:,} numbers.",
                             TRUST_REMEDY)
