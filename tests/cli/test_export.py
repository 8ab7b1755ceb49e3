"""The export command, and the tools of TensorFlow for Poets for graph files."""
from __future__ import annotations

import importlib.util
import json
import re
import shutil
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tfpoets
from tests.conftest import retrain_json
from tfpoets.cli import count_ops, export, graph_pb2tb, label_image, quantize_graph, retrain
from tfpoets.data import load_pixels, network_input
from tfpoets.errors import TfpoetsError
from tfpoets.exporting import Exportable, find_target, format_names
from tfpoets.exporting.targets.onnx import ONNXEngine
from tfpoets.exporting.targets.tfjs import read_tfjs, write_tfjs
from tfpoets.extractors import LiteRTModel
from tfpoets.inference import load_classifier
from tfpoets.tf_runtime import import_tensorflow

PHOTO = Path("photos/red/003.jpg")
LOADABLE = ("_float32.tflite", "_float16.tflite", "_dynamic.tflite", "_int8.tflite", "_saved_model")


@pytest.fixture(autouse=True)
def workspace(retrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(retrained, tmp_path / "workspace")
    monkeypatch.chdir(tmp_path / "workspace")


def rows(output: str) -> dict[str, list[str]]:
    """Return the printed table by format: size, photos with the same label, all photos, largest difference."""
    matches = re.findall(r"^(\S+|graph \(\.pb\)) +([\d.]+) +(\d+) of (\d+) +(\S+) +[\d.]+% \(", output, re.MULTILINE)
    return {name: rest for name, *rest in matches}


def test_every_format_is_written_and_verified_on_the_test_photos(capsys: pytest.CaptureFixture) -> None:
    names = [name for name in format_names() if name != "keras"]  # see tests/exporting/test_keras_file.py
    assert export.main([f"--to={','.join(names)}"]) == 0
    table = rows(capsys.readouterr().out)
    assert list(table) == ["graph (.pb)", *names]
    n_test = json.loads(Path("tf_files/retrained_graph.json").read_text("utf-8"))["test"]["count"]
    for name, (_, agreeing, count, max_difference) in table.items():
        assert int(count) == n_test and int(agreeing) >= 0.9 * n_test, name
        assert float(max_difference) < (1e-4 if name == "graph (.pb)" or find_target(name).tolerance else 0.2), name
    pixels = load_pixels(PHOTO.read_bytes(), 32, 32)[None]
    expected = load_classifier(Path("tf_files/retrained_graph.pb")).probabilities(pixels)[0]
    for ending in LOADABLE:
        path = Path(f"tf_files/exported/retrained_graph{ending}")
        assert np.abs(load_classifier(path).probabilities(pixels)[0] - expected).max() < 0.15
        assert label_image.main([str(PHOTO), f"--graph={path}", "--top_k=1"]) == 0
        assert "red (score=" in capsys.readouterr().out
    onnx = ONNXEngine(Path("tf_files/exported/retrained_graph.onnx")).open()
    assert np.abs(onnx(network_input(pixels))[0] - expected).max() < 1e-4
    assert not list(Path("tf_files/exported").glob(".*"))


def test_the_table_shows_the_oldest_version_that_loads_each_file(capsys: pytest.CaptureFixture) -> None:
    assert export.main(["--to=tflite,tflite_dynamic,tfjs,saved_model,onnx"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) < 80 for line in lines)
    needs = {line[:14].strip(): " ".join(line.split()[-2:]) for line in lines[1:7]}
    expected = {"graph (.pb)": "TF 1.13", "tfjs": "TF.js 1.7", "saved_model": "TF 2.4", "onnx": "ORT 1.9"}
    assert {name: needs[name] for name in expected} == expected
    for name in ("tflite", "tflite_dynamic"):
        major, minor = map(int, needs[name].removeprefix("TFLite ").split("."))
        assert (1, 0) <= (major, minor) <= (2, 14)  # that of the last tflite-runtime
    assert "OpenCV's dnn module reads the .pb as well." in " ".join(" ".join(lines).split())


def test_the_requirement_is_read_from_the_file(tmp_path: Path) -> None:
    from onnx import TensorProto, helper
    for opset, version in ((14, "ORT 1.8"), (99, "")):
        value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
        graph = helper.make_graph([], "g", [value], [value])
        path = tmp_path / f"{opset}.onnx"
        path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]).SerializeToString())
        assert find_target("onnx").requirement(path).runtime == version


def test_the_int8_network_has_uint8_input_and_output() -> None:
    assert export.main(["--to=tflite_int8"]) == 0
    input_, output = LiteRTModel(Path("tf_files/exported/retrained_graph_int8.tflite")).tensor_details()
    assert input_["dtype"] == output["dtype"] == np.uint8
    assert input_["quantization"] == (pytest.approx(1 / 255, rel=1e-3), 0)
    assert output["quantization"] == (pytest.approx(1 / 256), 0)


@pytest.mark.parametrize("path", ["tf_files/retrained_graph.tflite",
                                  "tf_files/exported/retrained_graph_float16.tflite"])
def test_a_tflite_contains_metadata_for_phones(path: str) -> None:
    assert export.main(["--to=tflite_float16"]) == 0
    from tensorflow.lite.python import schema_py_generated as schema
    content = Path(path).read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    entry, = (entry for entry in model.metadata if entry.name == b"TFLITE_METADATA")
    description = model.buffers[entry.buffer].data.tobytes()
    assert description[4:8] == b"M001" and b"labels.txt" in description
    with zipfile.ZipFile(path) as archive:
        assert archive.read("labels.txt").decode().split() == ["blue", "green", "red"]


def test_all_formats_except_tflite_have_the_unknown_score() -> None:
    assert export.main(["--graph=unknown/g.pb", "--to=tflite,tfjs,saved_model,onnx", "--output_dir=out"]) == 0
    assert LiteRTModel(Path("out/g_float32.tflite")).n_outputs == 3
    assert load_classifier(Path("out/g_float32.tflite")).unknown_threshold is None
    pixels = load_pixels(PHOTO.read_bytes(), 32, 32)[None]
    expected = load_classifier(Path("unknown/g.pb")).outputs(pixels)[0, -1]
    assert load_classifier(Path("out/g_saved_model")).outputs(pixels)[0, -1] == pytest.approx(expected, rel=1e-3)
    outputs = ONNXEngine(Path("out/g.onnx")).open()(network_input(pixels))
    assert outputs[0, -1] == pytest.approx(expected, rel=1e-3)
    model = json.loads(Path("out/g_tfjs/model.json").read_text("utf-8"))
    assert model["userDefinedMetadata"]["structuredOutputKeys"] == ["probabilities", "unknown_score"]
    assert model["userDefinedMetadata"]["unknown_threshold"] == load_classifier(Path("unknown/g.pb")).unknown_threshold


@pytest.mark.parametrize("name", ["tfjs", "tflite"])
def test_a_file_with_different_predictions_is_not_kept(name: str, monkeypatch: pytest.MonkeyPatch,
                                                       capsys: pytest.CaptureFixture) -> None:
    target = find_target(name)
    write = target.write

    def write_wrong(source: Exportable, path: Path) -> None:
        definition = type(source.graph_def).FromString(source.graph_def.SerializeToString())
        bias = next(node for node in definition.node if node.name.endswith("final_biases")).attr["value"].tensor
        values = import_tensorflow().make_ndarray(bias) + np.float32([200, 0, 0])
        bias.CopyFrom(import_tensorflow().make_tensor_proto(values))
        write(replace(source, network=definition), path)
    monkeypatch.setattr(target, "write", write_wrong)
    assert export.main([f"--to={name}"]) == 1
    assert "does not reproduce the outputs of the graph" in capsys.readouterr().err
    assert not list(Path("tf_files/exported").iterdir())


def test_retrain_exports_next_to_its_graph(tiny_module: Path, model_dir: Path, capsys: pytest.CaptureFixture) -> None:
    assert retrain.main(["--image_dir=photos", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}",
                         "--nodoctor", "--export=tflite_int8,onnx"]) == 0
    assert list(rows(capsys.readouterr().out)) == ["graph (.pb)", "tflite_int8", "onnx"]
    assert Path("tf_files/retrained_graph_int8.tflite").exists() and Path("tf_files/retrained_graph.onnx").exists()


def test_the_python_function_returns_the_rows_of_the_table() -> None:
    rows = tfpoets.export("tf_files/retrained_graph.pb", ["tflite_float16", "tfjs"], "out")
    assert [row.name for row in rows] == ["graph (.pb)", "tflite_float16", "tfjs"]
    assert rows[1].path == Path("out/retrained_graph_float16.tflite") and rows[1].size == rows[1].path.stat().st_size
    assert all(row.count and row.metrics and row.metrics.count == row.count for row in rows)
    assert rows[2].max_difference < 1e-4 and rows[2].milliseconds is None and rows[1].milliseconds
    assert rows[0].oldest_runtime == "TF 1.13" and rows[1].oldest_runtime.startswith("TFLite 1.")
    with pytest.raises(TfpoetsError, match="`formats`='onnx' is not a list"):
        tfpoets.export("tf_files/retrained_graph.pb", "onnx", "out")
    with pytest.raises(TfpoetsError, match="did you mean tfjs"):
        tfpoets.export("tf_files/retrained_graph.pb", ["tfsj"], "out")


@pytest.mark.parametrize("remaining", ["nothing", "an empty folder"])
def test_exporting_without_photos_gives_a_warning(remaining: str, capsys: pytest.CaptureFixture) -> None:
    Path("photos").rename("elsewhere")
    if remaining == "an empty folder":
        Path("photos").mkdir()
    assert export.main(["--to=tflite_float16"]) == 0
    output = capsys.readouterr()
    assert "No photos were found, so the files are not verified" in output.err and rows(output.out) == {}
    assert export.main(["--to=tflite_int8"]) == 1
    assert "tflite_int8 requires training photos for calibration" in capsys.readouterr().err
    assert export.main(["--to=tflite_int8", "--image_dir=elsewhere"]) == 0
    assert "tflite_int8" in rows(capsys.readouterr().out)


@pytest.mark.parametrize("arguments, code, sentence", [
    (["--to=tflit"], 2, "did you mean tflite"), (["--to=,"], 2, "Choose from tflite"),
    (["--to=tfjs", "--graph=tf_files/retrained_graph.tflite"], 1, "cannot be converted"),
    (["--to=tfjs", "--graph=nothing.pb"], 1, "There is no classifier at nothing.pb"),
    (["--to=tfjs", "--image_dir=photos", "--output_dir=photos/out"], 2, "is inside the photo folder"),
])
def test_export_errors_are_reported(arguments: list[str], code: int, sentence: str,
                                    capsys: pytest.CaptureFixture) -> None:
    assert export.main(arguments) == code
    output = capsys.readouterr().err
    assert sentence in output and "Traceback" not in output


def test_missing_onnx_packages_are_reported_before_any_work(monkeypatch: pytest.MonkeyPatch,
                                                            capsys: pytest.CaptureFixture) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "tf2onnx" else find(name))
    assert export.main(["--to=tfjs,onnx"]) == 1
    assert "ONNX requires packages that are missing: tf2onnx. Run: pip install" in capsys.readouterr().err
    assert not list(Path("tf_files/exported").iterdir())


def test_files_added_to_the_tfjs_folder_are_kept() -> None:
    assert export.main(["--to=tfjs"]) == 0
    folder = Path("tf_files/exported/retrained_graph_tfjs")
    (folder / "tf.min.js").write_text("// from npm")
    (folder / "index.html").write_text("my own page")
    (folder / "group1-shard7of9.bin").write_text("of a larger network")
    (folder / "model.json").write_text(json.dumps({"generatedBy": "poets"}))
    assert export.main(["--to=tfjs"]) == 0
    assert (folder / "tf.min.js").exists() and (folder / "index.html").read_text() == "my own page"
    assert not (folder / "group1-shard7of9.bin").exists()
    assert read_tfjs(folder).node


def test_a_tfjs_model_of_another_program_is_not_overwritten(capsys: pytest.CaptureFixture) -> None:
    model = Path("tf_files/exported/retrained_graph_tfjs/model.json")
    model.parent.mkdir(parents=True)
    model.write_text('{"generatedBy": "somebody"}')
    assert export.main(["--to=tfjs"]) == 1
    assert "was not written by an export" in capsys.readouterr().err and "somebody" in model.read_text()


@pytest.mark.parametrize("views", [2, 4])
def test_views_are_quantized_too(views: int, tiny_module: Path, model_dir: Path,
                                 capsys: pytest.CaptureFixture) -> None:
    result = retrain_json(capsys, "--image_dir=photos", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}",
                          "--nodoctor", f"--views={views}", "--export=tflite_int8,tfjs")
    assert [row["name"] for row in result["converted"]] == ["graph (.pb)", "tflite_int8", "tfjs"]
    assert all(row["count"] == result["test"]["count"] for row in result["converted"])
    assert [row["oldest_runtime"].split(" ")[0] for row in result["converted"][:2]] == ["TF", "TFLite"]


def test_operations_that_tfjs_does_not_support_are_refused(tmp_path: Path) -> None:
    tensorflow = import_tensorflow()
    with tensorflow.Graph().as_default() as graph:
        tensorflow.math.erfc(tensorflow.compat.v1.placeholder(tensorflow.float32, [1], name="input"), name="answer")
    with pytest.raises(TfpoetsError, match="TensorFlow.js does not support .*: Erfc"):
        write_tfjs(tmp_path, graph.as_graph_def(), {"input": "input", "probabilities": "answer"}, (1, 1), {})


def test_a_folder_with_other_files_is_not_overwritten(capsys: pytest.CaptureFixture) -> None:
    diary = Path("tf_files/exported/retrained_graph_tfjs/diary.txt")
    diary.parent.mkdir(parents=True)
    diary.write_text("dear diary")
    assert export.main(["--to=tfjs"]) == 1
    assert "was not written by an export" in capsys.readouterr().err and diary.read_text() == "dear diary"


@pytest.fixture
def legacy_graph(shared_data: Path, tmp_path: Path) -> Path:
    """A graph written by TensorFlow for Poets, next to its labels."""
    folder = shared_data / "poets_graphs" / "surface_defects_mobilenet_0.25_128"
    return Path(shutil.copytree(folder, tmp_path / "old")) / "retrained_graph.pb"


def test_rounding_makes_weights_compressible_and_keeps_node_names_and_labels(legacy_graph: Path, flowers: Path,
                                                                             capsys: pytest.CaptureFixture) -> None:
    output = legacy_graph.with_name("rounded_graph.pb")
    assert quantize_graph.main([f"--input={legacy_graph}", f"--output={output}", "--output_node_names=final_result",
                                "--mode=weights_rounded"]) == 0
    before, after = (path.read_bytes() for path in (legacy_graph, output))
    assert len(zlib.compress(after)) < 0.5 * len(zlib.compress(before))
    tensorflow = import_tensorflow()
    graphs = [tensorflow.compat.v1.GraphDef.FromString(content) for content in (before, after)]
    assert [node.name for node in graphs[0].node] == [node.name for node in graphs[1].node]
    for nodes in zip(*(graph.node for graph in graphs)):
        if nodes[0].op == "Const" and nodes[0].attr["dtype"].type == tensorflow.float32.as_datatype_enum:
            old, new = (tensorflow.make_ndarray(node.attr["value"].tensor) for node in nodes)
            assert len(np.unique(new)) <= 256 and np.abs(new - old).max() <= 0.51 * np.ptp(old) / 255 + 1e-6
    shutil.copy(legacy_graph.with_name("retrained_labels.txt"), output.with_name("rounded_labels.txt"))
    capsys.readouterr()
    labels = []
    photo = next(flowers.glob("roses/*.jpg"))
    for path in (legacy_graph, output):
        assert label_image.main([str(photo), f"--graph={path}", "--top_k=1"]) == 0
        labels.append(capsys.readouterr().out.split(" (")[0])
    assert labels[0] == labels[1]


def test_a_rounded_graph_has_metadata_without_test_metrics() -> None:
    assert quantize_graph.main(["--input=tf_files/retrained_graph.pb", "--output=rounded/g.pb"]) == 0
    metadata = load_classifier(Path("rounded/g.pb")).metadata
    assert metadata is not None and metadata.test is None and metadata.labels == ["blue", "green", "red"]


@pytest.mark.parametrize("mode", ["tflite_float16", "tflite_dynamic"])
def test_a_legacy_graph_is_converted_to_tensorflow_lite(mode: str, legacy_graph: Path, flowers: Path,
                                                        capsys: pytest.CaptureFixture) -> None:
    output = legacy_graph.with_name("retrained_graph.tflite")
    assert quantize_graph.main([f"--input={legacy_graph}", f"--output={output}", f"--mode={mode}"]) == 0
    capsys.readouterr()
    scores = []
    photo = next(flowers.glob("roses/*.jpg"))
    for path in (legacy_graph, output):
        assert label_image.main([str(photo), f"--graph={path}", "--format=jsonl", "--top_k=1"]) == 0
        scores.append(json.loads(capsys.readouterr().out)["labels"][0])
    assert scores[0]["label"] == scores[1]["label"] and abs(scores[0]["score"] - scores[1]["score"]) < 0.1


@pytest.mark.parametrize("arguments, sentence", [
    (["--input=tf_files/retrained_graph.pb", "--output=o.pb", "--mode=eightbit"], "is not supported"),
    (["--input=tf_files/retrained_graph.pb", "--output=tf_files/retrained_graph.json"], "must end in .pb"),
    (["--input=tf_files/retrained_graph.pb", "--output=unknown/g.pb"], "describes other files"),
    (["--input=tf_files/retrained_graph.pb", "--output=o.pb", "--mode=fast"], "There is no --mode=fast"),
    (["--input=tf_files/retrained_graph.pb", "--output=tf_files/retrained_graph.pb"], "are the same file"),
    (["--input=nothing.pb", "--output=o.pb"], "There is no graph at nothing.pb"),
    (["--input=photos/red/003.jpg", "--output=o.pb"], "is not a TensorFlow graph"),
    (["--input=tf_files/retrained_graph.pb", "--output=o.tflite", "--mode=tflite"], "tfpoets export"),
])
def test_quantize_errors_are_reported(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture) -> None:
    assert quantize_graph.main(arguments) in (1, 2)
    output = capsys.readouterr().err
    assert sentence in output and "Traceback" not in output and not Path("o.pb").exists()


def test_operations_are_counted_and_written_for_tensorboard(legacy_graph: Path, capsys: pytest.CaptureFixture) -> None:
    assert count_ops.main([str(legacy_graph)]) == 0
    output = capsys.readouterr().out
    total = int(re.match(r"(\d+) operations", output)[1])
    assert total == sum(int(count) for count in re.findall(r"^ +(\d+) \w", output, re.MULTILINE))
    for name, count in (("final_result", 1), ("DepthwiseConv2dNative", 13), ("nothing", 0)):
        assert count_ops.main([str(legacy_graph), name]) == 0
        assert capsys.readouterr().out == f"{count} {name}\n"
    assert graph_pb2tb.main(["board", str(legacy_graph)]) == 0
    events = import_tensorflow().compat.v1.train.summary_iterator(str(next(Path("board").iterdir())))
    graph = next(event.graph_def for event in events if event.graph_def)
    assert len(import_tensorflow().compat.v1.GraphDef.FromString(graph).node) == total
