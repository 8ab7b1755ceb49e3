"""The score for photos that are like no training photo."""
from __future__ import annotations

import numpy as np
import pytest

from tfpoets.data import Examples
from tfpoets.training import UnknownScore, fit_unknown_score


def clusters(seed: int = 0, count: int = 60, depth: int = 40, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Photos of some classes, each around a place of its own."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, 1, (classes, depth)) + 2
    y = np.repeat(np.arange(classes), count)
    return (centres[y] + random.normal(0, 0.5, (len(y), depth))).astype(np.float32), y


def fitted_to(x: np.ndarray, y: np.ndarray, validation: np.ndarray, coverage: float) -> UnknownScore:
    n_classes = int(y.max()) + 1
    held = Examples(validation, np.zeros(len(validation), int), n_classes)
    return fit_unknown_score(Examples(x, y, n_classes), held, coverage)


def test_photos_of_no_class_score_higher_than_photos_of_one() -> None:
    x, y = clusters()
    fitted = fitted_to(x, y, clusters(1, 20)[0], 0.95)
    known = fitted.scores(clusters(2)[0])
    another_class = clusters(3, classes=4)[0][-60:]
    something_else = np.random.default_rng(4).normal(0, 2, (60, 40)).astype(np.float32)
    assert fitted.scores(another_class).min() > np.quantile(known, 0.95)
    assert fitted.scores(something_else).min() > known.max()


@pytest.mark.parametrize("coverage", [0.5, 0.9, 1.0])
def test_the_threshold_keeps_the_stated_share_of_the_validation_photos(coverage: float) -> None:
    x, y = clusters()
    validation = clusters(1, 21)[0]
    fitted = fitted_to(x, y, validation, coverage)
    kept = np.mean(fitted.scores(validation) <= np.float32(fitted.threshold))
    assert coverage <= kept < coverage + 0.04


def test_the_relative_distance_is_that_of_two_covariances() -> None:
    x, y = clusters()
    fitted = fitted_to(x, y, clusters(1, 20)[0], 0.95)
    new = np.concatenate([clusters(2, 5)[0], np.random.default_rng(4).normal(0, 2, (5, 40)).astype(np.float32)])
    means = np.stack([x[y == label].mean(0) for label in range(3)])
    within = np.cov((x - means[y]).T, bias=True)
    within += 3 * np.trace(within) / 40 * np.eye(40)
    between = np.cov(means[y].T, bias=True)

    def distance(a: np.ndarray, b: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        return np.einsum("ij,jk,ik->i", a - b, np.linalg.inv(covariance), a - b)
    nearest = np.min([distance(new, mean, within) for mean in means], axis=0)
    expected = nearest - distance(new, x.mean(0), within + between)
    assert np.abs(fitted.parts(new)[1] - expected).max() < 1e-3 * np.abs(expected).max()


def test_at_most_2000_references_are_kept_of_every_class_alike() -> None:
    x, y = clusters(count=1500, depth=8)
    extra, _ = clusters(5, count=1, depth=8)
    x, y = np.concatenate([x, extra[:1] + 50]), np.concatenate([y, [3]])
    fitted = fitted_to(x, y, clusters(1, 20, depth=8)[0], 0.95)
    assert fitted.references.shape == (2000, 8)
    far = (extra[:1] + 50) / np.linalg.norm(extra[:1] + 50)
    assert (np.abs(fitted.references - far).max(axis=1) < 1e-6).any()
    assert np.abs(np.linalg.norm(fitted.references, axis=1) - 1).max() < 1e-5


def test_one_photo_a_class_is_enough() -> None:
    x, y = clusters(count=1)
    fitted = fitted_to(x, y, clusters(1, 1)[0], 0.9)
    assert np.isfinite(fitted.scores(clusters(2)[0])).all()
