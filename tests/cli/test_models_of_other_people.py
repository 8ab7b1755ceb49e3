"""Models of other people are refused if they do more than compute; all others are accepted without --trust_model."""
from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.attack import hostile_models, hostile_saved_models
from tests.attack.models import disguise, recompute_hash
from tests.conftest import write_photos
from tfpoets.cli import evaluate, export, label_image, quantize_graph, retrain, serve, show_image
from tfpoets.errors import DataError
from tfpoets.extractors import open_extractor
from tfpoets.graphs import FirstRun, first_run
from tfpoets.inference import LegacyGraphOptions, load_classifier
from tfpoets.publication import RECORD_NAME

CANARY = Path(hostile_models.CANARY)
# The graphs of TensorFlow for Poets that do not have a label file of their own.
IMAGENET = ("frozen_graph.pb", "quantized_graph.pb")


@pytest.fixture
def other_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, on a machine that has not seen any model yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(first_run, "_remembered", set())
    monkeypatch.chdir(tmp_path)
    for hue, label in enumerate("abc"):
        write_photos(Path("photos") / label, 20, hue, suffix=".jpg")
    return tmp_path


@pytest.fixture
def hostile_graph(other_machine: Path) -> Path:
    """A graph that writes a file when it is run."""
    return hostile_models.write_graph(other_machine, hostile_models.frozen_graph(hostile_models.write_file))


@pytest.fixture
def hostile_classifier(hostile_graph: Path, retrained: Path) -> Path:
    """The same graph with the metadata of a classifier that retrain wrote."""
    graph_def = hostile_models.frozen_graph(hostile_models.write_file)
    shutil.copy(retrained / "tf_files" / "retrained_graph.json", "g.json")
    path = disguise(graph_def, hostile_graph.parent, hostile_graph)
    recompute_hash(path)
    return path


def assert_refused(code: int, capsys: pytest.CaptureFixture) -> None:
    error, = capsys.readouterr().err.strip().splitlines()[-1:]
    assert code == 1 and "WriteFile" in error and "can write files" in error and "--trust_model" in error
    assert not CANARY.exists()


@pytest.mark.parametrize("name", ["hostile_graph", "hostile_classifier"])
def test_each_command_refuses_a_graph_that_writes_files(name: str, request: pytest.FixtureRequest,
                                                        capsys: pytest.CaptureFixture) -> None:
    graph = request.getfixturevalue(name)
    commands = {label_image: ["photos"], evaluate: ["--image_dir=photos"], serve: ["--port=0"],
                show_image: ["photos"]}
    for command, arguments in commands.items():
        assert_refused(command.main([f"--graph={graph}", *arguments]), capsys)
    assert_refused(quantize_graph.main([f"--input={graph}", "--output=q.pb"]), capsys)
    assert not Path("q.pb").exists()
    if name == "hostile_graph":
        assert_refused(quantize_graph.main([f"--input={graph}", "--output=q.tflite", "--mode=tflite"]), capsys)
        assert_refused(retrain.main(["--image_dir=photos", f"--tfhub_module={graph}"]), capsys)
    else:
        assert_refused(export.main([f"--graph={graph}", "--to=tflite"]), capsys)


def test_retrain_refuses_a_module_that_writes_files_while_it_is_loaded(other_machine: Path,
                                                                       capsys: pytest.CaptureFixture) -> None:
    module = hostile_saved_models.in_main_op(other_machine / "module")
    assert_refused(retrain.main(["--image_dir=photos", f"--tfhub_module={module}", "--nodoctor"]), capsys)


def test_a_trusted_model_runs_with_a_warning(hostile_graph: Path, capsys: pytest.CaptureFixture) -> None:
    assert label_image.main([f"--graph={hostile_graph}", "photos", "--trust_model"]) == 0
    assert "Warning: --trust_model is set" in capsys.readouterr().err and CANARY.exists()
    assert label_image.main([f"--graph={hostile_graph}", "photos"]) == 1  # the choice is not remembered


@pytest.mark.parametrize("is_trusted", [True, False])
def test_a_classifier_with_a_trusted_network_is_checked(is_trusted: bool, other_machine: Path, tiny_module: Path
                                                        ) -> None:
    flags = ["--trust_model"] if is_trusted else []
    assert retrain.main(["--image_dir=photos", f"--tfhub_module={tiny_module}", "--model_dir=models", "--nodoctor",
                         "--export=tflite_float16", *flags]) == 0
    files = [Path("tf_files") / f"retrained_graph{ending}" for ending in (".pb", ".tflite", "_float16.tflite")]
    assert [FirstRun(path).has_happened() for path in files] == [not is_trusted] * 3


def graph_with_two_outputs(folder: Path, graph_name: str, metadata: Path) -> Path:
    """Write a graph with the harmless output final_result, and the output `evil`, which writes a file."""
    folder.mkdir()
    graph_def = hostile_models.frozen_graph(hostile_models.write_file)
    for node in graph_def.node:
        if node.name == "final_result":
            node.name = "evil"
    harmless = hostile_models.frozen_graph()
    names = {node.name for node in graph_def.node}
    for node in harmless.node:
        if node.name != "input":
            node.name = f"harmless/{node.name}" if node.name in names else node.name
            node.input[:] = [f"harmless/{name}" if name in names and name != "input" else name for name in node.input]
            graph_def.node.append(node)
    (folder / "own").mkdir()
    shutil.copy(metadata, folder / "own" / "g.json")
    path = disguise(graph_def, folder / "own", folder / graph_name)
    recompute_hash(path)
    return path


@pytest.mark.parametrize("attack", ["metadata of a publication", "metadata behind that of a publication",
                                    "another ending"])
def test_other_metadata_makes_a_graph_another_model(attack: str, other_machine: Path, retrained: Path,
                                                    capsys: pytest.CaptureFixture) -> None:
    metadata = retrained / "tf_files" / "retrained_graph.json"
    ending = ".graph" if attack == "another ending" else ".pb"
    first = graph_with_two_outputs(other_machine / "1", f"g{ending}", metadata)
    shutil.copytree("1", "2")
    second = other_machine / "2" / first.name
    harmless = second.with_suffix(".json").read_text()
    evil = json.dumps({**json.loads(harmless), "nodes": {"input": "input", "output": "evil"}})
    if attack == "metadata of a publication":
        stage_metadata(second, evil)
    else:
        second.with_suffix(".json").write_text(evil)
        if attack == "metadata behind that of a publication":
            first.with_suffix(".json").write_text(evil)
            stage_metadata(first, harmless)
    assert label_image.main([f"--graph={first}", "photos"]) == 0
    capsys.readouterr()
    assert_refused(label_image.main([f"--graph={second}", "photos"]), capsys)


@pytest.mark.parametrize("options", [
    {"image_dir": "{outside}"}, {"image_dir": "inside/../../outside"},
    {"image_dir": "photos", "test_dir": "{outside}"}, {"dataset": {"manifest": ["{outside}/list.csv"]}},
    {"image_dir": "//host/share"}, {"image_dir": "\\\\host\\share"}, {"image_dir": "C:\\photos"},
    {"image_dir": "http://127.0.0.1/photos"}, {"image_dir": "~/photos"}],
    ids=lambda options: "-".join(map(str, options.values())))
def test_export_opens_no_locations_of_other_people(options: dict[str, object], other_machine: Path, retrained: Path,
                                                   tmp_path_factory: pytest.TempPathFactory,
                                                   monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
                                                   ) -> None:
    text = json.dumps(options).replace("{outside}", str(tmp_path_factory.mktemp("outside")))
    shutil.copytree(retrained / "tf_files", "tf_files")
    metadata = Path("tf_files/retrained_graph.json")
    metadata.write_text(json.dumps({**json.loads(metadata.read_text()), "options": json.loads(text)}))
    opened: list[object] = []

    def read_dataset(location: object, *arguments: object) -> object:
        opened.append(location)
        raise DataError("Nothing is read in this test.")
    monkeypatch.setattr("tfpoets.exporting.conversion.read_dataset", read_dataset)
    for _ in range(2):  # that it ran here does not make it a graph of this machine
        assert export.main(["--graph=tf_files/retrained_graph.pb", "--to=tflite_float16"]) == 0
        assert "was not written on this machine" in capsys.readouterr().err
    assert set(opened) <= {"photos"}


def stage_metadata(graph: Path, text: str) -> None:
    """Write metadata as a run leaves it that is killed before it moves the metadata to its destination."""
    staging = graph.parent / ".x.partial"
    staging.mkdir()
    (staging / "g.json").write_text(text)
    (staging / RECORD_NAME).write_text(json.dumps({"name": "q", "stale": [], "moves": [
        [".x.partial/g.json", "g.json", (staging / "g.json").stat().st_ino]]}))


@pytest.mark.parametrize("command", ["export", "quantize_graph"])
def test_a_file_that_was_made_from_a_trusted_model_is_checked(command: str, hostile_classifier: Path,
                                                              capsys: pytest.CaptureFixture) -> None:
    if command == "export":
        assert export.main([f"--graph={hostile_classifier}", "--to=saved_model", "--output_dir=out",
                            "--image_dir=photos", "--trust_model"]) == 0
        made, = Path("out").glob("*_saved_model")
    else:
        made = Path("q.pb")
        assert quantize_graph.main([f"--input={hostile_classifier}", f"--output={made}", "--trust_model"]) == 0
    CANARY.unlink(missing_ok=True)
    assert_refused(label_image.main([f"--graph={made}", "photos"]), capsys)


def test_a_rounded_graph_is_tried_before_it_is_used(other_machine: Path, retrained: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(retrained / "tf_files", "tf_files")
    assert quantize_graph.main(["--input=tf_files/retrained_graph.pb", "--output=q.pb"]) == 0
    tried: list[object] = []
    monkeypatch.setattr("tfpoets.limited_process.run_limited", lambda *arguments, **limits: tried.append(arguments))
    load_classifier("q.pb")
    assert tried


def test_a_classifier_that_answers_nan_is_neither_used_nor_served(other_machine: Path,
                                                                  capsys: pytest.CaptureFixture) -> None:
    graph = hostile_models.write_graph(other_machine, hostile_models.nan_graph())
    for command, arguments in ((label_image, ["photos"]), (evaluate, ["--image_dir=photos"]), (serve, ["--port=0"])):
        assert command.main([f"--graph={graph}", *arguments]) == 1
        assert "returns numbers that are not finite" in capsys.readouterr().err


def exported_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix in (".pb", ".tflite")
                  or (path / "saved_model.pb").exists())


def test_files_that_this_program_wrote_are_accepted_on_another_machine(
        other_machine: Path, retrained: Path, capsys: pytest.CaptureFixture) -> None:
    for source in (retrained / "tf_files", retrained / "unknown", retrained / "saved"):
        shutil.copytree(source, source.name)
    formats = "tflite,tflite_float16,tflite_dynamic,tflite_int8,saved_model"
    assert export.main(["--graph=tf_files/retrained_graph.pb", "--output_dir=exported",
                        f"--image_dir={retrained}/photos", f"--to={formats}"]) == 0
    first_run._remembered.clear()
    shutil.rmtree("cache")
    files = [path for name in ("tf_files", "unknown", "saved", "exported") for path in exported_files(Path(name))]
    assert len(files) == 10
    for path in files:
        assert label_image.main([f"--graph={path}", str(retrained / "photos" / "red" / "000.jpg"), "--top_k=1"]) == 0
        assert "red" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("flags", [
    ["--views=4", "--unknown_coverage=0.9"], ["--fine_tune_epochs=1"], ["--solver=sgd", "--how_many_training_steps=5"],
    ["--architecture=lenet", "--image_size=24", "--train_epochs=1", "--color_mode=grayscale"],
    ["--architecture=resnet50_v2", "--image_size=32", "--train_epochs=1"], ["--tfhub_module=efficientnet_lite0"],
], ids=lambda flags: flags[0])
def test_networks_of_all_kinds_of_training_are_accepted(flags: list[str], other_machine: Path, tiny_module: Path,
                                                        capsys: pytest.CaptureFixture) -> None:
    module = [] if "=" in flags[0] and flags[0].split("=")[0] in ("--architecture", "--tfhub_module") \
        else [f"--tfhub_module={tiny_module}"]
    assert retrain.main(["--image_dir=photos", *module, "--nodoctor", "--testing_percentage=20", *flags,
                         "--validation_percentage=20", "--saved_model_dir=saved"]) == 0
    first_run._remembered.clear()
    shutil.rmtree("cache")
    for path in ("tf_files/retrained_graph.pb", "tf_files/retrained_graph.tflite", "saved/1"):
        assert label_image.main([f"--graph={path}", "photos/a/000.jpg"]) == 0


@pytest.mark.slow
@pytest.mark.first_run
def test_modules_and_graphs_of_other_people_are_accepted(other_machine: Path, shared_data: Path) -> None:
    photo = Image.open("photos/a/000.jpg")
    for module in sorted((shared_data / "modules").iterdir()):
        assert open_extractor(str(module), model_dir=other_machine / "models").depth >= 256
    graphs = shared_data / "poets_graphs"
    files = [path for path in graphs.glob("*/*") if path.suffix in (".pb", ".tflite", ".lite")]
    assert len(files) >= 9
    for path in files:
        labels = graphs / "imagenet_labels.txt" if path.name in IMAGENET else None
        classifier = load_classifier(path, LegacyGraphOptions(labels=labels))
        assert classifier.label(Path(photo.filename)) in classifier.labels


@pytest.mark.first_run
def test_a_tflite_that_crashes_is_refused_with_one_sentence(other_machine: Path, retrained: Path,
                                                            monkeypatch: pytest.MonkeyPatch,
                                                            capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr("tfpoets.extractors.tflite_check.run_tflite", _crash)
    shutil.copy(retrained / "tf_files" / "retrained_graph.tflite", "g.tflite")
    assert label_image.main(["--graph=g.tflite", "photos/a/000.jpg"]) == 1
    assert "g.tflite cannot be used: it crashes (SIGSEGV)" in capsys.readouterr().err


def _crash(content: bytes, size: object) -> None:
    import ctypes
    ctypes.string_at(1)
