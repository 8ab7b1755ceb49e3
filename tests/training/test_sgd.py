"""Gradient descent as in TensorFlow for Poets: its optimum, its events and its batches."""
from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tfpoets.data import Examples
from tfpoets.errors import TfpoetsError
from tfpoets.training import IntermediateFit, SGDFit, SGDOptions, StepMetrics, draw_balanced, fit_head_sgd

EMPTY = np.empty((0, 4), np.float32), np.empty(0, int)


def make_data(counts: tuple[int, ...] = (60, 60, 60), seed: int = 0, spread: float = 1.5
            ) -> tuple[np.ndarray, np.ndarray]:
    """Return overlapping classes in four dimensions: float32 [n, 4], int [n]."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    centres = np.random.default_rng(99).normal(0, 1, (len(counts), 4))
    return (centres[y] + rng.normal(0, spread, (len(y), 4))).astype(np.float32), y


def train(X: np.ndarray, y: np.ndarray, validation: tuple[np.ndarray, np.ndarray] = EMPTY, seed: int = 0,
          on_event=lambda event: None, **options) -> SGDFit:
    n_classes = int(y.max()) + 1
    return fit_head_sgd(Examples(X, y, n_classes), Examples(*validation, n_classes),
                        SGDOptions(**options, seed=seed), on_event)


def test_it_converges_to_the_optimum_of_the_mean_cross_entropy() -> None:
    X, y = make_data()
    optimum = LogisticRegression(C=np.inf, max_iter=1000).fit(X, y).predict_proba(X)
    fit = train(X, y, how_many_training_steps=8000, learning_rate=0.05, train_batch_size=200)
    assert np.abs(fit.head.probabilities(X) - optimum).max() < 0.05


def test_one_step_follows_the_gradient_of_its_batch() -> None:
    X, y = np.eye(4, dtype=np.float32)[[0, 1]], np.array([0, 1])
    before = train(X, y, how_many_training_steps=1, learning_rate=1e-30).head
    fit = train(X, y, how_many_training_steps=1, learning_rate=1.0, train_batch_size=100)
    # All weights begin near 0, so every probability is 0.5, and each photo adds 0.5 / 100 to the gradient.
    change = (fit.head.weights - before.weights)[:2]
    assert np.abs(change).max() > 0.1 and np.allclose(change[0].sum() + change[1].sum(), 0, atol=1e-5)
    assert np.allclose(np.abs(change).sum(axis=0), 0.5, atol=1e-3)


def test_batches_are_balanced_between_classes_of_different_sizes() -> None:
    X, y = np.ones((100, 4), np.float32), np.repeat([0, 1], [90, 10])
    probabilities = train(X, y, how_many_training_steps=1000, learning_rate=0.1).head.probabilities(X)[0]
    assert np.allclose(probabilities, 0.5, atol=0.05)
    drawn = y[draw_balanced(y, 10_000, np.random.default_rng(0))]
    assert abs(drawn.mean() - 0.5) < 0.02


def test_draws_include_every_photo_and_skip_empty_classes() -> None:
    y = np.array([0, 0, 0, 2, 2])
    assert set(draw_balanced(y, 1000, np.random.default_rng(0))) == {0, 1, 2, 3, 4}


def test_steps_are_evaluated_at_the_interval_and_at_the_end() -> None:
    X, y = make_data()
    events: list[StepMetrics] = []
    fit = train(X, y, make_data(seed=1), how_many_training_steps=26, eval_step_interval=10,
                on_event=events.append, validation_batch_size=30)
    assert [step.number for step in events] == [0, 10, 20, 25] and tuple(events) == fit.history
    assert all(step.validation_count == 30 for step in events)
    with_all = train(X, y, make_data(seed=1), how_many_training_steps=1, validation_batch_size=-1).history[0]
    assert with_all.validation_count == 180
    assert train(X, y, make_data(seed=1), how_many_training_steps=2000).history[-1].train_loss < events[0].train_loss
    assert math.isnan(train(X, y, how_many_training_steps=1).history[0].validation_accuracy)


def test_intermediate_heads_are_sent_as_events() -> None:
    X, y = make_data()
    events: list = []
    fit = train(X, y, how_many_training_steps=31, intermediate_store_frequency=10, on_event=events.append)
    fits = [event.fit for event in events if isinstance(event, IntermediateFit)]
    assert [intermediate.n_steps for intermediate in fits] == [10, 20, 30]
    assert np.array_equal(fits[-1].head.weights, fit.head.weights)
    assert not np.array_equal(fits[0].head.weights, fit.head.weights)
    assert fit.description()["solver"] == "sgd" and fit.description()["how_many_training_steps"] == 31


def test_the_same_seed_gives_the_same_bytes() -> None:
    X, y = make_data()
    first, same_seed, other_seed = (train(X, y, how_many_training_steps=50, seed=seed).head for seed in (0, 0, 1))
    assert first.weights.tobytes() == same_seed.weights.tobytes()
    assert first.bias.tobytes() == same_seed.bias.tobytes()
    assert first.weights.tobytes() != other_seed.weights.tobytes()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_learning_rate_that_is_far_too_large_is_reported() -> None:
    X, y = make_data()
    with pytest.raises(TfpoetsError, match="`learning_rate`=1e.38 is too large"):
        train(X, y, how_many_training_steps=100, learning_rate=1e38)
