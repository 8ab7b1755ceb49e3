"""The report is one file, shows its contents, and escapes the names of photos and labels."""
from __future__ import annotations

import html.parser
import re
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import write_photos
from tfpoets.cli import retrain
from tfpoets.data import Photo
from tfpoets.doctor import FailedCheck, Finding
from tfpoets.evaluation import calibration_bins, evaluate
from tfpoets.report import (Misclassification, OcclusionMap, ReportContent, confusion_picture, curves_picture,
                            write_report)
from tfpoets.report.pictures import BACKGROUND, CELL_SIZE, CORRECT_COLOUR, GAP

MARKUP = "<script>alert(1)</script>\"'&"


class Elements(html.parser.HTMLParser):
    """Parse a page into its elements with their attributes, and its text."""

    def __init__(self, page: str):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def attributes(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


def make_content(folder: Path, **changes) -> ReportContent:
    write_photos(folder / "photos", 2, 0)
    photo = Photo(str(folder / "photos" / "000.png"), "cat")
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]])
    y = np.array([0, 1, 1, 0])
    defaults = {
        "title": "Classifier for cat, dog", "labels": ["cat", "dog"], "metrics": evaluate(probabilities, y),
        "held_out": True, "cautions": [], "unknown": [],
        "calibration": calibration_bins(probabilities.max(1), probabilities.argmax(1) == y),
        "misclassified": [Misclassification(photo, "dog", "cat", 0.7, 0.3)],
        "occlusion_maps": [OcclusionMap(photo, "dog", "cat", 0.7, np.eye(6) / 2)],
        "findings": [Finding("outlier", photo, 4.2, "is like no other photo"),
                     Finding("unreadable", Photo(str(folder / "deleted.jpg"), "cat"), 1.0, "cannot be used")],
        "curves": {"train": [{"step": 0, "accuracy": 0.5, "cross_entropy": 0.7},
                             {"step": 1, "accuracy": 0.75, "cross_entropy": 0.3}],
                   "validation": [{"step": 0, "accuracy": float("nan"), "cross_entropy": float("nan")}]},
        "details": {"extractor": "tiny"}, "notes": ["one photo moved"], "label_command": "label it"}
    return ReportContent(**{**defaults, **changes})


def render(folder: Path, **changes) -> str:
    write_report(folder / "report.html", make_content(folder, **changes))
    return (folder / "report.html").read_text("utf-8")


def test_the_page_shows_all_contents(tmp_path: Path) -> None:
    page = Elements(render(tmp_path))
    text = " ".join(page.text.split())
    assert "75.0% Accuracy on 4 test photos, none of which were used for training." in text
    assert "4 photos are too few to tell" in text and "Most frequent errors: dog labelled as cat (1)" in text
    assert "Misclassified photos (1)" in text and "Data doctor findings (2)" in text and "no preview" in text
    assert "Macro average475.0%83.3%73.3% Weighted average475.0%83.3%73.3%" in text
    assert "one photo moved" in text and "label it" in text and "Expected calibration error" in text
    assert "Occlusion maps" in text and "Largest drop in score: 50 percentage points" in text
    assert len(page.attributes("img")) == 4 and len(page.attributes("circle")) >= 2
    assert page.attributes("polyline")[0]["points"] == "0.0,100.0 100.0,0.0"


def test_the_curves_of_epochs_fill_the_chart(tmp_path: Path) -> None:
    points = [{"step": epoch, "accuracy": epoch / 4, "cross_entropy": 1.0} for epoch in (1, 2, 3)]
    page = Elements(render(tmp_path, curves={"train": points, "validation": points}))
    assert page.attributes("polyline")[0]["points"] == "0.0,100.0 50.0,50.0 100.0,0.0"
    assert "3 steps" in page.text


def test_the_page_loads_no_other_file(tmp_path: Path) -> None:
    page = render(tmp_path)
    elements = Elements(page)
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in elements.elements}
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in elements.attributes("img"))
    assert not re.search(r"https?://|url\(|@import", page)
    assert any("default-src 'none'" in meta.get("content", "") for meta in elements.attributes("meta"))


def test_a_check_that_failed_is_named_and_nothing_is_said_about_its_problems(tmp_path: Path) -> None:
    page = Elements(render(tmp_path, findings=[], failed_checks=[FailedCheck(("leak", "outlier"), "a <b>bug</b>")]))
    assert "The data doctor could not check for leak, outlier: a <b>bug</b>." in page.text
    assert "No problems were found in the photos by the checks that did not fail." in page.text
    assert "No problems were found in the photos." in render(tmp_path, findings=[])


def test_only_the_first_of_many_findings_are_shown(tmp_path: Path) -> None:
    findings = [Finding("outlier", f"folder/{number}.jpg", 1.0, "is odd") for number in range(100_000)]
    page = render(tmp_path, findings=findings)
    assert "lists 99976 more" in page and len(page) < 200_000


def test_names_are_escaped(tmp_path: Path) -> None:
    photo = Photo(str(tmp_path / MARKUP.replace("/", "") / "a\" onerror=\"alert(2).png"), MARKUP)
    findings = [Finding("outlier", photo, 1.0, MARKUP)]
    page = render(tmp_path, title=MARKUP, labels=[MARKUP, "x' onload='y"],
                  misclassified=[Misclassification(photo, MARKUP, MARKUP, 1, 0)],
                  findings=findings, details={MARKUP: MARKUP}, notes=[MARKUP], label_command=MARKUP)
    elements = Elements(page)
    assert elements.attributes("script") == []
    assert not any(name.startswith("on") for _, attributes in elements.elements for name in attributes)
    assert elements.text.count(MARKUP) >= 6


def test_the_page_omits_sections_without_content(tmp_path: Path) -> None:
    page = render(tmp_path, metrics=None, calibration=(), misclassified=[], occlusion_maps=[], findings=None)
    text = Elements(page).text
    assert "Occlusion maps" not in text
    assert "No photos were held out for testing" in text
    assert "Data doctor" not in text and "Results by class" not in text


@pytest.mark.parametrize("extra", [[], ["--nodoctor", "--testing_percentage=0"], ["--solver=sgd"]])
def test_every_retraining_run_writes_a_report(photo_folder: Path, tiny_module: Path, model_dir: Path, tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch, extra: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (photo_folder / "red").rename(photo_folder / "red & <b>bold<")
    assert retrain.main([f"--image_dir={photo_folder}", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}",
                         "--output_graph=out/my_graph.pb", *extra]) == 0
    page = Elements(Path("out/my_graph.html").read_text("utf-8"))
    assert "Classifier for blue, green, red & <b>bold<" in page.text
    assert "tfpoets label_image --graph=out/my_graph.tflite --image=PHOTO" in page.text
    assert ("The photos were not examined" in page.text) == ("--nodoctor" in extra)
    assert page.attributes("b") == [] or all("bold" not in str(attributes) for attributes in page.attributes("b"))


def test_the_confusion_picture_is_green_on_its_diagonal() -> None:
    y = np.arange(60) % 3
    predicted = np.where(np.arange(60) < 30, y, 0)
    metrics = evaluate(np.eye(3)[predicted], y)
    picture = confusion_picture(metrics, ["a", "b", "a label that is far too long to be shown"])
    pixels = np.asarray(picture).astype(int)
    cells = [[pixels[-(3 - row) * CELL_SIZE - GAP + 4, -(3 - column) * CELL_SIZE - GAP + 4] for column in range(3)]
             for row in range(3)]
    assert tuple(cells[0][0]) == CORRECT_COLOUR and tuple(cells[0][1]) == BACKGROUND
    assert cells[1][0][0] > cells[1][0][1] and cells[1][1][1] > cells[1][1][0]  # half red, half green


def test_a_report_on_ten_thousand_classes_is_small_and_states_what_it_does_not_show(tmp_path: Path) -> None:
    y = np.arange(2000)
    probabilities = np.zeros((2000, 10_000), np.float32)
    probabilities[y, np.where(y < 100, (y + 1) % 100, y)] = 1
    labels, metrics = [f"class {index}" for index in range(10_000)], evaluate(probabilities, y)
    write_report(tmp_path / "report.html", make_content(tmp_path, labels=labels, metrics=metrics))
    page = Elements((tmp_path / "report.html").read_text())
    assert (tmp_path / "report.html").stat().st_size < 1e6
    assert "9,800 more classes are not shown" in page.text
    assert "Only the 40 classes with the most errors, of 10,000" in page.text
    picture = confusion_picture(metrics, labels)
    assert max(picture.size) < 40 * CELL_SIZE + 300


def test_the_curves_picture_has_a_line_for_each_curve() -> None:
    def colours(names: list[str], offset: float) -> set[tuple[int, ...]]:
        picture = curves_picture({name: [
            {"step": step, "accuracy": 0.5 + step / 10 + number * offset, "cross_entropy": 1 - step / 10}
            for step in range(4)] for number, name in enumerate(names)})
        assert picture.size == (1080, 432)
        return {colour for _, colour in picture.getcolors(1 << 24)}
    blue, orange = (31, 119, 180), (255, 127, 14)  # matplotlib's first two colours
    assert blue in colours(["train"], 0) and orange not in colours(["train"], 0)
    assert {blue, orange} <= colours(["train", "validation"], 0.1)
