"""The signatures of a SavedModel, of TensorFlow 2 or of TensorFlow 1, as functions that are alike."""
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
        inputs, outputs: a TensorSpec for each, by name.
        call: from tensors by input name, and an output's name, to that output's tensor.
        train: from photos to vectors as the module does it while it is trained; None where it was not saved so.
    """

    inputs: dict[str, Any]
    outputs: dict[str, Any]
    call: Callable[[dict[str, Any], str], Any]
    train: Callable[[Any], Any] | None = None

    def __str__(self) -> str:
        inputs = ", ".join(shape_text(spec) for spec in self.inputs.values())
        return f"{inputs} to {', '.join(shape_text(spec) for spec in self.outputs.values())}"


def shape_text(spec: Any) -> str:
    """Return the shape of a TensorSpec as text for messages: [n, 224, 224, 3]."""
    return str(list(spec.shape)).replace("None", "n") if spec.shape.rank is not None else "an unknown shape"


def has_variables(saved_model: Any) -> bool:
    """Return whether a graph of a SavedModel message has variables, whose values are in files of their own."""
    graphs = [meta_graph.graph_def for meta_graph in saved_model.meta_graphs]
    operations = {node.op for graph in graphs for node in graph.node}
    operations |= {node.op for graph in graphs for function in graph.library.function for node in function.node_def}
    return bool(operations & {"VarHandleOp", "VariableV2", "ReadVariableOp"})


def inference_graph(saved_model: Any) -> Any:
    """Return the MetaGraphDef of a SavedModel message to load for inference, or None where all are for training.

    It is the one tagged `serve`, else the one without tags (of a TF Hub module of TensorFlow 1), else any other.
    """
    usable = [graph for graph in saved_model.meta_graphs if "train" not in graph.meta_info_def.tags]
    return min(usable, default=None,
               key=lambda graph: ("serve" not in graph.meta_info_def.tags, len(graph.meta_info_def.tags)))


def load_signatures(folder: Path, meta_graph: Any) -> dict[str, Signature]:
    """Load the signatures of one graph of a SavedModel, by name.

    Args:
        folder: the SavedModel.
        meta_graph: the MetaGraphDef of that graph, from its saved_model.pb.

    Raises:
        Exception: whatever TensorFlow raises over damaged files.
    """
    tags = list(meta_graph.meta_info_def.tags)
    with redirect_native_stderr():
        if meta_graph.object_graph_def.nodes:
            return _of_tensorflow_2(folder, tags)
        return _of_tensorflow_1(folder, meta_graph, tags)


def _of_tensorflow_2(folder: Path, tags: list[str]) -> dict[str, Signature]:
    loaded = import_tensorflow().saved_model.load(str(folder), tags=tags)

    train = _call_with(loaded, training=True)

    def signature(function: Any) -> Signature:
        def call(inputs: dict[str, Any], output: str, kept: Any = loaded) -> Any:  # `loaded` keeps variables alive
            return function(**inputs)[output]
        return Signature(dict(function.structured_input_signature[1]), dict(function.structured_outputs), call,
                         train and train[2])
    found = {name: signature(function) for name, function in loaded.signatures.items()}
    called = _call_with(loaded, training=False)
    if found or called is None:
        return found
    spec, output, function = called
    return {"default": Signature({"inputs": spec}, {"default": output},
                                 lambda inputs, _: function(*inputs.values()), train and train[2])}


def _call_with(loaded: Any, training: bool) -> tuple[Any, Any, Callable[[Any], Any]] | None:
    """What a reusable SavedModel does when it is called: the specs of input and output, and the function.

    Such a module has a function for each way it can be called (tensorflow.org/hub/reusable_saved_models).
    """
    tensorflow = import_tensorflow()
    for function in getattr(getattr(loaded, "__call__", None), "concrete_functions", ()):
        positional, named = function.structured_input_signature
        values = [*positional, *named.values()]
        specs = [value for value in values if isinstance(value, tensorflow.TensorSpec)]
        trains = True in [value for value in values if isinstance(value, bool)]
        output = function.structured_outputs
        if len(specs) == 1 and trains == training and hasattr(output, "shape"):
            def call(pixels: Any, function: Any = function, kept: Any = loaded) -> Any:
                return function(pixels)
            return specs[0], output, call
    return None


def _of_tensorflow_1(folder: Path, meta_graph: Any, tags: list[str]) -> dict[str, Signature]:
    """Frozen in a session, because nothing in TensorFlow 2 freezes the reference variables that modules have."""
    tensorflow = import_tensorflow()
    v1 = tensorflow.compat.v1
    with v1.Graph().as_default() as graph, v1.Session() as session:
        v1.saved_model.load(session, tags, str(folder))
        definitions = {name: v1.graph_util.convert_variables_to_constants(
            session, graph.as_graph_def(), [_node(info) for info in each.outputs.values()])
            for name, each in meta_graph.signature_def.items() if all(info.name for info in each.outputs.values())}

    def signature(each: Any, definition: Any) -> Signature:
        def call(inputs: dict[str, Any], output: str) -> Any:
            fed = {each.inputs[name].name: tensor for name, tensor in inputs.items()}
            return tensorflow.graph_util.import_graph_def(definition, fed, [each.outputs[output].name])[0]
        return Signature({name: _spec(info) for name, info in each.inputs.items()},
                         {name: _spec(info) for name, info in each.outputs.items()}, call)
    return {name: signature(meta_graph.signature_def[name], definition) for name, definition in definitions.items()}


def _node(info: Any) -> str:
    return info.name.split(":")[0]


def _spec(info: Any) -> Any:
    tensorflow = import_tensorflow()
    return tensorflow.TensorSpec(tensorflow.TensorShape(info.tensor_shape), tensorflow.as_dtype(info.dtype))
