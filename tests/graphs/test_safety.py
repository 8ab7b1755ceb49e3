"""Only what a graph runs is checked, and everything that it runs."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.attack.hostile_models import CANARY, SIZE, call_function, frozen_graph, in_branch, write_file, write_graph
from tests.attack.hostile_saved_models import change, save_module, tensorflow_1
from tests.attack.models import working_folder
from tfpoets.errors import ModelError, TfpoetsError
from tfpoets.extractors import open_extractor
from tfpoets.graphs import FirstRun, check_tflite, extract_inference_graph, read_model_file
from tfpoets.inference import load_classifier
from tfpoets.tf_runtime import import_tensorflow


def test_a_node_that_no_output_needs_is_removed_and_not_checked(tmp_path: Path) -> None:
    tensorflow = import_tensorflow()
    graph_def = frozen_graph()
    with tensorflow.Graph().as_default() as graph:
        tensorflow.graph_util.import_graph_def(graph_def, name="")
        write_file(tensorflow.constant(1.0))
        graph_def = graph.as_graph_def()
    part = extract_inference_graph(graph_def, "input", ["final_result"], "the graph")
    assert "WriteFile" in {node.op for node in graph_def.node} - {node.op for node in part.node}
    with working_folder(tmp_path):
        probabilities = load_classifier(write_graph(tmp_path, graph_def)).probabilities(
            np.zeros((1, SIZE, SIZE, 3), np.float32))
        assert probabilities.shape == (1, 3) and not Path(CANARY).exists()


def test_what_the_fed_node_was_computed_from_is_not_run() -> None:
    tensorflow = import_tensorflow()
    with tensorflow.Graph().as_default() as graph:
        pixels = tensorflow.multiply(tensorflow.io.decode_raw(tensorflow.io.read_file("x"), tensorflow.float32), 2.0,
                                     name="Mul")
        tensorflow.nn.softmax(tensorflow.reshape(pixels, [1, -1]), name="final_result")
    part = extract_inference_graph(graph.as_graph_def(), "Mul", ["final_result"], "the graph")
    assert {node.op for node in part.node} == {"Placeholder", "Const", "Reshape", "Softmax"}


@pytest.mark.parametrize("attack", [in_branch, call_function(write_file)], ids=["branch", "function"])
def test_the_error_names_the_operation_and_the_option(attack) -> None:
    with pytest.raises(ModelError, match="the operation WriteFile .* can write files") as caught:
        extract_inference_graph(frozen_graph(attack), "input", ["final_result"], "the graph")
    assert "`trust_model`" in caught.value.remedy


@pytest.mark.parametrize("edit, sentence", [
    (lambda node: node.input.append("^missing"), "uses 'missing', which is missing"),
    (lambda node: setattr(node, "name", "other"), "has no node 'final_result'")])
def test_a_missing_node_is_named(edit, sentence: str) -> None:
    graph_def = frozen_graph()
    edit(next(node for node in graph_def.node if node.name == "final_result"))
    with pytest.raises(ModelError, match=sentence):
        extract_inference_graph(graph_def, "input", ["final_result"], "the graph")


def test_a_module_may_contain_functions_that_are_never_called(tmp_path: Path) -> None:
    folder = save_module(tmp_path / "module", unused=write_file)
    with working_folder(tmp_path):
        assert open_extractor(str(folder), model_dir=tmp_path / "models").depth == 3
        assert not Path(CANARY).exists()


def test_modules_of_both_versions_of_tensorflow_are_accepted(tmp_path: Path) -> None:
    for number, build in enumerate((save_module, tensorflow_1())):
        folder = build(tmp_path / str(number))
        assert open_extractor(str(folder), model_dir=tmp_path / "models").depth == 3


def test_an_object_that_does_not_exist_is_damage(tmp_path: Path) -> None:
    def edit(graph) -> None:
        graph.object_graph_def.nodes[0].children.add(node_id=10 ** 6, local_name="_initialize")
        next(child for child in graph.object_graph_def.nodes[0].children if child.local_name == "signatures"
             ).node_id = 10 ** 6
    folder = change(save_module(tmp_path / "module"), edit)
    with pytest.raises(TfpoetsError, match="damaged"):
        open_extractor(str(folder), model_dir=tmp_path / "models")


def tflite_with_operation(content: bytes, number: int) -> bytes:
    """Return a .tflite whose first operation is another one."""
    from ai_edge_litert import schema_py_generated as schema
    model = bytearray(content)
    code = schema.Model.GetRootAsModel(model, 0).OperatorCodes(0)
    for offset, size in ((4, 1), (10, 4)):  # deprecated_builtin_code and builtin_code
        position = code._tab.Offset(offset)
        if position:
            start = code._tab.Pos + position
            model[start:start + size] = min(number, 127 if size == 1 else number).to_bytes(size, "little")
    return bytes(model)


@pytest.mark.parametrize("number, name", [(119, "WHILE"), (118, "IF"), (32, "CUSTOM"), (129, "CALL_ONCE")])
def test_operations_of_a_tflite_that_could_repeat_or_run_other_code_are_refused(
        retrained: Path, tmp_path: Path, number: int, name: str) -> None:
    content = (retrained / "tf_files" / "retrained_graph.tflite").read_bytes()
    check_tflite(content, "the file")
    path = tmp_path / "g.tflite"
    path.write_bytes(tflite_with_operation(content, number))
    with pytest.raises(ModelError, match=f"the operation {name}, which is not known to be harmless"):
        load_classifier(path)


@pytest.mark.parametrize("content", [
    b"", b"\xff" * 100, b"\x1c\0\0\0TFL3" + b"\xff" * 60, b"\x08\0\0\0TFL3" + bytes(60)])
def test_a_damaged_tflite_is_an_error_and_not_a_crash(content: bytes) -> None:
    try:
        check_tflite(content, "the file")
    except ModelError as error:
        assert "damaged" in str(error)


def test_a_file_that_is_not_regular_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/zero")
    with pytest.raises(ModelError, match="not a regular file"):
        read_model_file(tmp_path / "link")
    with pytest.raises(ModelError, match="not a regular file"):
        load_classifier(tmp_path / "link")


def run_nothing() -> None:
    """Stand for a model that runs without a problem."""


def test_a_model_runs_for_the_first_time_only_once_even_if_it_is_copied(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"a model of this test")
    assert not FirstRun(path).has_happened()
    FirstRun(path).run(run_nothing, library="litert")
    assert FirstRun(path).has_happened() and not FirstRun(path, "other checks").has_happened()
    copy = tmp_path / "copy.tflite"
    copy.write_bytes(path.read_bytes())
    assert FirstRun(copy).has_happened()
    copy.write_bytes(b"another model, which")
    assert not FirstRun(copy).has_happened()
