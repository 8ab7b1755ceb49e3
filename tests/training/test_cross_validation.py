"""Out-of-fold probabilities come from heads that were not trained on the photo."""
from __future__ import annotations

import numpy as np

from tfpoets.data import Examples
from tfpoets.evaluation import evaluate
from tfpoets.training import fit_head, out_of_fold_probabilities


def test_the_accuracy_on_random_features_is_at_chance_level() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(0, 1, (300, 400)).astype(np.float32), np.arange(300) % 2
    probabilities = out_of_fold_probabilities(Examples(X, y, 2), np.arange(300) // 2 % 5)
    assert evaluate(probabilities, y).interval[0] < 0.5
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)
    head = fit_head(Examples(X, y, 2), Examples(X[:0], y[:0], 2), l2_grid=[1e-3]).head
    assert evaluate(head.probabilities(X), y).accuracy > 0.99


def test_separable_classes_are_learned_in_every_fold() -> None:
    rng = np.random.default_rng(1)
    y = np.arange(200) % 4
    X = (np.eye(4)[y] @ rng.normal(0, 2, (4, 16)) + rng.normal(0, 1, (200, 16))).astype(np.float32)
    assert evaluate(out_of_fold_probabilities(Examples(X, y, 4), np.arange(200) // 4 % 5), y).accuracy > 0.9
