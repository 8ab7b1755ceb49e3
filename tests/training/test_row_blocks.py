"""A head that is fitted in blocks of rows, from memory or from a file, is the same as one fitted at once."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.test_lbfgs import bottlenecks, objective
from tfpoets.data import Examples, StoredRows
from tfpoets.graphs import PROBABILITIES
from tfpoets.training import LinearHead, OutOfFoldPredictor, fit_head, head_outputs, l2_path, lbfgs
from tfpoets.training import logistic_regression, row_blocks

COUNTS, DEPTH = [70, 40, 50, 60], 24
TRAIN, VALIDATION = bottlenecks(COUNTS, DEPTH, seed=0), bottlenecks([12] * 4, DEPTH, seed=1)
GRID = (1.0, 0.3, 0.1, 0.03, 0.01)


@pytest.fixture
def in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute everything in blocks of about fifty rows."""
    monkeypatch.setattr(logistic_regression, "MAX_ONE_BLOCK", 0)
    monkeypatch.setattr(row_blocks, "BLOCK_VALUES", 50 * (DEPTH + 4))
    monkeypatch.setattr(row_blocks, "MIN_BLOCK_ROWS", 1)
    monkeypatch.setattr(l2_path, "TOLERANCE_IN_BLOCKS", l2_path.TOLERANCE)


def on_disk(X: np.ndarray, folder: Path) -> StoredRows:
    """Return rows of a file, in which they have another order."""
    order = np.random.default_rng(0).permutation(len(X))
    path = folder / f"{len(X)}.npy"
    np.save(path, X[order])
    return StoredRows([np.load(path, mmap_mode="r")], np.argsort(order))


@pytest.mark.parametrize("n_validation", [48, 0])
def test_the_head_for_rows_in_a_file_is_the_same(n_validation: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                 request: pytest.FixtureRequest) -> None:
    X, y = VALIDATION.X[:n_validation], VALIDATION.y[:n_validation]
    expected = fit_head(TRAIN.examples(), Examples(X, y, 4), l2_grid=GRID)
    request.getfixturevalue("in_blocks")
    fit = fit_head(Examples(on_disk(TRAIN.X, tmp_path), TRAIN.y, 4), Examples(on_disk(X, tmp_path), y, 4),
                   l2_grid=GRID)
    assert fit.l2 == expected.l2
    everything = bottlenecks(COUNTS, DEPTH, seed=0) if not n_validation else TRAIN + VALIDATION
    assert objective(fit.head, everything, fit.l2, False) == pytest.approx(
        objective(expected.head, everything, fit.l2, False), rel=1e-6)
    np.testing.assert_allclose(fit.head.probabilities(VALIDATION.X), expected.head.probabilities(VALIDATION.X),
                               atol=1e-3)


def test_the_weights_do_not_depend_on_the_number_of_cores(in_blocks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    heads = []
    for cores in (1, 5):
        monkeypatch.setattr(row_blocks, "core_count", lambda cores=cores: cores)
        heads.append(fit_head(TRAIN.examples(), VALIDATION.examples(), l2_grid=GRID[1:4]).head)
    assert heads[0].weights.tobytes() == heads[1].weights.tobytes()


def test_a_sample_finds_the_strength_for_all_photos(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
                                                    ) -> None:
    expected = fit_head(TRAIN.examples(), VALIDATION.examples())
    request.getfixturevalue("in_blocks")
    monkeypatch.setattr(lbfgs, "PATH_PHOTOS", 60)
    fit = fit_head(TRAIN.examples(), VALIDATION.examples())
    losses = {step.l2: step.validation_loss for step in fit.path}
    assert fit.l2 == expected.l2 == min(losses, key=lambda l2: losses[l2])
    assert 2 <= len(losses) <= 8
    assert [step.l2 for step in fit.path] == sorted(losses, reverse=True)


@pytest.mark.parametrize("n_validation", [240, 0])
def test_a_sample_of_classes_finds_the_strength_for_many_classes(
        n_validation: int, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    train, validation = bottlenecks([20] * 20, DEPTH, seed=0), bottlenecks([12] * 20, DEPTH, seed=1)
    held_out = Examples(validation.X[:n_validation], validation.y[:n_validation], 20)
    expected = fit_head(train.examples(), held_out)
    request.getfixturevalue("in_blocks")
    for module in (lbfgs, l2_path):
        monkeypatch.setattr(module, "MANY_CLASSES", 8)
    monkeypatch.setattr(lbfgs, "PATH_PHOTOS", 200)
    fit = fit_head(train.examples(), held_out)
    assert [step.l2 for step in fit.path] == [fit.l2]
    assert abs(np.log10(fit.l2 / expected.l2)) < 0.7  # at most two steps of the grid
    losses = [objective(head, train, expected.l2, False) for head in (fit.head, expected.head)]
    assert losses[0] == pytest.approx(losses[1], rel=0.2)
    accuracies = [(found.head.logits(validation.X).argmax(axis=1) == validation.y).mean() for found in (fit, expected)]
    assert accuracies[0] > accuracies[1] - 0.02


def test_gradients_of_confident_heads_contain_no_denormal_numbers() -> None:
    """A product of matrices that contain them takes up to 200 times as long."""
    operands: list[np.ndarray] = []

    class Recorded(np.ndarray):
        def __matmul__(self, right: np.ndarray) -> np.ndarray:
            operands.append(np.asarray(self))
            return super().__matmul__(right)
    problem = logistic_regression.LogisticObjective(TRAIN.X.view(Recorded), TRAIN.y, 4, False, DEPTH)
    problem.evaluate(30 * np.random.default_rng(0).normal(size=(4, DEPTH + 1)), 0.1)
    bottlenecks, errors = operands
    assert errors.dtype == np.float32 and errors.shape == (4, len(bottlenecks))
    assert np.abs(errors).min() > np.finfo(np.float32).tiny


def test_out_of_fold_predictions_are_the_same(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folds, trusted = np.arange(len(TRAIN.y)) % 5, np.arange(len(TRAIN.y)) % 7 > 0
    expected = OutOfFoldPredictor(TRAIN.examples(), folds, 0.1, tolerance=1e-7).probabilities(trusted)
    request.getfixturevalue("in_blocks")
    examples = Examples(on_disk(TRAIN.X, tmp_path), TRAIN.y, 4)
    probabilities = OutOfFoldPredictor(examples, folds, 0.1, tolerance=1e-7).probabilities(trusted)
    np.testing.assert_allclose(probabilities, expected, atol=1e-3)


def test_a_head_predicts_rows_in_a_file_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfpoets.data.stored_rows.BLOCK_ROWS", 30)
    head = LinearHead(np.random.default_rng(0).normal(size=(DEPTH, 4)).astype(np.float32), np.zeros(4, np.float32))
    np.testing.assert_allclose(head_outputs(head, on_disk(TRAIN.X, tmp_path))[PROBABILITIES],
                               head.probabilities(TRAIN.X), rtol=1e-5)
