"""Every exported file reproduces the outputs of the trained classifier, or is discarded."""
from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tfpoets import publication
from tfpoets.data import Examples, Photo, load_pixels
from tfpoets.errors import TfpoetsError
from tfpoets.exporting import (FROZEN_GRAPH, TFLITE_CLASSIFIER, ClassifierExport, ExportOptions, ExportResult,
                               Exportable, NodeNames, ReferenceOutputs, RejectOption, TrainedNetwork,
                               check_destinations, check_output_name, convert, export_classifier, find_target,
                               open_graph, verify)
from tfpoets.graphs import output_columns
from tfpoets.inference import load_classifier
from tfpoets.tf_process import TensorFlowProcess
from tfpoets.tf_runtime import import_tensorflow
from tfpoets.training import LinearHead, RejectingHead, fit_unknown_score

from .conftest import ExportInputs


def test_all_files_are_written_and_verified(exported: ExportResult, destinations: ExportOptions, trained: ExportInputs
                                            ) -> None:
    names = [path.name for path in exported.files]
    assert names == ["graph.pb", "labels.txt", "graph.tflite", "1", "graph.json"]
    assert [row.name for row in exported.verified] == ["graph.pb", "graph.tflite", "SavedModel",
                                                       "SavedModel, predict_bytes"]
    count = len(trained.reference.photos)
    assert all(row.count == row.agreeing == count and row.max_difference < 1e-4 for row in exported.verified[:3])
    assert exported.verified[3].max_difference < 0.03
    assert destinations.output_labels.read_text("utf-8") == "C++\nblå\n日本\n"
    assert sorted(path.name for path in destinations.output_graph.parent.iterdir()) == [
        "graph.json", "graph.pb", "graph.tflite", "labels.txt", "saved"]


@pytest.mark.parametrize("name", ["graph.pb", "graph.tflite", "saved", "saved/1"])
def test_each_file_reproduces_the_outputs_when_it_is_loaded(exported: ExportResult, destinations: ExportOptions,
                                                            trained: ExportInputs, name: str) -> None:
    classifier = load_classifier(destinations.output_graph.parent / name)
    assert classifier.labels == ("C++", "blå", "日本")
    predictions = list(classifier.predict_photos(trained.reference.photos, Photo.read))
    assert [photo for photo, _ in predictions] == list(trained.reference.photos)
    probabilities = np.stack([prediction.probabilities for _, prediction in predictions])
    assert np.abs(probabilities - trained.reference.outputs).max() < 1e-4


def test_the_tflite_of_a_linear_head_needs_no_tensorflow_and_equals_the_converted_one(
        trained: ExportInputs, exported: ExportResult, destinations: ExportOptions, tmp_path: Path) -> None:
    network = TrainedNetwork(trained.extractor, replace(trained.head, temperature=0.5), "final_result")
    with_parts = Exportable("graph", trained.metadata, network)
    converted = Exportable("graph", trained.metadata, network.graph_def)
    assert not TFLITE_CLASSIFIER.needs_tensorflow(with_parts) and TFLITE_CLASSIFIER.needs_tensorflow(converted)
    outputs = []
    for name, source in (("appended", with_parts), ("converted", converted)):
        TFLITE_CLASSIFIER.write(source, tmp_path / name)
        engine = TFLITE_CLASSIFIER.load(tmp_path / name, (tmp_path / name).read_bytes()).engine
        photo = trained.reference.load(32, 32).pixels[:1] / np.float32(255)
        outputs.append(engine.open()(photo))
    assert np.abs(outputs[0] - outputs[1]).max() < 1e-6


def change_one_weight(content: bytes, weights: np.ndarray) -> bytes:
    """Add 0.5 to the largest weight of the head in the content of an exported file."""
    stored = weights.tobytes() if weights.tobytes() in content else weights.T.tobytes()
    start = content.index(stored)
    values = np.frombuffer(stored, np.float32).copy()
    values[np.abs(values).argmax()] += 0.5
    return content[:start] + values.tobytes() + content[start + len(stored):]


@pytest.mark.parametrize("name", ["graph.pb", "graph.tflite"])
def test_a_file_with_one_changed_weight_fails_the_verification(exported: ExportResult, destinations: ExportOptions,
                                                               trained: ExportInputs, name: str) -> None:
    path = destinations.output_graph.parent / name
    target = {"graph.pb": FROZEN_GRAPH, "graph.tflite": TFLITE_CLASSIFIER}[name]
    reference = trained.reference.load(32, 32)
    assert [row.count for row in verify(name, target, path, trained.metadata, reference)] == [len(reference)]
    content = change_one_weight(path.read_bytes(), trained.head.weights)
    path.write_bytes(content)
    metadata = json.loads(destinations.metadata.read_text("utf-8"))
    metadata["files"][name] = hashlib.sha256(content).hexdigest()
    destinations.metadata.write_text(json.dumps(metadata), "utf-8")
    with pytest.raises(TfpoetsError, match="does not reproduce the outputs of the trained classifier"):
        list(verify(name, target, path, trained.metadata, reference))


def test_outputs_that_are_not_finite_fail_the_verification(trained: ExportInputs, destinations: ExportOptions) -> None:
    broken = LinearHead(np.full_like(trained.head.weights, np.nan), trained.head.bias)
    destinations.output_graph.parent.mkdir()
    with pytest.raises(TfpoetsError, match="does not reproduce the outputs of the trained classifier"):
        export_classifier(trained.extractor, broken, trained.metadata, replace(destinations, saved_model_dir=None),
                          trained.reference)


def test_a_failed_verification_does_not_change_existing_files(exported: ExportResult, destinations: ExportOptions,
                                                              trained: ExportInputs) -> None:
    before = {path: path.read_bytes() for path in destinations.output_graph.parent.rglob("*") if path.is_file()}
    different_head = LinearHead(trained.head.weights * 2, trained.head.bias)
    with pytest.raises(TfpoetsError):
        export_classifier(trained.extractor, different_head, trained.metadata, destinations, trained.reference)
    after = {path: path.read_bytes() for path in destinations.output_graph.parent.rglob("*") if path.is_file()}
    assert after == before


def test_staging_folders_of_killed_runs_are_removed(exported: ExportResult, destinations: ExportOptions,
                                                    trained: ExportInputs) -> None:
    killed, old = (destinations.output_graph.parent / name for name in (".graph.x.partial", ".graph.partial"))
    for folder in (killed, old):
        folder.mkdir()
        (folder / "graph.pb").write_bytes(b"half")
    (killed / ".lock").touch()  # no process holds it
    os.utime(old, (0, 0))
    export_classifier(*trained[:3], destinations, trained.reference)
    assert not killed.exists() and not old.exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, None])
def test_the_second_process_ends_before_its_files_are_removed(
        error: type[BaseException] | None, trained: ExportInputs, destinations: ExportOptions) -> None:
    n_staging_folders: list[int] = []

    class RecordingProcess(TensorFlowProcess):
        def __exit__(self, *error: object) -> None:
            n_staging_folders.append(len(list(destinations.output_graph.parent.glob(".*.partial"))))
            super().__exit__(*error)
    files = replace(destinations, saved_model_dir=None)
    reference = trained.reference if error else replace(  # the files of the first process are wrong
        trained.reference, outputs=trained.reference.outputs[:, ::-1])
    with (pytest.raises(error or TfpoetsError),
          ClassifierExport(*trained[:3], files, reference, RecordingProcess(None))):
        raise KeyboardInterrupt
    assert n_staging_folders == [1] and not list(files.output_graph.parent.iterdir())


def test_two_runs_can_export_to_the_same_folder_at_once(exported: ExportResult, destinations: ExportOptions) -> None:
    code = ("import sys, tfpoets\n"
            "for _ in range(4): tfpoets.export(sys.argv[1], ['tflite_dynamic', 'saved_model'], sys.argv[2])")
    runs = [subprocess.Popen([sys.executable, "-c", code, destinations.output_graph, destinations.output_graph.parent],
                             stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for run in runs:
        errors = run.communicate()[1]
        assert run.returncode == 0, errors[-2000:]
    assert load_classifier(destinations.output_graph.parent / "graph_saved_model").labels == ("C++", "blå", "日本")
    assert not list(destinations.output_graph.parent.glob(".graph*"))


def test_a_graph_exists_at_every_moment_while_it_is_replaced(tmp_path: Path) -> None:
    destination = tmp_path / "graph.pb"
    destination.write_bytes(b"old")
    missing, ended = [], threading.Event()

    def watch() -> None:
        while not ended.is_set():
            if not destination.exists():
                missing.append(1)
    thread = threading.Thread(target=watch)
    thread.start()
    for number in range(2000):
        staged = tmp_path / f"staged{number}"
        staged.write_bytes(b"new")
        publication.replace_path(staged, destination)
    ended.set()
    thread.join()
    assert not missing


def test_a_file_without_the_unknown_score_is_discarded(trained: ExportInputs, destinations: ExportOptions,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = fit_unknown_score(Examples(trained.test.X, trained.test.y, 3), trained.test, 0.9)
    head = RejectingHead(trained.head, unknown)
    metadata = replace(trained.metadata, unknown=RejectOption(unknown.threshold, 0.9, len(unknown.references), None))
    reference = ReferenceOutputs(trained.reference.photos, output_columns(head.outputs(trained.test.X)))
    files = replace(destinations, saved_model_dir=None)
    result = export_classifier(trained.extractor, head, metadata, files, reference)
    assert [row.has_unknown_score for row in result.verified] == [True, True]
    add = Exportable.add_to_graph
    monkeypatch.setattr(Exportable, "add_to_graph", lambda self, pixels: {
        "probabilities": add(self, pixels)["probabilities"]})
    with pytest.raises(TfpoetsError, match="graph.tflite does not return the unknown score"):
        export_classifier(trained.extractor, head, metadata, files, reference)
    monkeypatch.setattr(Exportable, "add_to_graph", lambda self, pixels: {
        "probabilities": add(self, pixels)["probabilities"][:, :2]})
    with pytest.raises(TfpoetsError, match="graph.tflite has 2 outputs per photo instead of 4"):
        export_classifier(trained.extractor, head, metadata, files, reference)


def test_saved_models_are_numbered(exported: ExportResult, destinations: ExportOptions, trained: ExportInputs) -> None:
    assert export_classifier(*trained[:3], destinations, trained.reference).files[3].name == "2"


class Killed(BaseException):
    """Stands for the end of a process that cannot clean up."""


@pytest.mark.parametrize("n_moves", range(5))
def test_after_a_kill_the_files_are_the_old_or_the_new_ones_and_the_next_run_finishes(
        n_moves: int, exported: ExportResult, destinations: ExportOptions, trained: ExportInputs,
        monkeypatch: pytest.MonkeyPatch) -> None:
    files = replace(destinations, saved_model_dir=None)
    old = files.output_graph.read_bytes()
    metadata = replace(trained.metadata, labels=["x", "y", "z"])
    head = LinearHead(trained.head.weights * 2, trained.head.bias)
    reference = replace(trained.reference, outputs=head.probabilities(trained.test.X))
    moved: list[Path] = []

    def move(staged: Path, destination: Path) -> None:
        if len(moved) == n_moves:
            raise Killed
        os.replace(staged, destination)
        moved.append(destination)
    with monkeypatch.context() as patch:
        patch.setattr(publication, "replace_path", move)
        patch.setattr(publication, "_remove_staging", lambda folder: None)
        with pytest.raises(Killed) if n_moves < 4 else contextlib.nullcontext():
            export_classifier(trained.extractor, head, metadata, files, reference)
    is_new = files.output_graph.read_bytes() != old
    assert is_new == (n_moves >= 2)
    assert load_classifier(files.output_graph).labels == (("x", "y", "z") if is_new else exported_labels())
    check_destinations(files)  # the next run begins with this
    hashes = json.loads(files.metadata.read_text("utf-8"))["files"]
    assert load_classifier(files.output_graph).labels == load_classifier(files.tflite).labels == ("x", "y", "z")
    assert hashes == {name: hashlib.sha256((files.metadata.parent / name).read_bytes()).hexdigest() for name in hashes}
    assert not list(files.output_graph.parent.glob(".*"))


def exported_labels() -> tuple[str, ...]:
    return "C++", "blå", "日本"


def test_what_was_made_from_the_previous_graph_is_removed_and_other_files_are_kept(
        exported: ExportResult, destinations: ExportOptions, trained: ExportInputs) -> None:
    folder = destinations.output_graph.parent
    formats = ["tflite_dynamic", "tfjs", "saved_model", "onnx"]
    convert(open_graph(destinations.output_graph), formats, folder, trained.reference.photos)
    own = [folder / name for name in ("graph.keras", "graph_float32.tflite", "graph_tfjs/notes.txt")]
    for path in (destinations.report, destinations.findings, *own):
        path.write_text("content")
    files = replace(destinations, saved_model_dir=None)
    export_classifier(*trained[:3], files, trained.reference)  # the same graph again
    assert not destinations.report.exists() and not destinations.findings.exists()
    assert all((folder / find_target(name).file_name("graph")).exists() for name in formats)
    head = LinearHead(trained.head.weights * 2, trained.head.bias)
    export_classifier(trained.extractor, head, trained.metadata, files,
                      replace(trained.reference, outputs=head.probabilities(trained.test.X)))
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("graph*")) == sorted([
        "graph.pb", "graph.json", "graph.tflite", "graph.keras", "graph_float32.tflite", "graph_tfjs"])
    assert [path.name for path in (folder / "graph_tfjs").iterdir()] == ["notes.txt"]


def test_a_form_is_not_put_next_to_a_graph_that_was_replaced_meanwhile(
        exported: ExportResult, destinations: ExportOptions, trained: ExportInputs) -> None:
    source = open_graph(destinations.output_graph)
    head = LinearHead(trained.head.weights * 2, trained.head.bias)
    export_classifier(trained.extractor, head, trained.metadata, replace(destinations, saved_model_dir=None),
                      replace(trained.reference, outputs=head.probabilities(trained.test.X)))
    folder = destinations.output_graph.parent
    with pytest.raises(TfpoetsError, match="Another run has replaced .* Run the same command again"):
        convert(source, ["tflite"], folder, trained.reference.photos)
    assert not (folder / "graph_float32.tflite").exists()
    convert(source, ["tflite"], folder / "elsewhere", trained.reference.photos)


def test_a_graph_that_does_not_match_its_metadata_is_rejected(exported: ExportResult, destinations: ExportOptions
                                                              ) -> None:
    destinations.output_graph.write_bytes(destinations.output_graph.read_bytes() + b"\0")
    with pytest.raises(TfpoetsError, match="is not the file that graph.json describes.*Run `tfpoets retrain`"):
        load_classifier(destinations.output_graph)
    destinations.metadata.unlink()
    with pytest.raises(TfpoetsError, match="metadata of .* is missing: there is no graph.json next to it"):
        load_classifier(destinations.output_graph)


@pytest.mark.parametrize("end", [0, 10, 2000, -1000, -1])
def test_a_truncated_tflite_is_rejected(exported: ExportResult, destinations: ExportOptions, end: int) -> None:
    destinations.tflite.write_bytes(destinations.tflite.read_bytes()[:end])
    with pytest.raises(TfpoetsError):
        load_classifier(destinations.tflite)


def test_the_tflite_contains_labels_and_metadata_as_a_zip_archive(exported: ExportResult, destinations: ExportOptions
                                                                  ) -> None:
    with zipfile.ZipFile(destinations.tflite) as archive:
        assert archive.read("labels.txt").decode() == "C++\nblå\n日本\n"
        assert json.loads(archive.read("metadata.json"))["input"] == {"height": 32, "width": 32, "pixels": 1}


def test_the_graph_has_the_nodes_of_tensorflow_for_poets(exported: ExportResult, destinations: ExportOptions) -> None:
    graph = import_tensorflow().compat.v1.GraphDef.FromString(destinations.output_graph.read_bytes())
    nodes = {node.name: node for node in graph.node}
    assert [dim.size for dim in nodes["input"].attr["shape"].shape.dim] == [-1, 32, 32, 3]
    assert nodes["final_result"].op == "Softmax"


def test_the_saved_model_predicts_probabilities_and_labels_from_bytes_and_arrays(
        exported: ExportResult, destinations: ExportOptions, trained: ExportInputs) -> None:
    tensorflow = import_tensorflow()
    loaded = tensorflow.saved_model.load(str(exported.files[3]))
    files = [photo.read() for photo in trained.reference.photos[:5]]
    by_bytes = loaded.signatures["predict_bytes"](image_bytes=tensorflow.constant(files))
    pixels = np.stack([load_pixels(data, 32, 32) for data in files]) / np.float32(255)
    by_arrays = loaded.signatures["serving_default"](image=tensorflow.constant(pixels))
    expected = trained.reference.outputs[:5]
    labels = [trained.metadata.labels[i] for i in expected.argmax(1)]
    for outputs, tolerance in ((by_bytes, 0.03), (by_arrays, 1e-4)):
        assert np.abs(outputs["probabilities"].numpy() - expected).max() < tolerance
        assert [label.decode() for label in outputs["label"].numpy()] == labels


@pytest.mark.parametrize("name", ["", "a b", "1:0", "input", "module/x", "final_training_ops/y", "x/"])
def test_invalid_node_names_are_rejected(name: str) -> None:
    with pytest.raises(TfpoetsError, match="final_tensor_name"):
        check_output_name(name)


@pytest.mark.parametrize("name", ["final_result", "softmax/out", "Result.1"])
def test_valid_node_names_are_used(trained: ExportInputs, tmp_path: Path, name: str) -> None:
    check_output_name(name)
    metadata = replace(trained.metadata, nodes=NodeNames("input", name))
    files = ExportOptions(tmp_path / "g.pb", tmp_path / "l.txt", final_tensor_name=name)
    export_classifier(trained.extractor, trained.head, metadata, files, trained.reference)
    assert load_classifier(tmp_path / "g.pb").labels


def test_an_output_node_that_is_not_in_the_metadata_is_rejected(trained: ExportInputs, tmp_path: Path) -> None:
    files = ExportOptions(tmp_path / "g.pb", tmp_path / "l.txt", final_tensor_name="other")
    with pytest.raises(TfpoetsError, match="`final_tensor_name`=other is not the name in the metadata, final_result"):
        export_classifier(trained.extractor, trained.head, trained.metadata, files, trained.reference)


def test_paths_that_cannot_be_written_are_rejected_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "g.pb").mkdir()
    for graph, message in (("file/g.pb", "cannot be created"), ("g.pb", "is a folder"),
                           ("g.tflite", "must not end in")):
        with pytest.raises(TfpoetsError, match=message):
            check_destinations(ExportOptions(tmp_path / graph, tmp_path / "labels.txt"))


def test_a_file_is_verified_on_at_most_32_photos(trained: ExportInputs) -> None:
    reference = replace(trained.reference, photos=trained.reference.photos * 20,
                        outputs=np.tile(trained.reference.outputs, (20, 1)))
    sample = reference.sample()
    assert len(sample.photos) == len(sample.outputs) == 32


def test_the_error_for_a_missing_classifier_suggests_retrain(tmp_path: Path) -> None:
    with pytest.raises(TfpoetsError, match="no classifier at.*`tfpoets retrain image_dir="):
        load_classifier(tmp_path / "none.tflite")
    with pytest.raises(TfpoetsError, match="not a SavedModel that retrain wrote"):
        load_classifier(tmp_path)


def test_the_newest_version_in_a_folder_is_loaded(exported: ExportResult, destinations: ExportOptions) -> None:
    folder = destinations.saved_model_dir
    assert folder
    shutil.copytree(folder / "1", folder / "10")
    path = folder / "10" / "assets.extra" / "metadata.json"
    path.write_text(path.read_text("utf-8").replace("C++", "C"), "utf-8")
    assert load_classifier(folder).labels[0] == "C"


@pytest.mark.parametrize("graph, labels", [("g.pb", "g.html"), ("g.pb", "g_findings.csv"), ("l.txt", "l.txt"),
                                           ("g.pb", "g.json")])
def test_two_files_with_the_same_path_are_rejected(graph: str, labels: str, tmp_path: Path) -> None:
    with pytest.raises(TfpoetsError, match="is the path of both the .* and the labels"):
        check_destinations(ExportOptions(tmp_path / graph, tmp_path / labels))


@pytest.mark.parametrize("name", ["g.html", "g_findings.csv", "g.tflite"])
def test_a_folder_at_the_path_of_a_file_is_rejected_before_any_work(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(TfpoetsError, match="is a folder"):
        check_destinations(ExportOptions(tmp_path / "g.pb", tmp_path / "l.txt"))


def test_photos_that_were_deleted_or_changed_are_not_used_for_the_verification(
        trained: ExportInputs, destinations: ExportOptions, tmp_path: Path) -> None:
    destinations.output_graph.parent.mkdir()
    photos = [Photo(str(tmp_path / f"{number}.jpg"), photo.label, photo.digest)
              for number, photo in enumerate(trained.reference.photos)]
    for copy, photo in zip(photos[2:], trained.reference.photos[2:]):
        shutil.copy(photo.uri, copy.uri)
    shutil.copy(trained.reference.photos[5].uri, photos[1].uri)
    exported = export_classifier(*trained[:3], replace(destinations, saved_model_dir=None),
                                 replace(trained.reference, photos=photos))
    assert [row.count for row in exported.verified] == [len(photos) - 2] * 2
