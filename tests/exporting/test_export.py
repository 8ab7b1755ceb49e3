"""Every exported file gives training's answers, or is not kept."""
from __future__ import annotations

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

from tfpoets.data import Examples, Photo, load_pixels
from tfpoets.errors import TfpoetsError
from tfpoets.exporting import (FROZEN_GRAPH, TFLITE_CLASSIFIER, ExportOptions, Exportable, Exported, Nodes, Proof,
                               RejectOption, check_destinations, check_output_name, export_classifier, proof as
                               proof_module, prove)
from tfpoets.graphs import output_columns
from tfpoets.inference import load_classifier
from tfpoets.tf_runtime import import_tensorflow
from tfpoets.training import LinearHead, RejectingHead, fit_unknown_score

from .conftest import Trained


def test_all_files_are_written_and_proven(exported: Exported, destinations: ExportOptions, trained: Trained) -> None:
    names = [path.name for path in exported.files]
    assert names == ["graph.pb", "labels.txt", "graph.tflite", "1", "graph.json"]
    assert [parity.name for parity in exported.proven] == ["graph.pb", "graph.tflite", "SavedModel",
                                                             "SavedModel, predict_bytes"]
    count = len([photo.uri for photo in trained.proof.photos])
    assert all(parity.count == parity.agreeing == count and parity.largest < 1e-4 for parity in exported.proven[:3])
    assert exported.proven[3].largest < 0.03
    assert destinations.output_labels.read_text("utf-8") == "C++\nblå\n日本\n"
    assert sorted(path.name for path in destinations.output_graph.parent.iterdir()) == [
        "graph.json", "graph.pb", "graph.tflite", "labels.txt", "saved"]


@pytest.mark.parametrize("name", ["graph.pb", "graph.tflite", "saved", "saved/1"])
def test_each_loaded_file_gives_trainings_answers(exported: Exported, destinations: ExportOptions, trained: Trained,
                                                  name: str) -> None:
    classifier = load_classifier(destinations.output_graph.parent / name)
    assert classifier.labels == ("C++", "blå", "日本")
    answers = list(classifier.label_photos(trained.proof.photos, Photo.read))
    assert [source for source, _ in answers] == list(trained.proof.photos)
    given = np.stack([answer.probabilities for _, answer in answers])
    assert np.abs(given - trained.proof.outputs).max() < 1e-4


def with_one_weight_changed(content: bytes, weights: np.ndarray) -> bytes:
    """Adds 0.5 to the largest weight of the head where its bytes stand in an exported file."""
    flat = weights.ravel()
    row = flat.tobytes() if flat.tobytes() in content else np.ascontiguousarray(weights.T).ravel().tobytes()
    start = content.index(row)
    values = np.frombuffer(row, np.float32).copy()
    values[np.abs(values).argmax()] += 0.5
    return content[:start] + values.tobytes() + content[start + len(row):]


@pytest.mark.parametrize("name", ["graph.pb", "graph.tflite"])
def test_a_file_with_one_weight_changed_fails_the_proof(exported: Exported, destinations: ExportOptions,
                                                        trained: Trained, name: str) -> None:
    path = destinations.output_graph.parent / name
    target = {"graph.pb": FROZEN_GRAPH, "graph.tflite": TFLITE_CLASSIFIER}[name]
    proof = trained.proof.load(32, 32)
    assert [row.count for row in prove(name, target, path, trained.metadata, proof)] == [len(proof)]
    content = with_one_weight_changed(path.read_bytes(), trained.head.weights)
    path.write_bytes(content)
    metadata = json.loads(destinations.metadata.read_text("utf-8"))
    metadata["files"][name] = hashlib.sha256(content).hexdigest()
    destinations.metadata.write_text(json.dumps(metadata), "utf-8")
    with pytest.raises(TfpoetsError, match="does not give the answers of training"):
        list(prove(name, target, path, trained.metadata, proof))


def test_answers_that_are_not_finite_fail_the_proof(trained: Trained, destinations: ExportOptions) -> None:
    broken = LinearHead(np.full_like(trained.head.weights, np.nan), trained.head.bias)
    destinations.output_graph.parent.mkdir()
    with pytest.raises(TfpoetsError, match="does not give the answers of training"):
        export_classifier(trained.extractor, broken, trained.metadata, replace(destinations, saved_model_dir=None),
                          trained.proof)


def test_a_failed_proof_leaves_the_old_files_as_they_were(exported: Exported, destinations: ExportOptions,
                                                          trained: Trained) -> None:
    before = {path: path.read_bytes() for path in destinations.output_graph.parent.rglob("*") if path.is_file()}
    other = LinearHead(trained.head.weights * 2, trained.head.bias)
    with pytest.raises(TfpoetsError):
        export_classifier(trained.extractor, other, trained.metadata, destinations, trained.proof)
    after = {path: path.read_bytes() for path in destinations.output_graph.parent.rglob("*") if path.is_file()}
    assert after == before


def test_what_a_killed_run_left_aside_is_cleared(exported: Exported, destinations: ExportOptions,
                                                 trained: Trained) -> None:
    killed, old = (destinations.output_graph.parent / name for name in (".graph.x.partial", ".graph.partial"))
    for folder in (killed, old):
        folder.mkdir()
        (folder / "graph.pb").write_bytes(b"half")
    (killed / ".lock").touch()  # whose process has gone
    os.utime(old, (0, 0))
    export_classifier(*trained[:3], destinations, trained.proof)
    assert not killed.exists() and not old.exists()


def test_runs_that_write_to_one_place_do_not_disturb_each_other(exported: Exported, destinations: ExportOptions,
                                                                trained: Trained) -> None:
    code = ("import sys, tfpoets\n"
            "for _ in range(4): tfpoets.export(sys.argv[1], ['tflite_dynamic', 'saved_model'], sys.argv[2])")
    runs = [subprocess.Popen([sys.executable, "-c", code, destinations.output_graph, destinations.output_graph.parent],
                             stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for run in runs:
        said = run.communicate()[1]
        assert run.returncode == 0, said[-2000:]
    assert load_classifier(destinations.output_graph.parent / "graph_saved_model").labels == ("C++", "blå", "日本")
    assert not list(destinations.output_graph.parent.glob(".graph*"))


def test_a_graph_is_there_at_every_moment_while_another_takes_its_place(tmp_path: Path) -> None:
    place = tmp_path / "graph.pb"
    place.write_bytes(b"old")
    missing, ended = [], threading.Event()

    def look() -> None:
        while not ended.is_set():
            if not place.exists():
                missing.append(1)
    thread = threading.Thread(target=look)
    thread.start()
    for number in range(2000):
        staged = tmp_path / f"staged{number}"
        staged.write_bytes(b"new")
        FROZEN_GRAPH.publish(staged, place)
    ended.set()
    thread.join()
    assert not missing


def test_a_file_that_lacks_the_unknown_score_is_not_kept(trained: Trained, destinations: ExportOptions,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = fit_unknown_score(Examples(trained.bottlenecks.X, trained.bottlenecks.y, 3), trained.bottlenecks, 0.9)
    head = RejectingHead(trained.head, unknown)
    metadata = replace(trained.metadata, unknown=RejectOption(unknown.threshold, 0.9, len(unknown.references), None))
    proof = Proof(trained.proof.photos, output_columns(head.outputs(trained.bottlenecks.X)))
    files = replace(destinations, saved_model_dir=None)
    assert [row.has_score for row in export_classifier(trained.extractor, head, metadata, files, proof).proven] == [
        True, True]
    add = Exportable.add_to_graph
    monkeypatch.setattr(Exportable, "add_to_graph", lambda self, pixels: {
        "probabilities": add(self, pixels)["probabilities"]})
    with pytest.raises(TfpoetsError, match="graph.tflite lacks the unknown score that it describes"):
        export_classifier(trained.extractor, head, metadata, files, proof)
    monkeypatch.setattr(Exportable, "add_to_graph", lambda self, pixels: {
        "probabilities": add(self, pixels)["probabilities"][:, :2]})
    with pytest.raises(TfpoetsError, match="graph.tflite gives 2 numbers for a photo, not 4"):
        export_classifier(trained.extractor, head, metadata, files, proof)


def test_saved_models_are_numbered(exported: Exported, destinations: ExportOptions, trained: Trained) -> None:
    assert export_classifier(*trained[:3], destinations, trained.proof).files[3].name == "2"


def test_a_graph_that_is_not_the_one_described_is_refused(exported: Exported, destinations: ExportOptions) -> None:
    destinations.output_graph.write_bytes(destinations.output_graph.read_bytes() + b"\0")
    with pytest.raises(TfpoetsError, match="is not the file that graph.json describes.*Run `tfpoets retrain`"):
        load_classifier(destinations.output_graph)
    destinations.metadata.unlink()
    with pytest.raises(TfpoetsError, match="no metadata beside it"):
        load_classifier(destinations.output_graph)


@pytest.mark.parametrize("kept", [0, 10, 2000, -1000, -1])
def test_a_tflite_that_is_cut_short_is_refused(exported: Exported, destinations: ExportOptions, kept: int) -> None:
    destinations.tflite.write_bytes(destinations.tflite.read_bytes()[:kept])
    with pytest.raises(TfpoetsError):
        load_classifier(destinations.tflite)


def test_the_tflite_carries_labels_that_zip_readers_find(exported: Exported, destinations: ExportOptions) -> None:
    with zipfile.ZipFile(destinations.tflite) as archive:
        assert archive.read("labels.txt").decode() == "C++\nblå\n日本\n"
        assert json.loads(archive.read("metadata.json"))["input"] == {"height": 32, "width": 32, "pixels": 1}


def test_the_graph_has_poets_nodes(exported: Exported, destinations: ExportOptions) -> None:
    graph = import_tensorflow().compat.v1.GraphDef.FromString(destinations.output_graph.read_bytes())
    nodes = {node.name: node for node in graph.node}
    assert [side.size for side in nodes["input"].attr["shape"].shape.dim] == [-1, 32, 32, 3]
    assert nodes["final_result"].op == "Softmax"


def test_the_saved_model_answers_bytes_and_arrays_with_probabilities_and_label(
        exported: Exported, destinations: ExportOptions, trained: Trained) -> None:
    tensorflow = import_tensorflow()
    loaded = tensorflow.saved_model.load(str(exported.files[3]))
    files = [photo.read() for photo in trained.proof.photos[:5]]
    by_bytes = loaded.signatures["predict_bytes"](image_bytes=tensorflow.constant(files))
    pixels = np.stack([load_pixels(data, 32, 32) for data in files]) / np.float32(255)
    by_arrays = loaded.signatures["serving_default"](image=tensorflow.constant(pixels))
    expected = trained.proof.outputs[:5]
    labels = [trained.metadata.labels[i] for i in expected.argmax(1)]
    for answer, tolerance in ((by_bytes, 0.03), (by_arrays, 1e-4)):
        assert np.abs(answer["probabilities"].numpy() - expected).max() < tolerance
        assert [label.decode() for label in answer["label"].numpy()] == labels


@pytest.mark.parametrize("name", ["", "a b", "1:0", "input", "module/x", "final_training_ops/y", "x/"])
def test_names_that_no_node_can_have_are_refused(name: str) -> None:
    with pytest.raises(TfpoetsError, match="final_tensor_name"):
        check_output_name(name)


@pytest.mark.parametrize("name", ["final_result", "softmax/out", "Result.1"])
def test_other_names_are_honoured(trained: Trained, tmp_path: Path, name: str) -> None:
    check_output_name(name)
    metadata = replace(trained.metadata, nodes=Nodes("input", name))
    files = ExportOptions(tmp_path / "g.pb", tmp_path / "l.txt", final_tensor_name=name)
    export_classifier(trained.extractor, trained.head, metadata, files, trained.proof)
    assert load_classifier(tmp_path / "g.pb").labels


def test_two_names_of_one_result_are_refused(trained: Trained, tmp_path: Path) -> None:
    files = ExportOptions(tmp_path / "g.pb", tmp_path / "l.txt", final_tensor_name="other")
    with pytest.raises(TfpoetsError, match="`final_tensor_name`=other is not the name in the metadata, final_result"):
        export_classifier(trained.extractor, trained.head, trained.metadata, files, trained.proof)


def test_places_where_nothing_can_be_written_are_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "g.pb").mkdir()
    for graph, sentence in (("file/g.pb", "cannot be created"), ("g.pb", "is a folder"), ("g.tflite", "must not end in")):
        with pytest.raises(TfpoetsError, match=sentence):
            check_destinations(ExportOptions(tmp_path / graph, tmp_path / "labels.txt"))


def test_at_most_32_photos_prove_a_file(trained: Trained) -> None:
    many = replace(trained.proof, photos=trained.proof.photos * 20, outputs=np.tile(trained.proof.outputs, (20, 1)))
    sample = many.sample()
    assert len(sample.photos) == proof_module.MAX_PHOTOS == 32 and len(sample.outputs) == 32


def test_loading_nothing_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(TfpoetsError, match="no classifier at.*`tfpoets retrain image_dir="):
        load_classifier(tmp_path / "none.tflite")
    with pytest.raises(TfpoetsError, match="not a SavedModel that retrain wrote"):
        load_classifier(tmp_path)


def test_a_folder_of_versions_means_the_newest(exported: Exported, destinations: ExportOptions) -> None:
    saved = destinations.saved_model_dir
    assert saved
    shutil.copytree(saved / "1", saved / "10")
    path = saved / "10" / "assets.extra" / "metadata.json"
    path.write_text(path.read_text("utf-8").replace("C++", "C"), "utf-8")
    assert load_classifier(saved).labels[0] == "C"


@pytest.mark.parametrize("graph, labels", [("g.pb", "g.html"), ("g.pb", "g_findings.csv"), ("l.txt", "l.txt"),
                                           ("g.pb", "g.json")])
def test_files_that_would_overwrite_one_another_are_refused(graph: str, labels: str, tmp_path: Path) -> None:
    with pytest.raises(TfpoetsError, match="other files of the graph would go there"):
        check_destinations(ExportOptions(tmp_path / graph, tmp_path / labels))


@pytest.mark.parametrize("name", ["g.html", "g_findings.csv", "g.tflite"])
def test_a_folder_where_a_file_would_go_is_said_beforehand(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(TfpoetsError, match="is a folder"):
        check_destinations(ExportOptions(tmp_path / "g.pb", tmp_path / "l.txt"))


def test_photos_that_have_gone_or_changed_since_do_not_count_in_the_proof(
        trained: Trained, destinations: ExportOptions, tmp_path: Path) -> None:
    destinations.output_graph.parent.mkdir()
    photos = [Photo(str(tmp_path / f"{number}.jpg"), photo.label, photo.digest)
              for number, photo in enumerate(trained.proof.photos)]
    for copy, photo in zip(photos[2:], trained.proof.photos[2:]):
        shutil.copy(photo.uri, copy.uri)
    shutil.copy(trained.proof.photos[5].uri, photos[1].uri)
    exported = export_classifier(*trained[:3], replace(destinations, saved_model_dir=None),
                                 replace(trained.proof, photos=photos))
    assert [parity.count for parity in exported.proven] == [len(photos) - 2] * 2
