"""The detectors find planted problems, and almost none in good photos."""
from __future__ import annotations

import csv
import os
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import write_photos
from tfpoets.data import TEST, TRAINING, Dataset, Photo, SplitOptions, read_dataset, split_photos
from tfpoets.doctor import (Finding, examine, find_label_issues, find_neighbours, finding_kinds, required_measures,
                            write_findings)
from tfpoets.extractors import Bottlenecks, Extractor, extract_bottlenecks, open_extractor


def with_all_photos_in_training(bottlenecks: Bottlenecks) -> Dataset:
    """Put all photos into the training part."""
    return split_photos(bottlenecks.dataset, SplitOptions(0, 0))


@pytest.fixture
def extractor(tiny_module: Path, model_dir: Path) -> Extractor:
    return open_extractor(str(tiny_module), model_dir=model_dir)


def examine_folder(root: Path, extractor: Extractor, work_dir: Path, parts: dict[str, int] | None = None,
                   measured: bool = True) -> list[Finding]:
    """Examine the photos of a folder, with or without measures; `parts` maps file names to parts of the split."""
    bottlenecks = extract_bottlenecks(read_dataset(root), extractor, work_dir, required_measures() if measured else ())
    dataset = split_photos(bottlenecks.dataset)
    assert dataset.split
    if parts:
        overridden = [parts.get(photo.name, part) for photo, part in zip(dataset.photos, dataset.split.parts)]
        dataset = replace(dataset, split=replace(dataset.split, parts=np.array(overridden, np.int8)))
    return list(examine(dataset, bottlenecks.unreadable, extractor.height).findings)


def names_of_kind(findings: list[Finding], kind: str) -> set[str]:
    return {finding.short_name for finding in findings if finding.kind == kind}


def test_good_photos_have_no_findings_except_a_few_outliers(photo_folder: Path, extractor: Extractor,
                                                            tmp_path: Path) -> None:
    findings = examine_folder(photo_folder, extractor, tmp_path)
    assert {finding.kind for finding in findings} <= {"outlier"} and len(findings) <= 2


def test_exact_and_resized_duplicates_are_found(photo_folder: Path, extractor: Extractor, tmp_path: Path) -> None:
    red = photo_folder / "red"
    shutil.copy(red / "003.png", red / "exact.png")
    with Image.open(red / "005.png") as photo:
        photo.resize((90, 90)).save(red / "larger.jpg", quality=60)
    findings = examine_folder(photo_folder, extractor, tmp_path)
    assert names_of_kind(findings, "exact_duplicate") == {"red/003.png", "red/exact.png"}
    assert names_of_kind(findings, "near_duplicate") == {"red/005.png", "red/larger.jpg"}
    other_uris = {finding.photo.name: finding.other and finding.other.uri for finding in findings
                  if finding.kind == "near_duplicate"}
    assert other_uris["larger.jpg"] == str(red / "005.png") and names_of_kind(findings, "label_conflict") == set()


def test_a_picture_with_two_labels_is_a_label_conflict(photo_folder: Path, extractor: Extractor,
                                                       tmp_path: Path) -> None:
    shutil.copy(photo_folder / "red" / "003.png", photo_folder / "blue" / "same.png")
    findings = examine_folder(photo_folder, extractor, tmp_path)
    assert names_of_kind(findings, "label_conflict") == {"red/003.png", "blue/same.png"}
    assert findings[0].kind == "label_conflict"


def test_duplicates_in_the_training_and_test_parts_are_a_leak(photo_folder: Path, extractor: Extractor,
                                                              tmp_path: Path) -> None:
    shutil.copy(photo_folder / "red" / "003.png", photo_folder / "red" / "copy.png")
    assert names_of_kind(examine_folder(photo_folder, extractor, tmp_path), "leak") == set()
    findings = examine_folder(photo_folder, extractor, tmp_path, {"copy.png": TEST, "003.png": TRAINING})
    leaks = [finding for finding in findings if finding.kind == "leak"]
    assert {finding.photo.name for finding in leaks} >= {"003.png", "copy.png"}
    assert "training" in leaks[0].suggestion and "test" in leaks[0].suggestion


@pytest.mark.parametrize("measured", [True, False])
def test_unreadable_wrongly_named_and_tiny_files_are_found(photo_folder: Path, extractor: Extractor, tmp_path: Path,
                                                           measured: bool) -> None:
    (photo_folder / "red" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (photo_folder / "red" / "004.png").rename(photo_folder / "red" / "004.jpg")
    with Image.open(photo_folder / "green" / "007.png") as photo:
        photo.resize((6, 6)).save(photo_folder / "green" / "small.png")
    findings = examine_folder(photo_folder, extractor, tmp_path, measured=measured)
    assert names_of_kind(findings, "unreadable") == {"red/broken.jpg"}
    assert names_of_kind(findings, "wrong_suffix") == {"red/004.jpg"}
    assert names_of_kind(findings, "tiny") == {"green/small.png"}
    suggestions = {finding.kind: finding.suggestion for finding in findings}
    assert suggestions["wrong_suffix"] == "has the format PNG: its name should end in .png"
    assert "6 x 6 pixels" in suggestions["tiny"]


def test_files_are_not_read_again_for_their_headers(photo_folder: Path, extractor: Extractor, tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    (photo_folder / "red" / "004.png").rename(photo_folder / "red" / "004.jpg")
    for path in photo_folder.rglob("*.*"):
        os.utime(path, (0, 0))  # files that have just been written are read again
    expected = examine_folder(photo_folder, extractor, tmp_path)
    monkeypatch.setattr(Photo, "open", lambda self: pytest.fail(f"{self.name} was opened"))
    assert examine_folder(photo_folder, extractor, tmp_path) == expected
    assert names_of_kind(expected, "wrong_suffix") == {"red/004.jpg"}


def test_a_small_class_is_an_imbalance(photo_folder: Path, extractor: Extractor, tmp_path: Path) -> None:
    for photo in sorted((photo_folder / "blue").iterdir())[5:]:
        photo.unlink()
    findings = examine_folder(photo_folder, extractor, tmp_path)
    assert names_of_kind(findings, "imbalance") == {f"{photo_folder.name}/blue"}
    assert next(finding.score for finding in findings if finding.kind == "imbalance") == 4


def test_a_photo_unlike_all_others_is_an_outlier(photo_folder: Path, extractor: Extractor, tmp_path: Path) -> None:
    stripes = np.zeros((48, 48, 3), np.uint8)
    stripes[::2] = 255
    Image.fromarray(stripes).save(photo_folder / "green" / "stripes.png")
    findings = examine_folder(photo_folder, extractor, tmp_path)
    assert next(finding for finding in findings if finding.kind == "outlier").photo.name == "stripes.png"


def test_photos_of_rubbish_among_flowers_are_outliers(shared_data: Path, flowers: Path, model_dir: Path,
                                                      tmp_path: Path) -> None:
    shutil.copytree(flowers, tmp_path / "photos")
    for kind in ("glass", "metal", "paper"):
        source = next(path for path in (shared_data / "photos" / "trash").rglob("*") if kind in str(path).lower()
                      and path.is_file() and path.suffix == ".jpg")
        shutil.copy(source, tmp_path / "photos" / "tulips" / f"rubbish_{kind}.jpg")
    extractor = open_extractor(str(shared_data / "modules" / "mobilenet_v2_035_224"), model_dir=model_dir)
    outliers = names_of_kind(examine_folder(tmp_path / "photos", extractor, tmp_path), "outlier")
    assert sum("rubbish" in name for name in outliers) >= 2 and len(outliers) <= 12


def test_flipped_labels_are_found_and_the_true_label_is_predicted(shared_data: Path, flowers: Path, model_dir: Path,
                                                                  tmp_path: Path) -> None:
    extractor = open_extractor(str(shared_data / "modules" / "mobilenet_v2_035_224"), model_dir=model_dir)
    bottlenecks = extract_bottlenecks(read_dataset(flowers), extractor, tmp_path)
    true_y, rng = bottlenecks.dataset.targets, np.random.default_rng(3)
    flipped_rows = rng.choice(len(true_y), 30, replace=False)
    y = true_y.copy()
    y[flipped_rows] = (true_y[flipped_rows] + rng.integers(1, 5, 30)) % 5
    issues = find_label_issues(bottlenecks.features, y, split_photos(bottlenecks.dataset).split.groups,
                               find_neighbours(bottlenecks.features))
    is_flipped = np.zeros(len(true_y), bool)
    is_flipped[flipped_rows] = True
    hits = issues.is_issue & is_flipped
    assert hits.sum() / issues.is_issue.sum() > 0.6
    assert hits.sum() > 15
    assert (issues.predicted[hits] == true_y[hits]).mean() > 0.8
    assert np.median(issues.scores[is_flipped]) > np.percentile(issues.scores[~is_flipped], 95)


def test_the_photo_with_two_labels_in_the_flowers_dataset_is_found(shared_data: Path, flowers: Path, model_dir: Path,
                                                                   tmp_path: Path) -> None:
    extractor = open_extractor(str(shared_data / "modules" / "mobilenet_v1_025_128"), model_dir=model_dir)
    findings = examine_folder(flowers, extractor, tmp_path)
    assert names_of_kind(findings, "label_conflict") == {"roses/15922772266_1167a06620.jpg",
                                                         "tulips/15922772266_1167a06620.jpg"}


def test_neighbours_are_the_most_similar_other_photos() -> None:
    X = np.random.default_rng(0).normal(0, 1, (50, 8)).astype(np.float32)
    X[7] = X[3] * 1.0001
    neighbours = find_neighbours(X, 5)
    assert neighbours.rows[3, 0] == 7 and neighbours.rows[7, 0] == 3
    assert not any(row in neighbours.rows[row] for row in range(50))
    assert (np.diff(neighbours.similarities, axis=1) <= 0).all()
    for mean, actual in ((X.mean(0), neighbours), (0, find_neighbours(X, 5, centered=False))):
        unit = (X - mean) / np.linalg.norm(X - mean, axis=1, keepdims=True)
        cosines = unit @ unit.T
        np.fill_diagonal(cosines, -2)
        assert np.allclose(actual.similarities, -np.sort(-cosines, axis=1)[:, :5], atol=1e-5)
    assert find_neighbours(X[:3], 5).rows.shape == (3, 2)


def test_neighbours_take_little_more_memory_than_the_similarities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfpoets.data.neighbour_index.SELECTED_SIMILARITIES", 250 * 3000)
    X = np.random.default_rng(0).normal(0, 1, (3000, 8)).astype(np.float32)
    tracemalloc.start()
    try:
        neighbours = find_neighbours(X, 1, centered=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * 4 * 3000 ** 2
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    np.fill_diagonal(cosines := unit @ unit.T, -2)
    np.testing.assert_allclose(neighbours.similarities[:, 0], cosines.max(axis=1), rtol=1e-5)
    np.testing.assert_allclose(cosines[np.arange(3000), neighbours.rows[:, 0]], cosines.max(axis=1), rtol=1e-5)


def test_findings_are_written_as_csv(tmp_path: Path) -> None:
    finding = Finding("near_duplicate", Photo(str(tmp_path / 'odd, "name".jpg'), "a"), 0.123456, "is the same, really",
                      Photo(str(tmp_path / "b"), "a"))
    write_findings(tmp_path / "findings.csv", [finding])
    row, = csv.DictReader((tmp_path / "findings.csv").open(encoding="utf-8"))
    assert row == {"kind": "near_duplicate", "file": str(finding.file), "score": "0.1235",
                   "suggestion": "is the same, really", "other": str(tmp_path / "b")}
    assert len(set(finding_kinds())) == 10


def test_two_classes_of_three_photos_can_be_examined(tmp_path: Path, extractor: Extractor) -> None:
    for hue, label in enumerate(("red", "green")):
        write_photos(tmp_path / "photos" / label, 3, hue)
    assert isinstance(examine_folder(tmp_path / "photos", extractor, tmp_path), list)


def test_a_burst_is_reported_photo_by_photo_with_the_photo_that_has_a_different_label(
        photo_folder: Path, extractor: Extractor, tmp_path: Path) -> None:
    with Image.open(photo_folder / "red" / "003.png") as photo:
        for number in range(12):
            photo.resize((60 + number, 60 + number)).save(photo_folder / "red" / f"burst{number}.jpg", quality=60)
        photo.resize((40, 40)).save(photo_folder / "blue" / "stray.jpg")
    findings = examine_folder(photo_folder, extractor, tmp_path)
    assert len(names_of_kind(findings, "near_duplicate")) == 14
    assert names_of_kind(findings, "label_conflict") == {"blue/stray.jpg"}
    assert sum(finding.kind == "near_duplicate" for finding in findings) == 14
    conflict = next(finding for finding in findings if finding.kind == "label_conflict")
    assert conflict.suggestion == "looks the same as 13 photos labelled red"


@pytest.mark.parametrize("n_photos", [3, 4, 5])
def test_labels_of_very_small_classes_are_not_suggested(n_photos: int, photo_folder: Path, extractor: Extractor,
                                                        tmp_path: Path) -> None:
    for path in sorted((photo_folder / "blue").iterdir())[n_photos:]:
        path.unlink()
    findings = [finding for finding in examine_folder(photo_folder, extractor, tmp_path)
                if finding.kind == "likely_wrong_label"]
    assert len(findings) <= 2
    assert all(f"looks like {Path(finding.file).parent.name} " not in finding.suggestion for finding in findings)


def test_classes_of_one_photo_and_identical_photos_in_all_classes_can_be_examined(
        extractor: Extractor, tmp_path: Path) -> None:
    for hue, label in enumerate("abc"):
        write_photos(tmp_path / "ones" / label, 1, hue)
        (tmp_path / "same" / label).mkdir(parents=True)
        for number in range(6):
            shutil.copy(tmp_path / "ones" / "a" / "000.png", tmp_path / "same" / label / f"{number}.png")
    kinds = {}
    for folder in ("ones", "same"):
        bottlenecks = extract_bottlenecks(read_dataset(tmp_path / folder), extractor, tmp_path)
        findings = examine(with_all_photos_in_training(bottlenecks), bottlenecks.unreadable,
                           extractor.height).findings
        kinds[folder] = {finding.kind for finding in findings}
    assert "likely_wrong_label" not in kinds["ones"]
    assert {"exact_duplicate", "label_conflict"} <= kinds["same"]


def test_a_warning_is_logged_instead_of_findings_if_the_classes_cannot_be_separated(
        tmp_path: Path, extractor: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr("tfpoets.doctor.wrong_labels.log.warning", warnings.append)
    for number in range(8):
        write_photos(tmp_path / "photos" / f"class{number}", 12, 0, seed=number)
    findings = examine_folder(tmp_path / "photos", extractor, tmp_path)
    assert names_of_kind(findings, "likely_wrong_label") == set()
    assert any("Wrong labels cannot be found" in warning for warning in warnings)
