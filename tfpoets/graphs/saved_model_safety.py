"""Check a SavedModel before it is loaded, because loading it already runs parts of it.

What runs while it is loaded: the init op (`main_op`), the op that restores variables, and functions that create,
initialize and delete resources. The functions that save variables are in every SavedModel, and are never run.
"""
from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from tfpoets.errors import ModelError

from .allowed_operations import ALLOWED_OPERATIONS, LOADING_OPERATIONS, TRAINING_OPERATIONS
from .model_files import DAMAGED_REMEDY
from .safety import FunctionLibrary, find_nodes, node_name

# The functions of an object that TensorFlow runs without being asked to (saved_model/load.py, trackable/resource.py).
LOADING_FUNCTIONS = ("_create_resource", "_initialize", "_destroy_resource", "_restore_from_tensors")
# The keys of the init op in `signature_def` and in `collection_def` (saved_model/constants.py).
INIT_SIGNATURE, INIT_COLLECTIONS = "__saved_model_init_op", ("saved_model_main_op", "legacy_init_op")
# TensorFlow 1 reads a variable that is not a reference from the node of this name (convert_variables_to_constants).
READ_SUFFIX = "/Read/ReadVariableOp"

def read_saved_model(folder: Path) -> Any:
    """Return the SavedModel message of a folder.

    Raises:
        ModelError: The file cannot be read, or TensorFlow might load another file instead.
    """
    from tensorflow.core.protobuf import saved_model_pb2
    if (folder / "saved_model.cpb").exists():
        raise ModelError(f"{folder} contains saved_model.cpb, a format that cannot be checked.", "Remove that file.")
    try:
        return saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    except OSError:
        raise
    except Exception as error:  # protobuf moved its DecodeError between versions
        raise ModelError(f"{folder} is damaged: saved_model.pb cannot be read.", DAMAGED_REMEDY) from error

def check_saved_model(saved_model: Any, meta_graph: Any, signatures: Collection[str], source: str) -> None:
    """Check what runs when one graph of a SavedModel is loaded and used.

    Args:
        saved_model: The SavedModel message.
        meta_graph: The MetaGraphDef that will be loaded.
        signatures: The names of the signatures that may be called. The functions of its `__call__` are checked, too.
        source: The name of the SavedModel in error messages.

    Raises:
        ModelError: It contains an operation that is not allowed, or is damaged.
    """
    if meta_graph.object_graph_def.nodes and len(saved_model.meta_graphs) != 1:
        # TensorFlow would load it as a SavedModel of TensorFlow 1, which runs other parts.
        raise ModelError(f"{source} is damaged: a SavedModel of TensorFlow 2 contains only one graph.", DAMAGED_REMEDY)
    library = FunctionLibrary(meta_graph.graph_def.library, source)
    for roots, allowed in ((_loading_nodes(meta_graph), LOADING_OPERATIONS),
                           (_inference_nodes(meta_graph, signatures), ALLOWED_OPERATIONS)):
        library.check(find_nodes(meta_graph.graph_def, roots, source), allowed)
    objects = _ObjectGraph(meta_graph.object_graph_def, source)
    library.check_functions(objects.loading_functions(), LOADING_OPERATIONS)
    library.check_functions(objects.signature_functions(signatures), ALLOWED_OPERATIONS)
    library.check_functions(objects.call_functions(), TRAINING_OPERATIONS)

def _loading_nodes(meta_graph: Any) -> set[str]:
    """Return the names of the nodes that are run while the graph is loaded."""
    names = [info.name for info in meta_graph.signature_def[INIT_SIGNATURE].outputs.values()] \
        if INIT_SIGNATURE in meta_graph.signature_def else []
    for key in INIT_COLLECTIONS:
        names += meta_graph.collection_def[key].node_list.value if key in meta_graph.collection_def else []
    return {node_name(name) for name in (*names, meta_graph.saver_def.restore_op_name) if name}

def _inference_nodes(meta_graph: Any, signatures: Collection[str]) -> set[str]:
    """Return the names of the nodes that are run to call signatures, or to read variables."""
    outputs = {node_name(info.name) for name in signatures if name in meta_graph.signature_def
               for info in meta_graph.signature_def[name].outputs.values() if info.name}
    names = {node.name for node in meta_graph.graph_def.node}
    return outputs | {f"{node.name}{READ_SUFFIX}" for node in meta_graph.graph_def.node
                      if node.op == "VarHandleOp" and f"{node.name}{READ_SUFFIX}" in names}

class _ObjectGraph:
    """The objects of a SavedModel of TensorFlow 2, and the functions of which they consist.

    Args:
        graph: A SavedObjectGraph; its first object is the SavedModel itself.
        source: The name of the SavedModel in error messages.
    """

    def __init__(self, graph: Any, source: str):
        self._nodes, self._source = graph.nodes, source

    def loading_functions(self) -> Iterator[str]:
        """Yield the names of the functions that run while objects are loaded or deleted."""
        for node in self._nodes:
            for child in node.children:
                if child.local_name in LOADING_FUNCTIONS:
                    yield from self._functions(child.node_id)
            for saveable in node.saveable_objects.values():
                if saveable.restore_function:
                    yield from self._functions(saveable.restore_function)

    def signature_functions(self, names: Collection[str]) -> Iterator[str]:
        """Yield the names of the functions of some signatures."""
        for node_id in self._children(0, "signatures"):
            for name in names:
                for function in self._children(node_id, name):
                    yield from self._functions(function)

    def call_functions(self) -> Iterator[str]:
        """Yield the names of the functions behind the `__call__` of the SavedModel."""
        for node_id in self._children(0, "__call__"):
            yield from self._functions(node_id)

    def _children(self, node_id: int, name: str) -> list[int]:
        return [child.node_id for child in self._node(node_id).children if child.local_name == name] \
            if self._nodes else []

    def _functions(self, node_id: int) -> Iterator[str]:
        node = self._node(node_id)
        yield from node.function.concrete_functions
        if node.bare_concrete_function.concrete_function_name:
            yield node.bare_concrete_function.concrete_function_name

    def _node(self, node_id: int) -> Any:
        if not 0 <= node_id < len(self._nodes):
            raise ModelError(f"{self._source} is damaged: object {node_id} is missing.", DAMAGED_REMEDY)
        return self._nodes[node_id]
