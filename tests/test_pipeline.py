"""A complete retraining run from Python: its options, events and result."""
from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tfpoets
from tests.conftest import write_photos
from tfpoets.data import TEST
from tfpoets.errors import ExportError, OptionError, PhotoError, TfpoetsError
from tfpoets.doctor.files import UnreadableDetector
from tfpoets.events import (Evaluated, FilesWritten, Note, PhotosExamined, PhotosListed, PhotosSplit, ReportWritten,
                            StageEnded, StageStarted)
from tfpoets.extractors import ExtractorOptions
from tfpoets.progress import Progress
from tfpoets.tf_runtime import import_tensorflow
from tfpoets.training import HeadFitted, SGDOptions

# Class names with characters that are special in a shell, in JSON or in HTML.
LABELS = ("C++ <b>", 'blå "1"', "日本's")


@pytest.fixture
def retrain(tmp_path: Path, tiny_module: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A function that retrains on photos/ in the working folder with the tiny module and without the doctor."""
    monkeypatch.chdir(tmp_path)
    for hue, label in enumerate(LABELS):
        write_photos(tmp_path / "photos" / label, 20, hue)

    def call(**values: Any) -> Any:
        return tfpoets.retrain("photos", **{"handle": str(tiny_module), "model_dir": model_dir, "doctor": False,
                                            **values})
    return call


def test_a_retrained_classifier_labels_photos(tmp_path: Path, photo_folder: Path, tiny_module: Path, model_dir: Path,
                                              monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    result = tfpoets.retrain("photos", handle=str(tiny_module), model_dir=model_dir, output_graph="colours.pb",
                             output_labels="colours.txt")
    assert result.metrics.accuracy > 0.8
    assert [result.classifier.label(f"photos/{label}/000.png") for label in result.labels] == ["blue", "green", "red"]
    assert capfd.readouterr().out == ""
    assert {path.name for path in result.files} == {"colours.pb", "colours.txt", "colours.tflite", "colours.json"}
    assert all(path.exists() for path in (*result.files, result.report))


def test_a_photo_is_labelled_by_its_path_or_its_bytes(retrain: Callable[..., Any]) -> None:
    classifier = retrain().classifier
    photo = Path("photos", LABELS[1], "004.png")
    assert classifier.label(photo) == classifier.label(str(photo)) == classifier.label(photo.read_bytes()) == LABELS[1]
    with pytest.raises(PhotoError, match="[Nn]o such file"):
        classifier.label("nothing.jpg")
    with pytest.raises(PhotoError, match="not a photo"):
        classifier.label(b"nothing")


def test_unknown_photos_are_labelled_unknown(retrain: Callable[..., Any]) -> None:
    result = retrain(unknown_coverage=0.9, validation_percentage=30)
    stripes = np.zeros((48, 48, 3), np.uint8)
    stripes[::3], stripes[:, ::4] = (255, 0, 255), (0, 255, 255)
    Image.fromarray(stripes).save("stripes.png")
    assert result.classifier.label("stripes.png") == "unknown"
    unknown = result.to_dict()["unknown"]
    assert unknown["coverage"] == 0.9 and unknown["threshold"] == result.classifier.unknown_threshold
    assert unknown["test"]["called_unknown"] == result.rejection.rejected <= result.metrics.count


def test_the_result_contains_the_figures_of_the_run(retrain: Callable[..., Any]) -> None:
    Path("photos", LABELS[0], "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    result = retrain(cross_validate=3, testing_percentage=20, doctor=True, formats=("tflite_dynamic",))
    data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert data["labels"] == list(LABELS)
    assert data["photos"]["listed"] == 61 and data["photos"]["per_label"] == {
        LABELS[0]: 21, LABELS[1]: 20, LABELS[2]: 20}
    (broken,) = data["photos"]["unreadable"]
    assert broken["file"].endswith("broken.jpg") and broken["reason"] == result.unreadable[0][1] != ""
    assert data["bottlenecks"] == {"extractor": "tiny", "height": 32, "width": 32, "depth": 24, "count": 60,
                                   "computed": 60}
    metadata = json.loads(Path("tf_files/retrained_graph.json").read_text("utf-8"))
    assert {name: data["split"][name] for name in ("seed", "digest", "counts")} == {
        name: metadata["split"][name] for name in ("seed", "digest", "counts")}
    assert data["split"]["notes"] == list(result.dataset.split.notes)
    assert data["head"] == metadata["head"] and data["head"]["solver"] == "lbfgs" and data["head"]["refitted"]
    assert data["network"]["kind"] == "frozen_features" and data["network"]["height"] == 32
    assert {name: data["test"][name] for name in metadata["test"]} == metadata["test"]
    assert data["cross_validation"] == metadata["cross_validation"] and data["cross_validation"]["count"] == 60
    assert "unreadable" in {finding["kind"] for finding in data["findings"]}
    assert data["files"] == [str(path) for path in result.files] and data["report"] == str(result.report)
    assert [row["name"] for row in data["proof"]] == ["retrained_graph.pb", "retrained_graph.tflite"]
    assert all(row["agreeing"] == row["count"] == result.metrics.count and row["largest"] < 1e-4
               for row in data["proof"])
    assert [row["name"] for row in data["converted"]][1:] == ["tflite_dynamic"]
    assert data["converted"][1]["count"] == result.metrics.count


def test_misclassified_photos_agree_with_the_predictions_of_the_classifier(retrain: Callable[..., Any]) -> None:
    for photo in sorted(Path("photos", LABELS[2]).iterdir())[:12]:
        shutil.move(photo, Path("photos", LABELS[0], f"moved{photo.name}"))
    result = retrain(testing_percentage=40)
    predictions = [(photo, result.classifier.label(photo.uri)) for photo in result.dataset.part(TEST).photos]
    wrong = [(photo.uri, photo.label, label) for photo, label in predictions if label != photo.label]
    data = result.to_dict()
    assert wrong and [(error["file"], error["label"], error["answer"]) for error in data["misclassified"]] == wrong
    assert len(wrong) == data["test"]["count"] - round(data["test"]["accuracy"] * data["test"]["count"])
    assert all(1 / 3 <= error["score"] <= 1 for error in data["misclassified"])


def test_without_test_photos_there_are_no_metrics_and_the_result_is_valid_json(retrain: Callable[..., Any]) -> None:
    result = retrain(testing_percentage=0, validation_percentage=0, head=SGDOptions(how_many_training_steps=5),
                     formats=("tflite_dynamic",))
    data = result.to_dict()
    assert result.metrics is None and data["test"] is None and data["misclassified"] == [] and data["proof"] == []
    assert data["head"]["how_many_training_steps"] == 5 and data["findings"] is None
    assert math.isnan(result.converted[1].max_difference) and data["converted"][1]["largest"] is None
    json.dumps(data, allow_nan=False)


def test_events_are_sent_in_the_order_of_the_run(retrain: Callable[..., Any]) -> None:
    events: list[Any] = []
    result = retrain(on_event=events.append, doctor=True)
    kinds = [type(event) for event in events]
    order = [kinds.index(kind) for kind in (PhotosListed, PhotosSplit, HeadFitted, Evaluated, FilesWritten,
                                            ReportWritten)]
    assert order == sorted(order)
    assert events[kinds.index(Evaluated)].metrics is result.metrics
    running: list[str] = []
    for event in events:
        if isinstance(event, StageStarted):
            running.append(event.name)
        elif isinstance(event, StageEnded):
            assert running.pop() == event.name and event.seconds >= 0
    assert running == [] and {"extract", "training", "evaluation", "files", "report"} <= {
        event.name for event in events if isinstance(event, StageStarted)}


def fail(*_: object) -> Any:
    raise RuntimeError("a bug")


class FailingDetector:
    kinds = {"gray": 65}
    measure = None

    def __init__(self, error: BaseException):
        self._error = error

    def find(self, evidence: Any) -> Any:
        raise self._error


def written_files() -> set[str]:
    return {path.name for path in Path("tf_files").glob("*.*")}


FILES = {"retrained_graph.pb", "retrained_graph.tflite", "retrained_graph.json", "retrained_labels.txt"}


@pytest.mark.parametrize("error, reason", [(RuntimeError("a bug"), "RuntimeError: a bug"),
                                           (MemoryError(), "there is not enough memory")])
def test_a_check_that_fails_takes_neither_the_other_checks_nor_the_report_with_it(
        error: Exception, reason: str, retrain: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    (Path("photos") / LABELS[0] / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    monkeypatch.setattr("tfpoets.doctor.examination.DETECTORS", [FailingDetector(error), UnreadableDetector()])
    events: list[Any] = []
    result = retrain(on_event=events.append, doctor=True, formats=("tflite_dynamic",))
    assert [finding.kind for finding in result.findings] == ["unreadable"]
    assert result.to_dict()["failed_checks"] == [{"kinds": ["gray"], "reason": reason}]
    sentence = f"The data doctor could not check for gray: {reason}."
    assert [event.text for event in events if isinstance(event, Note) and event.level == "WARNING"] == [sentence]
    assert sentence in result.report.read_text("utf-8") and len(result.converted) == 2
    kinds = [type(event) for event in events]
    assert kinds.index(FilesWritten) < kinds.index(PhotosExamined) < kinds.index(ReportWritten)


def test_the_classifier_has_been_published_if_the_doctor_is_interrupted(retrain: Callable[..., Any],
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfpoets.doctor.examination.DETECTORS", [FailingDetector(KeyboardInterrupt())])
    with pytest.raises(KeyboardInterrupt):
        retrain(doctor=True)
    assert FILES == written_files()


def test_report_and_formats_of_a_large_dataset_are_written_before_the_doctor_runs(
        retrain: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfpoets.pipeline.LARGE_DATASET", 60)
    monkeypatch.setattr("tfpoets.doctor.examination.DETECTORS", [FailingDetector(KeyboardInterrupt())])
    with pytest.raises(KeyboardInterrupt):
        retrain(doctor=True, formats=("tflite_dynamic",))
    assert {*FILES, "retrained_graph.html"} < written_files() and len(written_files()) == 6
    assert "The photos were not examined" in Path("tf_files/retrained_graph.html").read_text("utf-8")
    monkeypatch.setattr("tfpoets.doctor.examination.DETECTORS", [UnreadableDetector()])
    assert "No problems were found in the photos." in retrain(doctor=True).report.read_text("utf-8")


def test_findings_of_a_large_dataset_are_written_if_a_format_fails(
        retrain: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfpoets.pipeline.LARGE_DATASET", 60)
    monkeypatch.setattr("tfpoets.pipeline.convert", fail)
    events: list[Any] = []
    with pytest.raises(RuntimeError, match="a bug"):
        retrain(on_event=events.append, doctor=True, formats=("tflite_dynamic",))
    assert {*FILES, "retrained_graph.html", "retrained_graph_findings.csv"} == written_files()
    assert {PhotosExamined, ReportWritten} <= set(map(type, events))


def test_classifier_and_findings_are_written_if_the_report_fails(retrain: Callable[..., Any]) -> None:
    events: list[Any] = []
    with pytest.raises(RuntimeError, match="a bug"):
        retrain(on_event=events.append, doctor=True, label_command=fail)
    assert {*FILES, "retrained_graph_findings.csv"} == written_files()
    assert {FilesWritten, PhotosExamined} <= set(map(type, events))


def test_files_that_fail_the_verification_are_written_only_once(retrain: Callable[..., Any],
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    import_tensorflow()  # so that the files are written in this process
    names: list[str] = []

    def verify_outputs(source: object, outputs: Any, reference: object) -> list:
        if not outputs:  # with a reject option, all of the files need TensorFlow
            return []
        names.extend(output.name for output in outputs)
        raise ExportError("It differs.")
    monkeypatch.setattr("tfpoets.exporting.classifier_files.verify_outputs", verify_outputs)
    with pytest.raises(ExportError, match="differs"):
        retrain(unknown_coverage=0.9, validation_percentage=30)
    assert names == ["retrained_graph.pb", "retrained_graph.tflite"] and not written_files()


def test_progress_and_notes_are_events(retrain: Callable[..., Any]) -> None:
    shutil.copy(Path("photos", LABELS[0], "000.png"), "photos/stray.png")
    events: list[Any] = []
    result = retrain(on_event=events.append, bottleneck_dir="fresh")
    progress, count = [event for event in events if isinstance(event, Progress)], len(result.listed_dataset)
    assert {event.description for event in progress} == {"Bottlenecks"} and progress[-1].total == count
    assert [event.done for event in progress] == list(range(1, count + 1))
    notes = [event for event in events if isinstance(event, Note)]
    assert any(note.level == "WARNING" and "1 photo directly in photos" in note.text for note in notes)
    n_events = len(events)
    logging.getLogger("tfpoets").warning("after the run")
    assert len(events) == n_events


def test_options_by_name_override_an_options_object(retrain: Callable[..., Any], tiny_module: Path,
                                                    model_dir: Path) -> None:
    options = tfpoets.RetrainOptions(image_dir="elsewhere", doctor=False,
                                     extractor=ExtractorOptions(str(tiny_module), model_dir))
    result = tfpoets.retrain(options, image_dir="photos", seed=9, output_graph="other/g.pb",
                             output_labels="other/l.txt")
    assert result.dataset.split.seed == 9 and result.files[0] == Path("other/g.pb")


@pytest.mark.parametrize("name, message", [("tesing_percentage", "did you mean `testing_percentage`"),
                                           ("output_grpah", "did you mean `output_graph`"),
                                           ("xyzzy", "There is no option `xyzzy`")])
def test_a_misspelt_option_is_rejected_before_any_work(name: str, message: str, tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match=message):
        tfpoets.retrain("photos", **{name: 1})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("values, sentence", [
    ({"split": None}, "`split`=None is not an instance of SplitOptions"),
    ({"extractor": "keras:VGG16"}, "is not an instance of ExtractorOptions"),
    ({"fine_tuning": True}, "`fine_tuning`=True is not an instance of FineTuningOptions or None"),
    ({"network": "lenet"}, "is not an instance of NetworkOptions"),
    ({"augmentation": True}, "is not an instance of AugmentationOptions"),
    ({"formats": 5}, "is not a list of names"), ({"formats": "onnx"}, "is not a list of names"),
    ({"handle": None}, "`handle`=None is not the name"), ({"doctor": "no"}, "neither True nor False"),
    ({"refit": "no"}, "neither True nor False"), ({"offline": "x"}, "neither True nor False"),
    ({"head": 5}, "no solver accepts such options"),
    ({"learning_rate": 0.1}, r"head=SGDOptions\(learning_rate=...\) or"),
    ({"architecture": "lenet"}, r"Set it with network=NetworkOptions\(architecture=...\)"),
    ({"image_dir": "more"}, "`image_dir` was set twice")])
def test_invalid_values_are_rejected_before_any_work(values: dict, sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        tfpoets.retrain("photos", **values)


def test_the_photo_folder_is_required_and_can_be_passed_by_name() -> None:
    with pytest.raises(OptionError, match="`image_dir` is missing"):
        tfpoets.retrain(seed=1)
    with pytest.raises(TfpoetsError, match="There is no folder nowhere"):
        tfpoets.retrain(image_dir="nowhere")
    with pytest.raises(TfpoetsError, match="Photos cannot be read from ftp://bucket/photos"):
        tfpoets.retrain(image_dir="ftp://bucket/photos")
