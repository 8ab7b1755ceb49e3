"""The report is one file, says what it should, and lets no name of a photo or a label write into it."""
from __future__ import annotations

import html.parser
import re
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import write_photos
from tfpoets.cli import retrain
from tfpoets.data import Photo
from tfpoets.doctor import Finding
from tfpoets.evaluation import calibration_bins, evaluate
from tfpoets.report import (Misclassification, OcclusionMap, ReportContent, confusion_picture, curves_picture,
                            write_report)
from tfpoets.report.pictures import CELL, GAP, GOOD, GROUND

EVIL = "<script>alert(1)</script>\"'&"


class Elements(html.parser.HTMLParser):
    """Every element of a page with its attributes, and its text."""

    def __init__(self, page: str):
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.found if name == tag]


def content(folder: Path, **changes) -> ReportContent:
    write_photos(folder / "photos", 2, 0)
    photo = Photo(str(folder / "photos" / "000.png"), "cat")
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]])
    classes = np.array([0, 1, 1, 0])
    plain = {
        "title": "A classifier of cat, dog", "labels": ["cat", "dog"], "metrics": evaluate(probabilities, classes),
        "unseen": True, "unknown": [],
        "bins": calibration_bins(probabilities.max(1), probabilities.argmax(1) == classes),
        "misclassified": [Misclassification(photo, "dog", "cat", 0.7, 0.3)],
        "occlusion_maps": [OcclusionMap(photo, "dog", "cat", 0.7, np.eye(6) / 2)],
        "findings": [Finding("outlier", photo, 4.2, "is like no other photo"),
                     Finding("unreadable", Photo(str(folder / "gone.jpg"), "cat"), 1.0, "cannot be used")],
        "curves": {"train": [{"step": 0, "accuracy": 0.5, "cross_entropy": 0.7},
                             {"step": 1, "accuracy": 0.75, "cross_entropy": 0.3}],
                   "validation": [{"step": 0, "accuracy": float("nan"), "cross_entropy": float("nan")}]},
        "facts": {"extractor": "tiny"}, "notes": ["one photo moved"], "command": "label it"}
    return ReportContent(**{**plain, **changes})


def page_of(folder: Path, **changes) -> str:
    write_report(folder / "report.html", content(folder, **changes))
    return (folder / "report.html").read_text("utf-8")


def test_the_page_says_what_was_found(tmp_path: Path) -> None:
    page = Elements(page_of(tmp_path))
    text = " ".join(page.text.split())
    assert "Of 4 test photos that it had never seen, this classifier named 75.0% rightly." in text
    assert "4 photos are too few to tell" in text and "Most often taken for another: dog for cat (1)" in text
    assert "Wrong answers (1)" in text and "What the data doctor found (2)" in text and "no picture" in text
    assert "one photo moved" in text and "label it" in text and "expected calibration error" in text
    assert "Where it looks" in text and "cat 70%, is dogcovered, at most 50 points less" in text
    assert len(page.of("img")) == 4 and len(page.of("circle")) >= 2
    assert page.of("polyline")[0]["points"] == "0.0,100.0 100.0,0.0"


def test_the_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    elements = Elements(page)
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in elements.found}
    assert all(each["src"].startswith("data:image/jpeg;base64,") for each in elements.of("img"))
    assert not re.search(r"https?://|url\(|@import", page)
    assert any("default-src 'none'" in each.get("content", "") for each in elements.of("meta"))


def test_names_write_nothing_into_the_page(tmp_path: Path) -> None:
    photo = Photo(str(tmp_path / EVIL.replace("/", "") / "a\" onerror=\"alert(2).png"), EVIL)
    findings = [Finding("outlier", photo, 1.0, EVIL)]
    page = page_of(tmp_path, title=EVIL, labels=[EVIL, "x' onload='y"],
                   misclassified=[Misclassification(photo, EVIL, EVIL, 1, 0)],
                   findings=findings, facts={EVIL: EVIL}, notes=[EVIL], command=EVIL)
    elements = Elements(page)
    assert elements.of("script") == []
    assert not any(name.startswith("on") for _, attributes in elements.found for name in attributes)
    assert elements.text.count(EVIL) >= 6


def test_without_test_photos_and_without_the_doctor_there_is_still_a_page(tmp_path: Path) -> None:
    text = Elements(page_of(tmp_path, metrics=None, bins=(), misclassified=[], occlusion_maps=[], findings=None)).text
    assert "Where it looks" not in text
    assert "No photos were kept for a test" in text and "data doctor" not in text and "Class by class" not in text


@pytest.mark.parametrize("extra", [[], ["--nodoctor", "--testing_percentage=0"], ["--solver=sgd"]])
def test_every_retrain_writes_one(photo_folder: Path, tiny_module: Path, model_dir: Path, tmp_path: Path,
                                  monkeypatch: pytest.MonkeyPatch, extra: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (photo_folder / "red").rename(photo_folder / "red & <b>bold<")
    assert retrain.main([f"--image_dir={photo_folder}", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}",
                         "--output_graph=out/my_graph.pb", *extra]) == 0
    page = Elements(Path("out/my_graph.html").read_text("utf-8"))
    assert "A classifier of blue, green, red & <b>bold<" in page.text
    assert "tfpoets label_image --graph=out/my_graph.tflite --image=PHOTO" in page.text
    assert page.of("b") == [] or all("bold" not in str(each) for each in page.of("b"))


def test_the_confusion_picture_is_green_on_its_diagonal_and_leaves_out_what_cannot_be_read() -> None:
    truth = np.arange(60) % 3
    answers = np.where(np.arange(60) < 30, truth, 0)
    metrics = evaluate(np.eye(3)[answers], truth)
    picture = confusion_picture(metrics, ["a", "b", "a label that is far too long to be shown"])
    pixels = np.asarray(picture).astype(int)
    cells = [[pixels[-(3 - row) * CELL - GAP + 4, -(3 - column) * CELL - GAP + 4] for column in range(3)]
             for row in range(3)]
    assert tuple(cells[0][0]) == GOOD and tuple(cells[0][1]) == GROUND
    assert cells[1][0][0] > cells[1][0][1] and cells[1][1][1] > cells[1][1][0]  # half red, half green
    assert confusion_picture(metrics, ["x"] * 41) is None


def test_the_curves_picture_shows_every_run() -> None:
    def colours(runs: list[str], apart: float) -> set[tuple[int, ...]]:
        picture = curves_picture({run: [
            {"step": step, "accuracy": 0.5 + step / 10 + place * apart, "cross_entropy": 1 - step / 10}
            for step in range(4)] for place, run in enumerate(runs)})
        assert picture.size == (1080, 432)
        return {colour for _, colour in picture.getcolors(1 << 24)}
    blue, orange = (31, 119, 180), (255, 127, 14)  # matplotlib's first two colours
    assert blue in colours(["train"], 0) and orange not in colours(["train"], 0)
    assert {blue, orange} <= colours(["train", "validation"], 0.1)
