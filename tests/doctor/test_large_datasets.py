"""The detectors at sizes where not everything can be compared with everything."""
from __future__ import annotations

import logging
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tfpoets.data import Dataset, Photo, Split
from tfpoets.doctor import examine, find_label_issues, find_neighbours
from tfpoets.doctor.label_votes import sample_rows
from tfpoets.doctor.neighbours import Neighbours


@pytest.fixture
def indexes_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr("tfpoets.data.neighbour_index.MAX_EXACT_ROWS", 100)
    monkeypatch.setattr("tfpoets.doctor.neighbours.MAX_EXACT_ROWS", 100)


def make_clusters(n_photos: int, n_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return bottlenecks in one cluster for each class, and the classes."""
    rng = np.random.default_rng(seed)
    y = np.sort(rng.permutation(n_photos) % n_classes)
    return (rng.normal(0, 1, (n_classes, 32))[y] + rng.normal(0, 0.4, (n_photos, 32))).astype(np.float32), y


def flip_labels(y: np.ndarray, n_flipped: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels with some of them wrong, and which ones are."""
    rng = np.random.default_rng(1)
    rows = rng.choice(len(y), n_flipped, replace=False)
    changed = y.copy()
    changed[rows] = (y[rows] + rng.integers(1, int(y.max()), n_flipped)) % (int(y.max()) + 1)
    return changed, np.isin(np.arange(len(y)), rows)


@pytest.mark.usefixtures("indexes_everything")
@pytest.mark.parametrize("centered", [True, False])
def test_an_index_finds_planted_duplicates_in_a_memory_map(centered: bool, tmp_path: Path) -> None:
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float32, (6000, 32))
    X[:] = make_clusters(6000, 20)[0]
    X[3000:3300] = X[:300] + np.random.default_rng(2).normal(0, 0.02, (300, 32))
    neighbours = find_neighbours(X, 5, centered)
    assert (neighbours.rows[:300, 0] == np.arange(3000, 3300)).mean() >= 0.99
    assert (neighbours.rows[3000:3300, 0] == np.arange(300)).mean() >= 0.99
    unit = X - X.mean(axis=0) * centered
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    expected = (unit[:, None] * unit[neighbours.rows]).sum(axis=2)
    np.testing.assert_allclose(neighbours.similarities, expected, atol=1e-5)


def test_sampled_heads_find_about_what_heads_for_all_photos_find(monkeypatch: pytest.MonkeyPatch) -> None:
    X, true_y = make_clusters(1500, 30)
    y, is_wrong = flip_labels(true_y, 40)
    expected, neighbours = find_label_issues(X, y, np.arange(1500), find_neighbours(X)), find_neighbours(X)
    monkeypatch.setattr("tfpoets.doctor.wrong_labels.MAX_HEAD_PHOTOS", 500)
    monkeypatch.setattr("tfpoets.doctor.label_votes.MAX_HEAD_PHOTOS", 500)
    issues = find_label_issues(X, y, np.arange(1500), neighbours)
    assert issues.is_issue.any() and not (issues.is_issue & ~is_wrong).any()
    assert (issues.is_issue != expected.is_issue).sum() <= 8
    assert (issues.predicted == expected.predicted).mean() > 0.99
    assert np.abs(issues.confidence - expected.confidence).max() < 0.1
    assert np.corrcoef(issues.scores, expected.scores)[0, 1] > 0.99


def test_with_too_many_classes_for_heads_the_neighbours_decide(monkeypatch: pytest.MonkeyPatch,
                                                               caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("tfpoets.doctor.wrong_labels.MAX_HEAD_SCORES", 1)
    monkeypatch.setattr("tfpoets.doctor.label_votes.MAX_HEAD_SCORES", 1)
    caplog.set_level(logging.INFO, "tfpoets")
    X, true_y = make_clusters(1500, 30)
    y, is_wrong = flip_labels(true_y, 40)
    issues = find_label_issues(X, y, np.arange(1500), find_neighbours(X))
    assert issues.is_reliable and (issues.is_issue & is_wrong).sum() >= 38 and issues.is_issue.sum() <= 45
    assert (issues.predicted[is_wrong] == true_y[is_wrong]).mean() > 0.95
    assert issues.scores[is_wrong].min() > np.percentile(issues.scores[~is_wrong], 95)
    assert caplog.text.count("too many classes") == 1


def test_a_wrong_label_is_not_supported_by_a_near_duplicate_with_the_same_label(monkeypatch: pytest.MonkeyPatch
                                                                                ) -> None:
    monkeypatch.setattr("tfpoets.doctor.wrong_labels.MAX_HEAD_PHOTOS", 10)
    X, y = make_clusters(600, 6)
    X[1] = X[0]
    y[:2] = 5
    groups = np.arange(600)
    groups[1] = 0
    assert find_label_issues(X, y, groups, find_neighbours(X)).is_issue[:2].all()


def test_ten_thousand_classes_take_little_memory() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(10_000), 3)
    neighbours = Neighbours(rng.integers(0, len(y), (len(y), 30)), rng.uniform(0, 1, (len(y), 30)).astype(np.float32))
    tracemalloc.start()
    try:
        issues = find_label_issues(np.zeros((len(y), 8), np.float32), y, np.arange(len(y)), neighbours)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100e6  # one probability for each photo and class takes 2.4 GB
    assert not issues.is_issue.any()  # three photos are too few to suspect a label


def test_a_sample_contains_all_photos_of_small_classes() -> None:
    y = np.repeat([0, 1, 2, 3], [5, 10_000, 50, 3000])
    mask = np.ones(len(y), bool)
    mask[:2] = False
    rows = sample_rows(y, mask, 1000)
    assert mask[rows].all() and (np.diff(rows) > 0).all()
    assert np.bincount(y[rows]).tolist() == [3, 473, 50, 473]
    assert rows.tolist() == sample_rows(y, mask, 1000).tolist()
    assert sample_rows(y, mask, 20_000).tolist() == np.flatnonzero(mask).tolist()


@pytest.mark.usefixtures("indexes_everything")
def test_many_photos_in_a_memory_map_can_be_examined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfpoets.doctor.wrong_labels.MAX_HEAD_PHOTOS", 1000)
    monkeypatch.setattr("tfpoets.doctor.label_votes.MAX_HEAD_PHOTOS", 1000)
    clusters, true_y = make_clusters(3000, 6)
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float32, clusters.shape)
    X[:] = clusters
    X[7] = -X[7]
    y, is_wrong = flip_labels(true_y, 20)
    photos = tuple(Photo(f"{row}.jpg", str(label), f"{row:032x}") for row, label in enumerate(y))
    hashes = np.random.default_rng(0).integers(0, 256, (3000, 32), np.uint8)
    split = Split(np.zeros(3000, np.int8), 0, "", np.arange(3000))
    dataset = Dataset("photos", tuple("012345"), photos, hashes, X, split)
    examination = examine(dataset, (), 224)
    assert not examination.failed_checks
    suspected = {finding.photo.name for finding in examination.findings if finding.kind == "likely_wrong_label"}
    assert len(suspected) >= 5 and suspected <= {f"{row}.jpg" for row in np.flatnonzero(is_wrong)}
    assert "7.jpg" in [finding.photo.name for finding in examination.findings if finding.kind == "outlier"]
