"""Out-of-fold answers come from heads that never saw the photo."""
from __future__ import annotations

import numpy as np

from tfpoets.data import Examples
from tfpoets.evaluation import evaluate
from tfpoets.training import fit_head, out_of_fold_probabilities


def test_labels_of_pure_noise_are_not_guessed() -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(0, 1, (300, 400)).astype(np.float32), np.arange(300) % 2
    answers = out_of_fold_probabilities(Examples(x, y, 2), np.arange(300) // 2 % 5)
    assert evaluate(answers, y).interval[0] < 0.5
    assert np.allclose(answers.sum(1), 1, atol=1e-5)
    head = fit_head(Examples(x, y, 2), Examples(x[:0], y[:0], 2), l2_grid=[1e-3]).head
    assert evaluate(head.probabilities(x), y).accuracy > 0.99


def test_what_can_be_learnt_is_found_in_every_fold() -> None:
    random = np.random.default_rng(1)
    y = np.arange(200) % 4
    x = (np.eye(4)[y] @ random.normal(0, 2, (4, 16)) + random.normal(0, 1, (200, 16))).astype(np.float32)
    assert evaluate(out_of_fold_probabilities(Examples(x, y, 4), np.arange(200) // 4 % 5), y).accuracy > 0.9
