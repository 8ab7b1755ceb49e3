"""The error for a file that is not a classifier, a graph or a network states what the file is and what to do."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.graphs.test_file_kinds import EXAMPLES, LFS_POINTER
from tfpoets.cli import (count_ops, devices, doctor, evaluate, export, graph_pb2tb, label_image, quantize_graph,
                         retrain, serve)

KINDS = ("nothing", "Git LFS", "web page", "HDF5", "keras", "torch", "pickle", "zip", "safetensors", "ONNX", "mlmodel",
         "saved_model.pb", "text", "photo")
CLASSIFIER_COMMANDS = {
    "label_image": lambda file: label_image.main([f"--graph={file}", "x.jpg"]),
    "evaluate": lambda file: evaluate.main([str(file), "--image_dir=photos"]),
    "serve": lambda file: serve.main([f"--graph={file}"]),
    "export": lambda file: export.main([f"--graph={file}", "--to=tflite"]),
    "count_ops": lambda file: count_ops.main([str(file)]),
    "graph_pb2tb": lambda file: graph_pb2tb.main(["log", str(file)]),
    "quantize_graph": lambda file: quantize_graph.main([f"--input={file}", "--output=small.pb"]),
    "quantize_graph to tflite": lambda file: quantize_graph.main([f"--input={file}", "--output=small.tflite",
                                                                  "--mode=tflite"])}
EXTRACTOR_COMMANDS = {
    "retrain": lambda file: retrain.main(["--image_dir=photos", f"--tfhub_module={file}"]),
    "doctor": lambda file: doctor.main(["--image_dir=photos", f"--tfhub_module={file}"]),
    "devices": lambda file: devices.main([f"--tfhub_module={file}"])}


@pytest.fixture(autouse=True)
def folder(photo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change to a folder with photos/."""
    monkeypatch.chdir(photo_folder.parent)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".pb", ".tflite", ".h5"])
def test_a_file_of_another_kind_is_identified_by_commands_that_take_a_classifier(
        kind: str, suffix: str, capsys: pytest.CaptureFixture) -> None:
    file = Path(f"file{suffix}")
    file.write_bytes(EXAMPLES[kind][0]())
    for name, command in CLASSIFIER_COMMANDS.items():
        assert command(file) == 1, name
        message = capsys.readouterr().err
        assert EXAMPLES[kind][1] in message and str(file) in message and message.count("\n") == 1, (name, message)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_identified_by_commands_that_take_a_network(
        kind: str, capsys: pytest.CaptureFixture) -> None:
    file = Path("file.pb")
    file.write_bytes(EXAMPLES[kind][0]())
    for name, command in EXTRACTOR_COMMANDS.items():
        assert command(file) == 1, name
        message = capsys.readouterr().err
        assert EXAMPLES[kind][1] in message and str(file) in message and message.count("\n") == 1, (name, message)


def test_a_saved_model_whose_files_were_not_downloaded_is_explained(capsys: pytest.CaptureFixture) -> None:
    Path("module/variables").mkdir(parents=True)
    Path("module/saved_model.pb").write_bytes(LFS_POINTER)
    for command in (CLASSIFIER_COMMANDS["label_image"], EXTRACTOR_COMMANDS["retrain"]):
        assert command(Path("module")) == 1
        message = capsys.readouterr().err
        assert "saved_model.pb is a Git LFS pointer" in message and "git lfs pull" in message


def test_metadata_that_was_not_downloaded_is_explained(retrained: Path, tmp_path: Path,
                                                       capsys: pytest.CaptureFixture) -> None:
    Path("g.pb").write_bytes((retrained / "tf_files" / "retrained_graph.pb").read_bytes())
    Path("g.json").write_bytes(LFS_POINTER)
    assert label_image.main(["--graph=g.pb", "x.jpg"]) == 1
    assert "g.json is a Git LFS pointer" in capsys.readouterr().err
