"""SavedModels that attack while they are loaded or run: modules for --tfhub_module, and classifiers."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tfpoets.tf_runtime import import_tensorflow

from .hostile_models import ATTACKS, CANARY, SIZE, Attack, network, write_file

INIT_OP = "__saved_model_init_op"


def save_module(folder: Path, attack: Attack = lambda x: x, unused: Attack = lambda x: x, module: Any = None) -> Path:
    """Write a TensorFlow 2 SavedModel with an attack in its signature, and one in a function that is never called."""
    tensorflow = import_tensorflow()
    module = tensorflow.Module() if module is None else module
    module.weight = tensorflow.Variable(1.0)
    spec = tensorflow.TensorSpec([None, SIZE, SIZE, 3], tensorflow.float32, name="images")
    module.serve = tensorflow.function(
        lambda images: {"features": network(images, attack) * module.weight}, input_signature=[spec], autograph=False)
    module.unused = tensorflow.function(lambda x: unused(x), autograph=False,
                                        input_signature=[tensorflow.TensorSpec([], tensorflow.float32, name="x")])
    tensorflow.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    return folder


def change(folder: Path, edit: Callable[[Any], None]) -> Path:
    """Change the graph of a SavedModel."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
    path = folder / "saved_model.pb"
    saved_model = SavedModel.FromString(path.read_bytes())
    edit(saved_model.meta_graphs[0])
    path.write_bytes(saved_model.SerializeToString())
    return folder


def _unused_object(graph: Any) -> int:
    """Return the number of the object that is the unused function."""
    return next(child.node_id for child in graph.object_graph_def.nodes[0].children if child.local_name == "unused")


def _unused_function(graph: Any) -> str:
    """Return the name of the unused function."""
    return graph.object_graph_def.nodes[_unused_object(graph)].function.concrete_functions[0]


def _call_unused(graph: Any) -> str:
    """Add a call of the unused function to the graph, and return the name of the node."""
    argument = graph.graph_def.node.add(name="argument", op="Const")
    argument.attr["dtype"].type = 1
    argument.attr["value"].tensor.CopyFrom(import_tensorflow().make_tensor_proto(1.0))
    call = graph.graph_def.node.add(name="call", op="StatefulPartitionedCall", input=["argument"])
    call.attr["f"].func.name = _unused_function(graph)
    call.attr["Tin"].list.type.append(1)
    call.attr["Tout"].list.type.append(1)
    return call.name


def in_main_op(folder: Path) -> Path:
    """Attack in the op that TensorFlow runs when a SavedModel is loaded."""
    def edit(graph: Any) -> None:
        info = graph.signature_def[INIT_OP].outputs[INIT_OP]
        info.name = f"{_call_unused(graph)}:0"
        graph.collection_def["saved_model_main_op"].node_list.value[:] = ["call"]
    return change(save_module(folder, unused=write_file), edit)


def in_restore_op(folder: Path) -> Path:
    """Attack in the op that restores variables."""
    def edit(graph: Any) -> None:
        graph.saver_def.restore_op_name = _call_unused(graph)
    return change(save_module(folder, unused=write_file), edit)


def in_restore_function(folder: Path) -> Path:
    """Attack in the function that restores an object."""
    def edit(graph: Any) -> None:
        saveable = graph.object_graph_def.nodes[0].saveable_objects["x"]
        saveable.restore_function = saveable.save_function = _unused_object(graph)
    return change(save_module(folder, unused=write_file), edit)


def in_substitute(folder: Path) -> Path:
    """Attack in a function that TensorFlow may run instead of another one."""
    def edit(graph: Any) -> None:
        called = [child.node_id for node in graph.object_graph_def.nodes for child in node.children
                  if child.local_name == "serving_default"]
        signature = graph.object_graph_def.nodes[called[0]].bare_concrete_function.concrete_function_name
        for function in graph.graph_def.library.function:
            if function.signature.name in (signature, _unused_function(graph)):
                function.attr["api_implements"].s = b"an interface"
    return change(save_module(folder, unused=write_file), edit)


def in_resource(method: str) -> Callable[[Path], Path]:
    """Return a builder of a module with a resource that attacks when it is created or initialized."""
    def build(folder: Path) -> Path:
        tensorflow = import_tensorflow()
        from tensorflow.python.trackable.resource import TrackableResource

        class Resource(TrackableResource):
            def _create_resource(self) -> Any:
                if method == "_create_resource":
                    write_file(tensorflow.constant(1.0))
                return tensorflow.raw_ops.VarHandleOp(dtype=tensorflow.float32, shape=[], shared_name="resource")

            def _initialize(self) -> None:
                if method == "_initialize":
                    write_file(tensorflow.constant(1.0))
        module = tensorflow.Module()
        module.resource = Resource()
        handle = module.resource.resource_handle
        save_module(folder, lambda x: x + 0 * tensorflow.cast(
            tensorflow.raw_ops.VarIsInitializedOp(resource=handle), x.dtype), module=module)
        Path(CANARY).unlink(missing_ok=True)  # written while the resource was created here
        return folder
    return build


def tensorflow_1(attack: Attack = lambda x: x, main_op: bool = False, read: bool = False) -> Callable[[Path], Path]:
    """Return a builder of a TF Hub module of TensorFlow 1 with an attack in its signature or its `main_op`.

    Args:
        attack: The attack in the signature.
        main_op: Whether it writes a file in its `main_op`.
        read: Whether it writes a file where TensorFlow reads a variable.
    """
    def build(folder: Path) -> Path:
        tensorflow = import_tensorflow()
        v1 = tensorflow.compat.v1
        builder = v1.saved_model.Builder(str(folder))
        with v1.Graph().as_default(), v1.Session() as session:
            images = v1.placeholder(tensorflow.float32, [None, SIZE, SIZE, 3], name="images")
            variable = v1.get_variable("scale", initializer=1.0, use_resource=read)
            signature = v1.saved_model.signature_def_utils.predict_signature_def(
                {"images": images}, {"default": network(images, attack) * variable})
            session.run(v1.global_variables_initializer())
            op = write_file(tensorflow.constant(1.0)).op if main_op else None
            builder.add_meta_graph_and_variables(session, [], signature_def_map={"default": signature}, main_op=op)
            builder.save()
        if read:
            from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
            path = folder / "saved_model.pb"
            saved_model = SavedModel.FromString(path.read_bytes())
            nodes = saved_model.meta_graphs[0].graph_def.node
            reader = next(node for node in nodes if node.name.endswith("/Read/ReadVariableOp"))
            names = {}
            for key, value in (("filename", CANARY), ("contents", "written")):
                node = nodes.add(name=f"hidden_{key}", op="Const")
                node.attr["dtype"].type = tensorflow.string.as_datatype_enum
                node.attr["value"].tensor.CopyFrom(tensorflow.make_tensor_proto(value))
                names[key] = node.name
            nodes.add(name="hidden", op="WriteFile", input=[names["filename"], names["contents"]])
            reader.input.append("^hidden")
            path.write_bytes(saved_model.SerializeToString())
        return folder
    return build


def with_second_format(folder: Path) -> Path:
    """Add a file that some versions of TensorFlow would load instead of the one that was checked."""
    save_module(folder)
    (folder / "saved_model.cpb").write_bytes(b"x")
    return folder


def with_two_graphs(folder: Path) -> Path:
    """Let TensorFlow load a SavedModel of TensorFlow 2 like one of TensorFlow 1."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
    path = save_module(folder) / "saved_model.pb"
    saved_model = SavedModel.FromString(path.read_bytes())
    copy = saved_model.meta_graphs.add()
    copy.CopyFrom(saved_model.meta_graphs[0])
    copy.meta_info_def.tags[:] = ["train"]
    path.write_bytes(saved_model.SerializeToString())
    return folder


MODULES: dict[str, Callable[[Path], Path]] = {
    **{f"signature with {name}": (lambda folder, attack=attack: save_module(folder, attack))
       for name, attack in ATTACKS.items()},
    "main_op": in_main_op, "restore op": in_restore_op, "restore function": in_restore_function,
    "substitute": in_substitute, "_create_resource": in_resource("_create_resource"),
    "_initialize": in_resource("_initialize"), "TensorFlow 1": tensorflow_1(write_file),
    "main_op of TensorFlow 1": tensorflow_1(main_op=True), "variable of TensorFlow 1": tensorflow_1(read=True),
    "second format": with_second_format, "two graphs": with_two_graphs,
    "NaN": lambda folder: save_module(folder, lambda x: x * float("nan"))}
