"""Planted trouble is found, and healthy photos are left in peace."""
from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import write_photos
from tfpoets.data import TEST, TRAINING, Dataset, Photo, SplitOptions, read_dataset, split_photos
from tfpoets.doctor import Finding, examine, find_label_issues, find_neighbours, finding_kinds, write_findings
from tfpoets.extractors import Bottlenecks, Extractor, extract_bottlenecks, open_extractor


def whole(found: Bottlenecks) -> Dataset:
    """All photos for training."""
    return split_photos(found.dataset, SplitOptions(0, 0))


@pytest.fixture
def extractor(tiny_module: Path, model_dir: Path) -> Extractor:
    return open_extractor(str(tiny_module), model_dir=model_dir)


def examined(root: Path, extractor: Extractor, work: Path, parts: dict[str, int] | None = None) -> list[Finding]:
    """All findings; `parts` plants the part of photos by file name."""
    found = extract_bottlenecks(read_dataset(root), extractor, work)
    dataset = split_photos(found.dataset)
    assert dataset.split
    if parts:
        planted = [parts.get(photo.name, part) for photo, part in zip(dataset.photos, dataset.split.parts)]
        dataset = replace(dataset, split=replace(dataset.split, parts=np.array(planted, np.int8)))
    return examine(dataset, found.unreadable, extractor.height)


def named(findings: list[Finding], kind: str) -> set[str]:
    return {each.short_name for each in findings if each.kind == kind}


def test_healthy_photos_give_no_finding_but_what_chance_makes_look_odd(photo_folder: Path, extractor: Extractor,
                                                                       tmp_path: Path) -> None:
    findings = examined(photo_folder, extractor, tmp_path)
    assert {each.kind for each in findings} <= {"outlier"} and len(findings) <= 2


def test_copies_are_found_whatever_was_done_to_them(photo_folder: Path, extractor: Extractor, tmp_path: Path) -> None:
    red = photo_folder / "red"
    shutil.copy(red / "003.png", red / "exact.png")
    with Image.open(red / "005.png") as photo:
        photo.resize((90, 90)).save(red / "larger.jpg", quality=60)
    findings = examined(photo_folder, extractor, tmp_path)
    assert named(findings, "exact_duplicate") == {"red/003.png", "red/exact.png"}
    assert named(findings, "near_duplicate") == {"red/005.png", "red/larger.jpg"}
    other = {each.photo.name: each.other and each.other.uri for each in findings if each.kind == "near_duplicate"}
    assert other["larger.jpg"] == str(red / "005.png") and named(findings, "label_conflict") == set()


def test_one_picture_under_two_labels_is_a_conflict(photo_folder: Path, extractor: Extractor, tmp_path: Path) -> None:
    shutil.copy(photo_folder / "red" / "003.png", photo_folder / "blue" / "same.png")
    findings = examined(photo_folder, extractor, tmp_path)
    assert named(findings, "label_conflict") == {"red/003.png", "blue/same.png"}
    assert findings[0].kind == "label_conflict"


def test_a_planted_leak_between_training_and_test_is_caught(photo_folder: Path, extractor: Extractor,
                                                            tmp_path: Path) -> None:
    shutil.copy(photo_folder / "red" / "003.png", photo_folder / "red" / "copy.png")
    assert named(examined(photo_folder, extractor, tmp_path), "leak") == set()
    findings = examined(photo_folder, extractor, tmp_path, {"copy.png": TEST, "003.png": TRAINING})
    leaks = [each for each in findings if each.kind == "leak"]
    assert {each.photo.name for each in leaks} >= {"003.png", "copy.png"}
    assert "training" in leaks[0].suggestion and "test" in leaks[0].suggestion


def test_files_that_are_not_what_they_seem(photo_folder: Path, extractor: Extractor, tmp_path: Path) -> None:
    (photo_folder / "red" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (photo_folder / "red" / "004.png").rename(photo_folder / "red" / "004.jpg")
    with Image.open(photo_folder / "green" / "007.png") as photo:
        photo.resize((6, 6)).save(photo_folder / "green" / "small.png")
    findings = examined(photo_folder, extractor, tmp_path)
    assert named(findings, "unreadable") == {"red/broken.jpg"}
    assert named(findings, "wrong_suffix") == {"red/004.jpg"} and named(findings, "tiny") == {"green/small.png"}
    told = {each.kind: each.suggestion for each in findings}
    assert told["wrong_suffix"] == "is PNG: its name should end in .png" and "6 x 6 pixels" in told["tiny"]


def test_a_small_class_is_said_to_be_small(photo_folder: Path, extractor: Extractor, tmp_path: Path) -> None:
    for photo in sorted((photo_folder / "blue").iterdir())[5:]:
        photo.unlink()
    findings = examined(photo_folder, extractor, tmp_path)
    assert named(findings, "imbalance") == {f"{photo_folder.name}/blue"}
    assert next(each.score for each in findings if each.kind == "imbalance") == 4


def test_a_photo_like_no_other_is_an_outlier(photo_folder: Path, extractor: Extractor, tmp_path: Path) -> None:
    stripes = np.zeros((48, 48, 3), np.uint8)
    stripes[::2] = 255
    Image.fromarray(stripes).save(photo_folder / "green" / "stripes.png")
    findings = examined(photo_folder, extractor, tmp_path)
    assert next(each for each in findings if each.kind == "outlier").photo.name == "stripes.png"


def test_rubbish_among_flowers_is_found(shared_data: Path, flowers: Path, model_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(flowers, tmp_path / "photos")
    for kind in ("glass", "metal", "paper"):
        source = next(path for path in (shared_data / "photos" / "trash").rglob("*") if kind in str(path).lower()
                      and path.is_file() and path.suffix == ".jpg")
        shutil.copy(source, tmp_path / "photos" / "tulips" / f"rubbish_{kind}.jpg")
    extractor = open_extractor(str(shared_data / "modules" / "mobilenet_v2_035_224"), model_dir=model_dir)
    found = named(examined(tmp_path / "photos", extractor, tmp_path), "outlier")
    assert sum("rubbish" in name for name in found) >= 2 and len(found) <= 12


def test_flipped_labels_are_found_and_the_right_one_is_suggested(shared_data: Path, flowers: Path, model_dir: Path,
                                                                 tmp_path: Path) -> None:
    extractor = open_extractor(str(shared_data / "modules" / "mobilenet_v2_035_224"), model_dir=model_dir)
    found = extract_bottlenecks(read_dataset(flowers), extractor, tmp_path)
    classes, random = found.dataset.targets, np.random.default_rng(3)
    picked = random.choice(len(classes), 30, replace=False)
    labels = classes.copy()
    labels[picked] = (classes[picked] + random.integers(1, 5, 30)) % 5
    suspicion = find_label_issues(found.features, labels, split_photos(found.dataset).split.groups,
                               find_neighbours(found.features))
    wrong = np.zeros(len(classes), bool)
    wrong[picked] = True
    assert (suspicion.listed & wrong).sum() / suspicion.listed.sum() > 0.6
    assert (suspicion.listed & wrong).sum() > 15
    hits = suspicion.listed & wrong
    assert (suspicion.suggested[hits] == classes[hits]).mean() > 0.8
    assert np.median(suspicion.scores[wrong]) > np.percentile(suspicion.scores[~wrong], 95)


def test_the_photo_that_the_flowers_hold_under_two_labels_is_found(shared_data: Path, flowers: Path, model_dir: Path,
                                                                   tmp_path: Path) -> None:
    extractor = open_extractor(str(shared_data / "modules" / "mobilenet_v1_025_128"), model_dir=model_dir)
    findings = examined(flowers, extractor, tmp_path)
    assert named(findings, "label_conflict") == {"roses/15922772266_1167a06620.jpg",
                                                 "tulips/15922772266_1167a06620.jpg"}


def test_neighbours_are_the_most_similar_others() -> None:
    x = np.random.default_rng(0).normal(0, 1, (50, 8)).astype(np.float32)
    x[7] = x[3] * 1.0001
    found = find_neighbours(x, 5)
    assert found.rows[3, 0] == 7 and found.rows[7, 0] == 3
    assert not any(row in found.rows[row] for row in range(50))
    assert (np.diff(found.similarities, axis=1) <= 0).all()
    for centre, each in ((x.mean(0), found), (0, find_neighbours(x, 5, centred=False))):
        unit = (x - centre) / np.linalg.norm(x - centre, axis=1, keepdims=True)
        cosines = unit @ unit.T
        np.fill_diagonal(cosines, -2)
        assert np.allclose(each.similarities, -np.sort(-cosines, axis=1)[:, :5], atol=1e-5)
    assert find_neighbours(x[:3], 5).rows.shape == (3, 2)


def test_findings_are_written_as_they_are(tmp_path: Path) -> None:
    finding = Finding("near_duplicate", Photo(str(tmp_path / 'odd, "name".jpg'), "a"), 0.123456, "is the same, really",
                      Photo(str(tmp_path / "b"), "a"))
    write_findings(tmp_path / "findings.csv", [finding])
    row, = csv.DictReader((tmp_path / "findings.csv").open(encoding="utf-8"))
    assert row == {"kind": "near_duplicate", "file": str(finding.file), "score": "0.1235",
                   "suggestion": "is the same, really", "other": str(tmp_path / "b")}
    assert len(set(finding_kinds())) == 10


def test_two_photos_a_class_are_enough_to_look_at(tmp_path: Path, extractor: Extractor) -> None:
    for hue, label in enumerate(("red", "green")):
        write_photos(tmp_path / "photos" / label, 3, hue)
    assert isinstance(examined(tmp_path / "photos", extractor, tmp_path), list)


def test_a_burst_is_told_photo_by_photo_with_the_one_under_another_label(photo_folder: Path, extractor: Extractor,
                                                                         tmp_path: Path) -> None:
    with Image.open(photo_folder / "red" / "003.png") as photo:
        for number in range(12):
            photo.resize((60 + number, 60 + number)).save(photo_folder / "red" / f"burst{number}.jpg", quality=60)
        photo.resize((40, 40)).save(photo_folder / "blue" / "strayed.jpg")
    findings = examined(photo_folder, extractor, tmp_path)
    assert len(named(findings, "near_duplicate")) == 14
    assert named(findings, "label_conflict") == {"blue/strayed.jpg"}
    assert sum(each.kind == "near_duplicate" for each in findings) == 14
    conflict = next(each for each in findings if each.kind == "label_conflict")
    assert conflict.suggestion == "looks like 13 photos of red"


@pytest.mark.parametrize("few", [3, 4, 5])
def test_a_class_of_few_photos_makes_no_other_label_suspect(few: int, photo_folder: Path, extractor: Extractor,
                                                            tmp_path: Path) -> None:
    for path in sorted((photo_folder / "blue").iterdir())[few:]:
        path.unlink()
    findings = [each for each in examined(photo_folder, extractor, tmp_path) if each.kind == "likely_wrong_label"]
    assert len(findings) <= 2
    assert all(f"looks like {Path(each.file).parent.name} " not in each.suggestion for each in findings)


def test_one_photo_a_class_and_one_picture_in_all_classes_are_no_trouble(
        extractor: Extractor, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for hue, label in enumerate("abc"):
        write_photos(tmp_path / "ones" / label, 1, hue)
        (tmp_path / "same" / label).mkdir(parents=True)
        for number in range(6):
            shutil.copy(tmp_path / "ones" / "a" / "000.png", tmp_path / "same" / label / f"{number}.png")
    found = extract_bottlenecks(read_dataset(tmp_path / "ones"), extractor, tmp_path)
    kinds = {each.kind for each in examine(whole(found), found.unreadable, extractor.height)}
    assert "likely_wrong_label" not in kinds
    found = extract_bottlenecks(read_dataset(tmp_path / "same"), extractor, tmp_path)
    kinds = {each.kind for each in examine(whole(found), found.unreadable, extractor.height)}
    assert {"exact_duplicate", "label_conflict"} <= kinds


def test_where_the_classes_cannot_be_told_apart_no_label_is_suspected_and_it_is_said(
        tmp_path: Path, extractor: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("tfpoets.doctor.wrong_labels.log.warning", lambda text, *given: said.append(text % given))
    for number in range(8):
        write_photos(tmp_path / "photos" / f"class{number}", 12, 0, seed=number)
    findings = examined(tmp_path / "photos", extractor, tmp_path)
    assert named(findings, "likely_wrong_label") == set()
    assert any("Wrong labels cannot be found" in sentence for sentence in said)
