"""The index finds the nearest neighbours that a comparison of all rows finds, whatever the number of threads."""
from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from tfpoets.data import connected_groups, neighbour_index
from tfpoets.data.bottleneck_pairs import find_similar_bottlenecks
from tfpoets.data.neighbour_index import UnitVectors, search_neighbours

N_PHOTOS, DEPTH, MAX_EXACT_ROWS = 3000, 96, 500


def planted(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return bottlenecks, and the pairs of rows that are close to each other."""
    rng = np.random.default_rng(seed)
    X = np.maximum(rng.standard_normal((N_PHOTOS, 12)) @ rng.standard_normal((12, DEPTH)), 0).astype(np.float32)
    pairs = rng.permutation(N_PHOTOS)[:400].reshape(-1, 2)
    X[pairs[:, 1]] = X[pairs[:, 0]] + 0.05 * rng.standard_normal((200, DEPTH))
    return X, pairs


@pytest.fixture
def use_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use an index for few rows as well."""
    pytest.importorskip("faiss")
    for module in ("neighbour_index", "bottleneck_pairs"):
        monkeypatch.setattr(f"tfpoets.data.{module}.MAX_EXACT_ROWS", MAX_EXACT_ROWS)


@pytest.fixture
def without_faiss(use_index: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make faiss look as if it were not installed, with datasets that are too large to compare all photos."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


def all_similarities(X: np.ndarray) -> np.ndarray:
    unit = (X - X.mean(axis=0)).astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    similarities = unit @ unit.T
    np.fill_diagonal(similarities, -1)
    return similarities


def check_neighbours(X: np.ndarray, min_recall: float) -> np.ndarray:
    """Search with an index or without it, compare the result with all similarities, and return the neighbours."""
    expected = all_similarities(X)
    neighbours, similarities = search_neighbours(UnitVectors(X), 10)
    assert np.take_along_axis(expected, neighbours, axis=1) == pytest.approx(similarities, abs=1e-5)
    assert (np.diff(similarities, axis=1) <= 0).all() and neighbours.dtype == np.int64
    largest = np.sort(expected, axis=1)[:, :-11:-1]
    assert (similarities > largest[:, -1:] - 1e-5).mean() >= min_recall
    return neighbours


def test_few_rows_are_compared_exactly() -> None:
    X, pairs = planted()
    neighbours = check_neighbours(X, 1.0)
    assert (neighbours[pairs[:, 0], 0] == pairs[:, 1]).all()


def test_the_index_finds_planted_duplicates_and_most_neighbours(use_index: None) -> None:
    X, pairs = planted()
    neighbours = check_neighbours(X, 0.95)
    assert (neighbours[pairs[:, 0], 0] == pairs[:, 1]).mean() >= 0.99


def test_without_faiss_all_rows_are_compared_and_a_note_says_what_would_be_faster(
        without_faiss: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "tfpoets"):
        check_neighbours(planted()[0], 1.0)
    assert "pip install 'tfpoets[scale]'" in caplog.text


def test_the_result_does_not_depend_on_the_number_of_threads(use_index: None, monkeypatch: pytest.MonkeyPatch) -> None:
    X, results = planted()[0], []
    for n_threads in (1, 2):
        monkeypatch.setattr(neighbour_index, "core_count", lambda cores=n_threads: cores)
        with threadpool_limits(n_threads):
            results.append(search_neighbours(UnitVectors(X), 5))
    assert np.array_equal(results[0][0], results[1][0]) and np.array_equal(results[0][1], results[1][1])


def test_pairs_are_found_in_a_memory_map_that_is_not_changed(use_index: None, tmp_path: Path) -> None:
    X, planted_pairs = planted()
    X.tofile(tmp_path / "X")
    mapped = np.memmap(tmp_path / "X", np.float32, "r", shape=X.shape)
    rows = np.random.default_rng(1).permutation(N_PHOTOS)[:2500]
    pairs, similarities, are_complete = find_similar_bottlenecks(mapped, rows)
    found, is_selected = set(map(tuple, np.sort(rows[pairs]).tolist())), np.isin(planted_pairs, rows).all(axis=1)
    expected = set(map(tuple, np.sort(planted_pairs[is_selected]).tolist()))
    assert len(found & expected) >= 0.99 * len(expected) and len(found - expected) <= 1 and are_complete
    assert (similarities > 0.9).all()


@pytest.mark.parametrize("installed", [True, False])
def test_large_groups_are_connected(installed: bool, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("use_index" if installed else "without_faiss")
    X, _ = planted()
    rng = np.random.default_rng(1)
    X[:100] = X[0]  # identical
    # Two bursts of the same scene: each photo has more neighbours in its burst than are searched for.
    X[100:200], X[200:300] = X[100], X[100] + 0.2 * rng.standard_normal(DEPTH)
    X[100:300] += 0.005 * rng.standard_normal((200, DEPTH))
    pairs, _, are_complete = find_similar_bottlenecks(X, np.arange(N_PHOTOS))
    groups = connected_groups(pairs, N_PHOTOS)
    assert len(set(groups[:100])) == 1 and len(set(groups[100:300])) == 1 and groups[0] != groups[100]
    assert not are_complete and len(pairs) < 300 * 101
