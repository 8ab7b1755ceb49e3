"""The score of unknown photos, and its threshold."""
from __future__ import annotations

import numpy as np
import pytest

from tfpoets.data import Examples
from tfpoets.tf_runtime import import_tensorflow
from tfpoets.training import UnknownScore, fit_unknown_score, unknown_score


def clusters(seed: int = 0, count: int = 60, depth: int = 40, n_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return bottlenecks in one cluster per class, with their targets."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, 1, (n_classes, depth)) + 2
    y = np.repeat(np.arange(n_classes), count)
    return (centres[y] + rng.normal(0, 0.5, (len(y), depth))).astype(np.float32), y


def fit(X: np.ndarray, y: np.ndarray, validation: np.ndarray, coverage: float) -> UnknownScore:
    n_classes = int(y.max()) + 1
    validation_examples = Examples(validation, np.zeros(len(validation), int), n_classes)
    return fit_unknown_score(Examples(X, y, n_classes), validation_examples, coverage)


def test_unknown_photos_have_higher_scores_than_photos_of_the_classes() -> None:
    X, y = clusters()
    score = fit(X, y, clusters(1, 20)[0], 0.95)
    known_scores = score.scores(clusters(2)[0])
    another_class = clusters(3, n_classes=4)[0][-60:]
    something_else = np.random.default_rng(4).normal(0, 2, (60, 40)).astype(np.float32)
    assert score.scores(another_class).min() > np.quantile(known_scores, 0.95)
    assert score.scores(something_else).min() > known_scores.max()


@pytest.mark.parametrize("coverage", [0.5, 0.9, 1.0])
def test_the_threshold_has_the_requested_coverage(coverage: float) -> None:
    X, y = clusters()
    validation = clusters(1, 21)[0]
    score = fit(X, y, validation, coverage)
    covered = np.mean(score.scores(validation) <= np.float32(score.threshold))
    assert coverage <= covered < coverage + 0.04


def test_the_relative_distance_equals_the_difference_of_two_mahalanobis_distances() -> None:
    X, y = clusters()
    score = fit(X, y, clusters(1, 20)[0], 0.95)
    new = np.concatenate([clusters(2, 5)[0], np.random.default_rng(4).normal(0, 2, (5, 40)).astype(np.float32)])
    means = np.stack([X[y == label].mean(0) for label in range(3)])
    within = np.cov((X - means[y]).T, bias=True)
    within += 3 * np.trace(within) / 40 * np.eye(40)
    between = np.cov(means[y].T, bias=True)

    def distance(a: np.ndarray, b: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        return np.einsum("ij,jk,ik->i", a - b, np.linalg.inv(covariance), a - b)
    nearest = np.min([distance(new, mean, within) for mean in means], axis=0)
    expected = nearest - distance(new, X.mean(0), within + between)
    assert np.abs(score.raw_scores(new)[1] - expected).max() < 1e-3 * np.abs(expected).max()


def test_at_most_2000_references_are_kept_and_every_class_has_some() -> None:
    X, y = clusters(count=1500, depth=8)
    extra, _ = clusters(5, count=1, depth=8)
    X, y = np.concatenate([X, extra[:1] + 50]), np.concatenate([y, [3]])
    score = fit(X, y, clusters(1, 20, depth=8)[0], 0.95)
    assert score.references.shape == (2000, 8)
    rare = (extra[:1] + 50) / np.linalg.norm(extra[:1] + 50)
    assert (np.abs(score.references - rare).max(axis=1) < 1e-6).any()
    assert np.abs(np.linalg.norm(score.references, axis=1) - 1).max() < 1e-5


def test_one_photo_per_class_is_enough() -> None:
    X, y = clusters(count=1)
    score = fit(X, y, clusters(1, 1)[0], 0.9)
    assert np.isfinite(score.scores(clusters(2)[0])).all()


def many_classes(per_class: int, seed: int, n_classes: int = 3000, depth: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Return bottlenecks of thousands of classes that are equally spread, with their targets."""
    centres = np.abs(np.random.default_rng(99).normal(0, 1, (n_classes, depth)))
    centres *= 8 / np.linalg.norm(centres, axis=1, keepdims=True)
    y = np.repeat(np.arange(n_classes), per_class)
    noise = np.random.default_rng(seed).normal(0, 0.15, (len(y), depth))
    return np.maximum(centres[y] + noise, 0).astype(np.float32), y


@pytest.mark.parametrize("reference_bytes", [1 << 26, 0])
def test_photos_of_each_of_3000_classes_are_accepted_at_the_requested_coverage(
        reference_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unknown_score, "MAX_REFERENCE_BYTES", reference_bytes)
    X, y = many_classes(5, 0)
    score = fit(X, y, many_classes(1, 1)[0], 0.9)
    assert len(score.references) == (3 * 3000 if reference_bytes else 3000)
    new, new_y = many_classes(10, 2)
    accepted = score.scores(new) <= score.threshold
    assert 0.88 < accepted.mean() < 0.92
    of_class = np.bincount(new_y, accepted) / 10
    # If all photos had the same chance, 0.2% of the classes would have fewer than half of their photos accepted.
    assert np.mean(of_class < 0.5) < 0.06 and np.mean(of_class == 0) < 0.01
    halves = [accepted[new_y < 2000].mean(), accepted[new_y >= 2000].mean()]
    assert abs(halves[0] - halves[1]) < 0.02
    other_classes = np.abs(np.random.default_rng(7).normal(0, 1, (500, 64))).astype(np.float32)
    assert np.mean(score.scores(other_classes) > score.threshold) > 0.95


def test_scores_of_many_classes_are_the_distances_of_fewer_classes() -> None:
    X, y = many_classes(5, 0, 60)
    new, validation = many_classes(1, 2, 60)[0], many_classes(1, 1, 60)[0]
    pairs = fit(X, y, validation, 0.9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unknown_score, "MAX_REFERENCES", 50)
        direct = fit(X, y, validation, 0.9)
    assert pairs.coupling.shape == (60, 60) and direct.coupling.shape == (64, 64)
    assert direct.raw_scores(new)[1] == pytest.approx(pairs.raw_scores(new)[1], rel=1e-3, abs=1e-3)


def test_the_graph_of_many_classes_has_the_same_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    tensorflow = import_tensorflow()
    monkeypatch.setattr(unknown_score, "MAX_REFERENCES", 50)
    score = fit(*many_classes(5, 0, 60), many_classes(1, 1, 60)[0], 0.9)
    new = many_classes(1, 2, 60)[0]
    with tensorflow.Graph().as_default() as graph, tensorflow.compat.v1.Session(graph=graph) as session:
        outputs = session.run(score.add_to_graph(tensorflow.constant(new)))
    assert outputs == pytest.approx(score.scores(new), rel=1e-4, abs=1e-4)


def test_large_inputs_are_scored_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = clusters()
    new, expected = clusters(2)[0], fit(X, y, clusters(1, 20)[0], 0.95)
    monkeypatch.setattr(unknown_score, "BLOCK_VALUES", 2000)
    score = fit(X, y, clusters(1, 20)[0], 0.95)
    assert score.scores(new) == pytest.approx(expected.scores(new), rel=1e-4, abs=1e-4)
    assert score.scores(new[:0]).shape == (0,)
