"""Reduce frozen graphs to what old versions of TensorFlow and other programs can read."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfpoets.tf_runtime import full_precision, import_tensorflow, redirect_native_stderr

# With these operations, control dependencies decide which branch runs.
CONTROL_FLOW = frozenset(("Enter", "Exit", "LoopCond", "Merge", "NextIteration", "RefMerge", "RefSwitch", "Switch"))
# These operations return their input unchanged. StopGradient matters only in training.
PASS_THROUGH = ("Identity", "StopGradient")
# Larger constants are neither computed in advance nor expanded, because they might make the file much larger.
MAX_CONSTANT_BYTES = 2 ** 20


def make_portable(graph_def: Any, outputs: Sequence[str]) -> Any:
    """Return a frozen graph without the nodes and attributes that its outputs do not need.

    The outputs have the same values. The following are removed:

    - nodes on which no output depends, such as a second placeholder, which OpenCV takes for another input;
    - Identity nodes, which freezing leaves behind, and StopGradient nodes;
    - control dependencies, which only order side effects, unless the graph contains control flow;
    - computations with constants, such as those of batch normalization, whose operations OpenCV does not have;
    - attributes with their default value. A newer TensorFlow adds attributes to operations, and an older one rejects
      those that it does not know, even with a default value.

    Batch normalization in float32 is written as the first version of the operation, which computes the same values.

    Args:
        graph_def: A frozen GraphDef.
        outputs: The names of the output nodes.
    """
    v1 = import_tensorflow().compat.v1
    portable = _keep_ancestors(graph_def, outputs)
    _fold_constants(portable, outputs)
    portable = _keep_ancestors(portable, outputs)
    _expand_constants(portable)
    _use_first_batch_norm(portable)
    with redirect_native_stderr(), v1.Graph().as_default():
        return v1.train.export_meta_graph(graph_def=portable, strip_default_attrs=True).graph_def


def _keep_ancestors(graph_def: Any, outputs: Sequence[str]) -> Any:
    """Return a copy with the outputs and the nodes on which they depend, in the same order."""
    inputs = _direct_inputs(graph_def)
    needed, waiting = set(outputs), list(outputs)
    while waiting:
        names = {name.lstrip("^").split(":")[0] for name in inputs[waiting.pop()]} - needed
        needed |= names
        waiting += names
    kept = type(graph_def)(versions=graph_def.versions)
    for node in graph_def.node:
        if node.name in needed:
            copy = kept.node.add()
            copy.CopyFrom(node)
            copy.input[:] = inputs[node.name]
            for field in ("experimental_debug_info", "experimental_type"):
                copy.ClearField(field)
    if _calls_functions(graph_def):
        kept.library.CopyFrom(graph_def.library)
    return kept


def _direct_inputs(graph_def: Any) -> dict[str, list[str]]:
    """Return the inputs of each node, without unnecessary control dependencies and with pass-through nodes skipped."""
    has_control_flow = any(node.op in CONTROL_FLOW for node in graph_def.node)
    inputs = {node.name: [name for name in node.input if has_control_flow or not name.startswith("^")]
              for node in graph_def.node}
    controlling = {name[1:] for names in inputs.values() for name in names if name.startswith("^")}
    sources = {node.name: inputs[node.name][0] for node in graph_def.node
               if node.op in PASS_THROUGH and len(inputs[node.name]) == 1 and node.name not in controlling}

    def skip(name: str) -> str:
        while name.removesuffix(":0") in sources:
            name = sources[name.removesuffix(":0")]
        return name
    return {node: [skip(name) for name in names] for node, names in inputs.items()}


def _calls_functions(graph_def: Any) -> bool:
    functions = {function.signature.name for function in graph_def.library.function}
    return any(node.op in functions or any(attribute.HasField("func") for attribute in node.attr.values())
               for node in graph_def.node)


def _fold_constants(graph_def: Any, outputs: Sequence[str]) -> None:
    """Replace operations that depend only on constants with their results.

    Only results that a remaining operation reads, and that do not exceed MAX_CONSTANT_BYTES, are stored.
    """
    tensorflow = import_tensorflow()
    v1 = tensorflow.compat.v1
    with redirect_native_stderr(), full_precision, v1.Graph().as_default() as graph:
        v1.import_graph_def(graph_def, name="")
        constants: set[Any] = set()
        for operation in graph.get_operations():  # in topological order
            if operation.type == "Const" or (_is_foldable(operation) and operation.name not in outputs
                                             and all(tensor.op in constants for tensor in operation.inputs)):
                constants.add(operation)
        folded = [operation.outputs[0] for operation in graph.get_operations()
                  if operation in constants and operation.type != "Const"
                  and any(consumer not in constants for consumer in operation.outputs[0].consumers())]
        with v1.Session() as session:
            results = dict(zip((tensor.op.name for tensor in folded), session.run(folded)))
    for node in graph_def.node:
        if node.name in results and results[node.name].nbytes <= MAX_CONSTANT_BYTES:
            value = tensorflow.make_tensor_proto(results[node.name])
            node.op = "Const"
            del node.input[:]
            node.attr.clear()
            node.attr["dtype"].type = value.dtype
            node.attr["value"].tensor.CopyFrom(value)


def _expand_constants(graph_def: Any) -> None:
    """Store every element of a constant, because TensorFlow stores equal elements only once, which OpenCV misreads."""
    tensorflow = import_tensorflow()
    for tensor in (node.attr["value"].tensor for node in graph_def.node if node.op == "Const"):
        if tensor.tensor_shape.dim and not tensor.tensor_content:
            values = tensorflow.make_ndarray(tensor)
            if values.nbytes <= MAX_CONSTANT_BYTES:
                tensor.CopyFrom(tensorflow.make_tensor_proto(values))


def _is_foldable(operation: Any) -> bool:
    """Return whether an operation has the same result every time if its inputs are constants."""
    return (len(operation.outputs) == 1 and len(operation.inputs) > 0 and not operation.control_inputs
            and not operation.op_def.is_stateful and operation.type not in CONTROL_FLOW)


def _use_first_batch_norm(graph_def: Any) -> None:
    """Replace float32 FusedBatchNormV3 for inference with FusedBatchNorm, because TensorFlow 1.13 does not have it."""
    float32 = import_tensorflow().float32.as_datatype_enum
    for node in graph_def.node:
        if node.op == "FusedBatchNormV3" and not node.attr["is_training"].b and node.attr["T"].type == float32:
            node.op = "FusedBatchNorm"
            for name in ("U", "exponential_avg_factor"):
                node.attr.pop(name, None)
