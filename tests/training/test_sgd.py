"""Poets' stochastic gradient descent: where it goes, what it reports, and what its batches are."""
from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tfpoets.data import Examples
from tfpoets.errors import TfpoetsError
from tfpoets.training import IntermediateFit, SGDFit, SGDOptions, Step, balanced_draw, fit_head_sgd

EMPTY = np.empty((0, 4), np.float32), np.empty(0, int)


def problem(counts: tuple[int, ...] = (60, 60, 60), seed: int = 0, spread: float = 1.5
            ) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping classes in four dimensions: float32 [n, 4], int [n]."""
    random = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    centres = np.random.default_rng(99).normal(0, 1, (len(counts), 4))
    return (centres[y] + random.normal(0, spread, (len(y), 4))).astype(np.float32), y


def train(x: np.ndarray, y: np.ndarray, validation: tuple[np.ndarray, np.ndarray] = EMPTY, seed: int = 0,
          on_event=lambda event: None, **options) -> SGDFit:
    n_classes = int(y.max()) + 1
    return fit_head_sgd(Examples(x, y, n_classes), Examples(*validation, n_classes),
                             SGDOptions(**options, seed=seed), on_event)


def test_it_goes_to_the_optimum_of_the_mean_cross_entropy() -> None:
    x, y = problem()
    optimum = LogisticRegression(C=np.inf, max_iter=1000).fit(x, y).predict_proba(x)
    fit = train(x, y, how_many_training_steps=8000, learning_rate=0.05, train_batch_size=200)
    assert np.abs(fit.head.probabilities(x) - optimum).max() < 0.05


def test_one_step_follows_the_gradient_of_its_batch() -> None:
    x, y = np.eye(4, dtype=np.float32)[[0, 1]], np.array([0, 1])
    before = train(x, y, how_many_training_steps=1, learning_rate=1e-30).head
    fit = train(x, y, how_many_training_steps=1, learning_rate=1.0, train_batch_size=100)
    # All weights begin near 0, so every probability is 0.5; the gradient of class 0's photos is 0.5 times their share.
    moved = (fit.head.weights - before.weights)[:2]
    assert np.abs(moved).max() > 0.1 and np.allclose(moved[0].sum() + moved[1].sum(), 0, atol=1e-5)
    assert np.allclose(np.abs(moved).sum(axis=0), 0.5, atol=1e-3)


def test_classes_count_alike_however_many_photos_they_have() -> None:
    x, y = np.ones((100, 4), np.float32), np.repeat([0, 1], [90, 10])
    answer = train(x, y, how_many_training_steps=1000, learning_rate=0.1).head.probabilities(x)[0]
    assert np.allclose(answer, 0.5, atol=0.05)
    drawn = y[balanced_draw(y, 10_000, np.random.default_rng(0))]
    assert abs(drawn.mean() - 0.5) < 0.02


def test_a_draw_reaches_every_photo_and_skips_classes_without() -> None:
    y = np.array([0, 0, 0, 2, 2])
    assert set(balanced_draw(y, 1000, np.random.default_rng(0))) == {0, 1, 2, 3, 4}


def test_steps_are_reported_at_the_interval_and_at_the_end() -> None:
    x, y = problem()
    seen: list[Step] = []
    fit = train(x, y, problem(seed=1), how_many_training_steps=26, eval_step_interval=10,
                on_event=seen.append, validation_batch_size=30)
    assert [step.number for step in seen] == [0, 10, 20, 25] and tuple(seen) == fit.steps
    assert all(step.validation_count == 30 for step in seen)
    everything = train(x, y, problem(seed=1), how_many_training_steps=1, validation_batch_size=-1).steps[0]
    assert everything.validation_count == 180
    assert train(x, y, problem(seed=1), how_many_training_steps=2000).steps[-1].train_loss < seen[0].train_loss
    assert math.isnan(train(x, y, how_many_training_steps=1).steps[0].validation_accuracy)


def test_the_head_is_handed_out_on_the_way() -> None:
    x, y = problem()
    events: list = []
    fit = train(x, y, how_many_training_steps=31, intermediate_store_frequency=10, on_event=events.append)
    stored = [event.fit for event in events if isinstance(event, IntermediateFit)]
    assert [each.count for each in stored] == [10, 20, 30]
    assert np.array_equal(stored[-1].head.weights, fit.head.weights)
    assert not np.array_equal(stored[0].head.weights, fit.head.weights)
    assert fit.description()["solver"] == "sgd" and fit.description()["how_many_training_steps"] == 31


def test_the_same_seed_gives_the_same_bytes() -> None:
    x, y = problem()
    first, again, other = (train(x, y, how_many_training_steps=50, seed=seed).head for seed in (0, 0, 1))
    assert first.weights.tobytes() == again.weights.tobytes() and first.bias.tobytes() == again.bias.tobytes()
    assert first.weights.tobytes() != other.weights.tobytes()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_learning_rate_beyond_all_measure_is_named() -> None:
    x, y = problem()
    with pytest.raises(TfpoetsError, match="`learning_rate`=1e.38 is too large"):
        train(x, y, how_many_training_steps=100, learning_rate=1e38)
