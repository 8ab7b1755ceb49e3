"""Models that try to write files, read files or run for ever: frozen graphs and SavedModels for attacks and tests.

Attacks that write a file write to the path CANARY in the working folder.
"""
from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.tf_runtime import import_tensorflow

CANARY, SIZE, DEPTH = "canary.txt", 32, 3
# An attack takes a tensor and returns it, after whatever else it does.
Attack = Callable[[Any], Any]


def write_file(x: Any) -> Any:
    """Write a file."""
    tensorflow = import_tensorflow()
    with tensorflow.control_dependencies([tensorflow.raw_ops.WriteFile(filename=CANARY, contents="written")]):
        return tensorflow.identity(x)


def read_file(x: Any) -> Any:
    """Read a file, and let the result depend on it."""
    tensorflow = import_tensorflow()
    return x + tensorflow.cast(tensorflow.strings.length(tensorflow.io.read_file("/etc/hostname")), x.dtype)


def save_tensor(x: Any) -> Any:
    """Write a checkpoint."""
    tensorflow = import_tensorflow()
    with tensorflow.control_dependencies([tensorflow.raw_ops.SaveV2(
            prefix=CANARY, tensor_names=["x"], shape_and_slices=[""], tensors=[tensorflow.constant(1.0)])]):
        return tensorflow.identity(x)


def call_python(x: Any) -> Any:
    """Call a Python function."""
    tensorflow = import_tensorflow()

    def write(values: Any) -> Any:
        Path(CANARY).write_text("written")
        return values
    return tensorflow.ensure_shape(tensorflow.numpy_function(write, [x], x.dtype), x.shape)


def print_to_file(x: Any) -> Any:
    """Append to a file by printing."""
    tensorflow = import_tensorflow()
    with tensorflow.control_dependencies([tensorflow.raw_ops.PrintV2(
            input="written", output_stream=f"file://{CANARY}", end="\n")]):
        return tensorflow.identity(x)


def list_files(x: Any) -> Any:
    """List the files of a folder."""
    tensorflow = import_tensorflow()
    return x + tensorflow.cast(tensorflow.size(tensorflow.io.matching_files("/etc/*")), x.dtype)


def loop(x: Any) -> Any:
    """Repeat for ever."""
    return import_tensorflow().while_loop(lambda value: True, lambda value: (value,), [x])[0]


def call_function(attack: Attack) -> Attack:
    """Return an attack that is two function calls below the graph."""
    def nested(x: Any) -> Any:
        tensorflow = import_tensorflow()
        inner = tensorflow.function(attack, autograph=False)
        return tensorflow.ensure_shape(tensorflow.function(lambda x: inner(x), autograph=False)(x), x.shape)
    return nested


def in_branch(x: Any) -> Any:
    """Write a file in one branch of a condition."""
    tensorflow = import_tensorflow()
    return tensorflow.cond(tensorflow.reduce_sum(x) > -1e9, lambda: write_file(x), lambda: x)


def fill_memory(x: Any) -> Any:
    """Allocate 64 GB, with operations that are all allowed."""
    tensorflow = import_tensorflow()
    side = tensorflow.cast(tensorflow.reduce_max(x) * 0 + 128_000, tensorflow.int32)
    return x + tensorflow.reduce_max(tensorflow.fill([side, side], 1.0)) * 0


ATTACKS: dict[str, Attack] = {
    "WriteFile": write_file, "ReadFile": read_file, "SaveV2": save_tensor, "PyFunc": call_python,
    "PrintV2": print_to_file, "MatchingFiles": list_files, "loop": loop, "branch": in_branch,
    "function WriteFile": call_function(write_file), "function PyFunc": call_function(call_python),
    "function loop": call_function(loop), "memory": fill_memory}


def network(x: Any, attack: Attack = lambda x: x) -> Any:
    """Return DEPTH probabilities for each photo, after an attack."""
    tensorflow = import_tensorflow()
    weights = np.random.default_rng(0).normal(size=(3, DEPTH)).astype(np.float32)
    means = tensorflow.ensure_shape(attack(tensorflow.reduce_mean(x, [1, 2])), [None, 3])
    return tensorflow.nn.softmax(tensorflow.matmul(means, weights))


@contextlib.contextmanager
def control_flow(version: int) -> Iterator[None]:
    """Build loops and conditions from the operations of TensorFlow 1 (Enter, Switch) or 2 (While, If)."""
    v1 = import_tensorflow().compat.v1
    was_enabled = v1.control_flow_v2_enabled()
    (v1.enable_control_flow_v2 if version == 2 else v1.disable_control_flow_v2)()
    try:
        yield
    finally:
        (v1.enable_control_flow_v2 if was_enabled else v1.disable_control_flow_v2)()


def frozen_graph(attack: Attack = lambda x: x, version: int = 2) -> Any:
    """Return a GraphDef with the nodes `input` and `final_result`, as TensorFlow for Poets names them."""
    tensorflow = import_tensorflow()
    with control_flow(version), tensorflow.Graph().as_default() as graph:
        pixels = tensorflow.compat.v1.placeholder(tensorflow.float32, [None, SIZE, SIZE, 3], "input")
        # TensorFlow for Poets used MobileNet, which is recognized by this scope.
        with tensorflow.compat.v1.name_scope("MobilenetV1"):
            probabilities = network(pixels, attack)
        tensorflow.identity(probabilities, "final_result")
        return graph.as_graph_def()


def write_graph(folder: Path, graph_def: Any) -> Path:
    """Write a GraphDef with a label file, as TensorFlow for Poets does, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "retrained_graph.pb").write_bytes(graph_def.SerializeToString())
    (folder / "retrained_labels.txt").write_text("a\nb\nc\n")
    return folder / "retrained_graph.pb"


def recursive_graph() -> Any:
    """Return a graph that calls a function that calls itself."""
    graph_def = frozen_graph(call_function(lambda x: x + 1))
    calls = [node for function in graph_def.library.function for node in function.node_def
             if node.op.endswith("PartitionedCall")]
    caller = next(function for function in graph_def.library.function if calls[0] in list(function.node_def))
    calls[0].attr["f"].func.name = caller.signature.name
    return graph_def


def doubling_graph(depth: int = 40) -> Any:
    """Return a graph with functions that call the next function twice, so that 2 ** depth operations are run."""
    graph_def = frozen_graph(call_function(lambda x: x + 1))
    library = graph_def.library
    outer = next(function for function in library.function
                 if any(node.op.endswith("PartitionedCall") for node in function.node_def))
    called = outer.signature.name
    for number in range(depth):
        copy = library.function.add()
        copy.CopyFrom(outer)
        copy.signature.name = f"level_{number}"
        call = next(node for node in copy.node_def if node.op.endswith("PartitionedCall"))
        call.attr["f"].func.name = called
        second = copy.node_def.add()
        second.CopyFrom(call)
        second.name = f"{call.name}_again"
        called = copy.signature.name
    next(node for node in graph_def.node if node.op.endswith("PartitionedCall")).attr["f"].func.name = called
    return graph_def


def shadowing_graph() -> Any:
    """Return a graph with a function that has the name of a harmless operation, which it replaces."""
    graph_def = frozen_graph(call_function(write_file))
    call = next(node for node in graph_def.node if node.op.endswith("PartitionedCall"))
    function = next(function for function in graph_def.library.function
                    if function.signature.name == call.attr["f"].func.name)
    function.signature.name = "Relu"
    call.op = "Relu"
    call.attr.clear()
    return graph_def


def huge_constant_graph() -> Any:
    """Return a graph with a constant of 4 TB, in a few bytes."""
    graph_def = frozen_graph()
    tensor = next(node for node in graph_def.node if node.op == "Const" and node.attr["value"].tensor.dtype == 1
                  ).attr["value"].tensor
    tensor.ClearField("tensor_content")
    tensor.float_val[:] = [1.0]
    for dimension in tensor.tensor_shape.dim:
        dimension.size = 1 << 20
    return graph_def


def nan_graph() -> Any:
    """Return a graph whose answers are not numbers."""
    return frozen_graph(lambda x: x * float("nan"))


def many_label_graph() -> Any:
    """Return a graph with DEPTH answers that claims to be an ImageNet network; its label file does not fit."""
    return frozen_graph(lambda x: import_tensorflow().zeros_like(x))


GRAPHS: dict[str, Callable[[], Any]] = {
    **{f"{name}, control flow {version}": (lambda attack=attack, version=version: frozen_graph(attack, version))
       for name, attack in ATTACKS.items() for version in (1, 2) if version == 2 or name in ("loop", "branch")},
    "recursion": recursive_graph, "doubling": doubling_graph, "shadowing": shadowing_graph,
    "huge constant": huge_constant_graph, "NaN": nan_graph}
