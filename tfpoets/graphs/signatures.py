"""Load the signatures of TensorFlow 1 and TensorFlow 2 SavedModels as functions with a common interface."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfpoets.tf_runtime import import_tensorflow, redirect_native_stderr


@dataclass(frozen=True)
class Signature:
    """One function of a SavedModel.

    Attributes:
        inputs, outputs: A TensorSpec for each input and output, by name.
        call: A function that takes tensors by input name and the name of an output, and returns that output's tensor.
        call_training: A function from photos to feature vectors in training mode; None if the SavedModel has no
            such function.
    """

    inputs: dict[str, Any]
    outputs: dict[str, Any]
    call: Callable[[dict[str, Any], str], Any]
    call_training: Callable[[Any], Any] | None = None

    def __str__(self) -> str:
        inputs = ", ".join(format_shape(spec) for spec in self.inputs.values())
        return f"{inputs} to {', '.join(format_shape(spec) for spec in self.outputs.values())}"


def format_shape(spec: Any) -> str:
    """Return the shape of a TensorSpec as text for messages, such as "[n, 224, 224, 3]"."""
    return str(list(spec.shape)).replace("None", "n") if spec.shape.rank is not None else "an unknown shape"


def has_variables(saved_model: Any) -> bool:
    """Return whether a SavedModel message has variables, whose values are in separate files."""
    graphs = [meta_graph.graph_def for meta_graph in saved_model.meta_graphs]
    operations = {node.op for graph in graphs for node in graph.node}
    operations |= {node.op for graph in graphs for function in graph.library.function for node in function.node_def}
    return bool(operations & {"VarHandleOp", "VariableV2", "ReadVariableOp"})


def find_inference_graph(saved_model: Any) -> Any:
    """Return the MetaGraphDef of a SavedModel message to load for inference, or None if all are for training.

    The graph tagged `serve` is preferred, then one without tags (in a TF Hub module of TensorFlow 1), then any other.
    """
    candidates = [graph for graph in saved_model.meta_graphs if "train" not in graph.meta_info_def.tags]
    return min(candidates, default=None,
               key=lambda graph: ("serve" not in graph.meta_info_def.tags, len(graph.meta_info_def.tags)))


def load_signatures(folder: Path, meta_graph: Any) -> dict[str, Signature]:
    """Load the signatures of one graph of a SavedModel, by name.

    Args:
        folder: The folder of the SavedModel.
        meta_graph: The MetaGraphDef of that graph, from its saved_model.pb.

    Raises:
        Exception: A file is damaged. TensorFlow raises errors of many types in this case.
    """
    tags = list(meta_graph.meta_info_def.tags)
    with redirect_native_stderr():
        if meta_graph.object_graph_def.nodes:
            return _load_tf2_signatures(folder, tags)
        return _load_tf1_signatures(folder, meta_graph, tags)


@dataclass(frozen=True)
class _TF2Signature:
    """The `call` of a TensorFlow 2 signature.

    It keeps a reference to the SavedModel, since TensorFlow deletes the variables of an unreferenced one.
    """

    saved_model: Any
    function: Any

    def __call__(self, inputs: dict[str, Any], output: str) -> Any:
        return self.function(**inputs)[output]


@dataclass(frozen=True)
class _ModuleCall:
    """One of the concrete functions behind the `__call__` of a reusable SavedModel, from photos to feature vectors.

    It keeps a reference to the SavedModel for the same reason as `_TF2Signature`.
    """

    saved_model: Any
    function: Any
    input_spec: Any

    def __call__(self, pixels: Any) -> Any:
        return self.function(pixels)

    def as_signature(self, call_training: Callable[[Any], Any] | None) -> Signature:
        return Signature({"inputs": self.input_spec}, {"default": self.function.structured_outputs},
                         lambda inputs, _: self(*inputs.values()), call_training)


def _load_tf2_signatures(folder: Path, tags: list[str]) -> dict[str, Signature]:
    """Load the signatures of a TensorFlow 2 SavedModel, or its `__call__` if it has none."""
    saved_model = import_tensorflow().saved_model.load(str(folder), tags=tags)
    call_training = _find_module_call(saved_model, training=True)
    signatures = {name: Signature(dict(function.structured_input_signature[1]), dict(function.structured_outputs),
                                  _TF2Signature(saved_model, function), call_training)
                  for name, function in saved_model.signatures.items()}
    module_call = _find_module_call(saved_model, training=False)
    if not signatures and module_call is not None:
        return {"default": module_call.as_signature(call_training)}
    return signatures


def _find_module_call(saved_model: Any, training: bool) -> _ModuleCall | None:
    """Return the `__call__` of a reusable SavedModel in training or inference mode, or None if it has none.

    Such a module has one concrete function for each combination of arguments
    (tensorflow.org/hub/reusable_saved_models).
    """
    tensorflow = import_tensorflow()
    for function in getattr(getattr(saved_model, "__call__", None), "concrete_functions", ()):
        positional, named = function.structured_input_signature
        arguments = [*positional, *named.values()]
        specs = [argument for argument in arguments if isinstance(argument, tensorflow.TensorSpec)]
        is_training = True in [argument for argument in arguments if isinstance(argument, bool)]
        if len(specs) == 1 and is_training == training and hasattr(function.structured_outputs, "shape"):
            return _ModuleCall(saved_model, function, specs[0])
    return None


@dataclass(frozen=True)
class _TF1Signature:
    """The `call` of a TensorFlow 1 signature, whose graph is imported with its variables frozen."""

    graph_def: Any
    signature_def: Any

    def __call__(self, inputs: dict[str, Any], output: str) -> Any:
        input_map = {self.signature_def.inputs[name].name: tensor for name, tensor in inputs.items()}
        output_tensor = self.signature_def.outputs[output].name
        return import_tensorflow().graph_util.import_graph_def(self.graph_def, input_map, [output_tensor])[0]


def _load_tf1_signatures(folder: Path, meta_graph: Any, tags: list[str]) -> dict[str, Signature]:
    """Load signatures of TensorFlow 1, frozen in a session, since TensorFlow 2 cannot freeze reference variables."""
    v1 = import_tensorflow().compat.v1
    signature_defs = {name: signature_def for name, signature_def in meta_graph.signature_def.items()
                      if all(info.name for info in signature_def.outputs.values())}
    with v1.Graph().as_default() as graph, v1.Session() as session:
        v1.saved_model.load(session, tags, str(folder))
        graph_defs = {name: v1.graph_util.convert_variables_to_constants(
            session, graph.as_graph_def(), [_node_name(info) for info in signature_def.outputs.values()])
            for name, signature_def in signature_defs.items()}
    return {name: Signature({key: _tensor_spec(info) for key, info in signature_def.inputs.items()},
                            {key: _tensor_spec(info) for key, info in signature_def.outputs.items()},
                            _TF1Signature(graph_defs[name], signature_def))
            for name, signature_def in signature_defs.items()}


def _node_name(info: Any) -> str:
    return info.name.split(":")[0]


def _tensor_spec(info: Any) -> Any:
    tensorflow = import_tensorflow()
    return tensorflow.TensorSpec(tensorflow.TensorShape(info.tensor_shape), tensorflow.as_dtype(info.dtype))
