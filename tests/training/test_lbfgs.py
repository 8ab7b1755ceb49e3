"""The head reaches scikit-learn's optimum, for bottlenecks of any shape, scale and class balance."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tfpoets.data import Examples
from tfpoets.training import L2_GRID, HeadOptions, LBFGSFit, LinearHead, fit_head, logistic_regression
from tfpoets.training.l2_path import split_folds
from tfpoets.training.lbfgs import DEFAULT_L2
from tfpoets.training.logistic_regression import LogisticObjective, compute_principal_axes, predict_log_proba


@dataclass(frozen=True)
class Samples:
    """Bottlenecks, float32 [n, depth], and their targets, int [n]."""

    X: np.ndarray
    y: np.ndarray

    def examples(self, n_classes: int = 0, augmented: np.ndarray | None = None) -> Examples:
        return Examples(self.X, self.y, n_classes or int(self.y.max(initial=0)) + 1, augmented=augmented)

    def __add__(self, other: Samples) -> Samples:
        return Samples(np.concatenate([self.X, other.X]), np.concatenate([self.y, other.y]))


def bottlenecks(counts: list[int], depth: int, seed: int, spread: float = 0.7) -> Samples:
    """Return vectors like a network's: nonnegative, sparse, with a decaying spectrum and overlapping classes.

    The class means are the same for every seed, so that two seeds give two samples of the same population.
    """
    axes = np.arange(1, 17) ** -0.7
    population_rng = np.random.default_rng(1)
    centres = population_rng.normal(0, 1, (len(counts), 16)) * axes
    mixing = population_rng.normal(0, 1, (16, depth))
    sample_rng = np.random.default_rng([2, seed])
    y = np.repeat(np.arange(len(counts)), counts)
    latent = spread * centres[y] + sample_rng.normal(0, 1, (len(y), 16)) * axes
    X = np.maximum(latent @ mixing + sample_rng.normal(0, 0.5, (len(y), depth)) - 0.4, 0).astype(np.float32)
    order = sample_rng.permutation(len(y))
    return Samples(X[order], y[order])


MANY = bottlenecks([90, 40, 60, 110, 20], 48, seed=0)
FEW = bottlenecks([12, 20, 9, 15, 14], 160, seed=0)
TWO_CLASSES = bottlenecks([50, 90], 32, seed=0)
NO_PHOTOS = Samples(np.empty((0, 48), np.float32), np.empty(0, int))
VALIDATION = bottlenecks([9, 8, 8, 9, 8], 48, seed=1)


def calibrated_fit(train: Samples, validation: Samples, l2_grid: Sequence[float] = L2_GRID, **options) -> LBFGSFit:
    return fit_head(train.examples(), validation.examples(), HeadOptions(**options), l2_grid)


def fit(train: Samples, validation: Samples, **options) -> LBFGSFit:
    """Fit with a temperature of 1, to examine the solver alone."""
    result = calibrated_fit(train, validation, **options)
    return replace(result, head=replace(result.head, temperature=1.0))


def mean_and_scale(X: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the mean, [depth], and the scale used by the objective."""
    mean = X.mean(axis=0, dtype=np.float64)
    return mean, float(np.sqrt(np.mean((X - mean) ** 2)))


def objective(head: LinearHead, photos: Samples, l2: float, balanced: bool) -> float:
    """Compute the objective from its definition and the weights of the head."""
    mean, scale = mean_and_scale(photos.X)
    weights = head.weights.astype(np.float64) * scale
    bias = head.bias + mean @ head.weights.astype(np.float64)
    return plain_objective(weights, bias, (photos.X - mean) / scale, photos.y, l2, balanced)


def plain_objective(weights: np.ndarray, bias: np.ndarray, X: np.ndarray, y: np.ndarray, l2: float,
                    balanced: bool) -> float:
    logits = X @ weights + bias
    top = logits.max(axis=1, keepdims=True)
    losses = (top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))) - logits[np.arange(len(y)), y]
    sample_weight = len(y) / (len(bias) * np.bincount(y)[y]) if balanced else np.ones(len(y))
    return float(np.sum(sample_weight * losses) / len(y) + l2 / 2 * np.sum(weights ** 2))


def log_loss(head: LinearHead, photos: Samples) -> float:
    return float(-np.log(head.probabilities(photos.X)[np.arange(len(photos.y)), photos.y]).mean())


def scikit_learn(photos: Samples, l2: float, balanced: bool = False) -> LogisticRegression:
    """Fit scikit-learn's model to the centered and scaled bottlenecks."""
    mean, scale = mean_and_scale(photos.X)
    return LogisticRegression(C=1 / (l2 * len(photos.y)), class_weight="balanced" if balanced else None, tol=1e-9,
                              max_iter=10_000).fit((photos.X - mean) / scale, photos.y)


def optimum(photos: Samples, l2: float, balanced: bool = False) -> float:
    """Return the smallest objective that scikit-learn finds."""
    mean, scale = mean_and_scale(photos.X)
    model = scikit_learn(photos, l2, balanced)
    return plain_objective(model.coef_.T, model.intercept_, (photos.X - mean) / scale, photos.y, l2, balanced)


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("l2", [1.0, 0.1, 0.003])
@pytest.mark.parametrize("photos", [MANY, FEW], ids=["more photos than features", "fewer"])
def test_the_optimum_is_the_same_as_in_scikit_learn(photos: Samples, l2: float, balanced: bool) -> None:
    head = fit(photos, photos, l2_grid=[l2], class_weight="balanced" if balanced else "none", refit=False).head
    assert objective(head, photos, l2, balanced) == pytest.approx(optimum(photos, l2, balanced), rel=1e-6)
    model = scikit_learn(photos, l2, balanced)
    mean, scale = mean_and_scale(photos.X)
    other = bottlenecks([30] * 5, photos.X.shape[1], seed=5)
    np.testing.assert_allclose(head.probabilities(other.X), model.predict_proba((other.X - mean) / scale), atol=1e-3)


def test_the_optimum_is_also_reached_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logistic_regression, "MAX_FLOAT64_SIZE", 0)
    head = fit(MANY, MANY, l2_grid=[0.03], refit=False).head
    assert objective(head, MANY, 0.03, False) == pytest.approx(optimum(MANY, 0.03), rel=1e-6)


def test_two_classes_are_fitted_as_a_softmax_of_two_outputs() -> None:
    head = fit(TWO_CLASSES, TWO_CLASSES, l2_grid=[0.05], refit=False).head
    assert head.weights.shape == (32, 2)
    # Where scikit-learn penalises one vector w, the softmax has w/2 and -w/2, so its penalty is half as large.
    model = scikit_learn(TWO_CLASSES, 0.025)
    mean, scale = mean_and_scale(TWO_CLASSES.X)
    np.testing.assert_allclose(head.probabilities(TWO_CLASSES.X),
                               model.predict_proba((TWO_CLASSES.X - mean) / scale), atol=1e-3)


@pytest.mark.parametrize("balanced", [False, True])
def test_the_gradient_is_the_derivative_of_the_objective(balanced: bool) -> None:
    axes = compute_principal_axes(MANY.X.copy())
    objective = LogisticObjective(axes.X, MANY.y, 5, balanced, MANY.X.shape[1])
    rng = np.random.default_rng(3)
    coef = rng.normal(0, 0.1, (5, 49))
    gradient = objective.evaluate(coef, 0.3)[1]
    for _ in range(5):
        direction = rng.normal(0, 1e-5, coef.shape)
        difference = objective.evaluate(coef + direction, 0.3)[0] - objective.evaluate(coef - direction, 0.3)[0]
        assert difference == pytest.approx(2 * np.sum(gradient * direction), rel=1e-5)


@pytest.mark.parametrize("photos", [MANY, FEW], ids=["more photos than features", "fewer"])
def test_the_head_predicts_the_same_as_the_coefficients_in_principal_axes(photos: Samples) -> None:
    axes = compute_principal_axes(photos.X.copy())
    coef = np.random.default_rng(4).normal(0, 0.2, (5, axes.X.shape[1] + 1))
    np.testing.assert_allclose(axes.to_head(coef, 1.0).probabilities(photos.X),
                               np.exp(predict_log_proba(axes.X, coef)), atol=2e-6)


def test_principal_axes_preserve_all_distances() -> None:
    for photos in (MANY, FEW):
        axes = compute_principal_axes(photos.X.copy())
        mean, scale = mean_and_scale(photos.X)
        X = (photos.X - mean) / scale
        np.testing.assert_allclose(axes.X @ axes.X.T, X @ X.T, atol=1e-4 * len(X.T))
        assert axes.X.shape[1] == min(X.shape)


def test_the_strength_with_the_smallest_validation_loss_is_chosen() -> None:
    result = fit(MANY, VALIDATION, refit=False)
    losses = [step.validation_loss for step in result.path]
    assert result.l2 == result.path[int(np.argmin(losses))].l2
    assert 0 < np.argmin(losses) < len(losses) - 1
    assert log_loss(result.head, VALIDATION) == pytest.approx(min(losses), rel=1e-2)
    chosen = result.path[int(np.argmin(losses))]
    predicted = result.head.probabilities(VALIDATION.X).argmax(1)
    assert chosen.validation_accuracy == pytest.approx((predicted == VALIDATION.y).mean(), abs=0.03)
    assert chosen.train_loss == pytest.approx(log_loss(result.head, MANY), rel=1e-2)


def test_every_step_of_the_path_is_close_to_its_optimum() -> None:
    for step in fit(MANY, VALIDATION).path:
        exact = fit(MANY, VALIDATION, l2_grid=[step.l2], refit=False).head
        assert step.validation_loss == pytest.approx(log_loss(exact, VALIDATION), rel=1e-2)


def test_refitting_also_fits_the_validation_photos() -> None:
    both = MANY + VALIDATION
    refitted, plain = fit(MANY, VALIDATION), fit(MANY, VALIDATION, refit=False)
    assert refitted.refitted and not plain.refitted
    assert refitted.l2 == plain.l2 and refitted.path == plain.path
    assert objective(refitted.head, both, refitted.l2, False) < objective(plain.head, both, plain.l2, False) - 1e-4
    assert objective(refitted.head, both, refitted.l2, False) == pytest.approx(optimum(both, refitted.l2), rel=1e-6)


def test_without_refitting_the_head_is_not_fitted_to_the_validation_photos() -> None:
    first = fit(MANY, VALIDATION, refit=False, l2_grid=[0.1]).head
    others = bottlenecks([3, 3, 50, 3, 3], 48, seed=7)
    second = fit(MANY, Samples(others.X * 20 + 5, others.y), refit=False, l2_grid=[0.1]).head
    np.testing.assert_allclose(first.probabilities(MANY.X), second.probabilities(MANY.X), atol=1e-3)
    assert objective(second, MANY, 0.1, False) == pytest.approx(optimum(MANY, 0.1), rel=1e-6)


def test_balanced_classes_have_the_same_total_weight() -> None:
    result = fit(MANY, VALIDATION, class_weight="balanced")
    both = MANY + VALIDATION
    assert objective(result.head, both, result.l2, True) == pytest.approx(optimum(both, result.l2, True), rel=1e-6)
    rare = MANY.y == 4
    plain = fit(MANY, VALIDATION)
    assert result.head.probabilities(MANY.X[rare])[:, 4].mean() > plain.head.probabilities(MANY.X[rare])[:, 4].mean()
    losses = -np.log(fit(MANY, VALIDATION, class_weight="balanced", refit=False).head.probabilities(MANY.X)[
        np.arange(len(MANY.y)), MANY.y])
    chosen = next(step for step in result.path if step.l2 == result.l2)
    assert chosen.train_loss == pytest.approx(np.mean([losses[MANY.y == k].mean() for k in range(5)]), rel=1e-2)


def test_the_same_photos_give_the_same_bytes() -> None:
    first = fit(MANY, VALIDATION)
    unaligned = np.empty(MANY.X.size + 1, np.float32)[1:].reshape(MANY.X.shape)
    unaligned[:] = MANY.X
    original = MANY.X.copy()
    second = fit(Samples(unaligned, MANY.y.astype(np.int32)), VALIDATION)
    assert first.head.weights.tobytes() == second.head.weights.tobytes()
    assert first.head.bias.tobytes() == second.head.bias.tobytes()
    assert first.path == second.path
    assert np.array_equal(MANY.X, original), "the bottlenecks passed in were changed"


def test_the_fit_does_not_depend_on_shift_and_scale_of_the_bottlenecks() -> None:
    plain = fit(MANY, VALIDATION)
    moved = fit(Samples(MANY.X * 10 + 3, MANY.y), Samples(VALIDATION.X * 10 + 3, VALIDATION.y))
    assert moved.l2 == plain.l2
    np.testing.assert_allclose(moved.head.probabilities(MANY.X * 10 + 3), plain.head.probabilities(MANY.X), atol=1e-4)


@pytest.mark.parametrize("factor", [1e25, 1e-25])
def test_huge_and_tiny_bottlenecks_give_the_same_probabilities(factor: float) -> None:
    X, held_out = MANY.X * np.float32(factor), VALIDATION.X * np.float32(factor)
    probabilities = fit(Samples(X, MANY.y), Samples(held_out, VALIDATION.y)).head.probabilities(X)
    np.testing.assert_allclose(probabilities, fit(MANY, VALIDATION).head.probabilities(MANY.X), atol=1e-3)


def test_constant_features_get_no_weight() -> None:
    X, held_out = MANY.X.copy(), VALIDATION.X.copy()
    X[:, :7] = held_out[:, :7] = 5.5
    result = fit(Samples(X, MANY.y), Samples(held_out, VALIDATION.y))
    assert np.abs(result.head.weights[:7]).max() < 1e-5 * np.abs(result.head.weights).max()
    assert np.isfinite(result.head.probabilities(X)).all()


@pytest.mark.parametrize("depth", [3, 600], ids=["few features", "many"])
def test_identical_bottlenecks_give_the_class_frequencies(depth: int) -> None:
    y = np.repeat([0, 1, 2], [10, 20, 70])
    X = np.full((100, depth), 0.3, np.float32)
    head = fit_head(Examples(X, y, 3), Examples(X[:0], y[:0], 3)).head
    np.testing.assert_allclose(head.probabilities(X[:1])[0], [0.1, 0.2, 0.7], atol=1e-3)


def test_a_class_of_one_photo_is_learned() -> None:
    train = bottlenecks([30, 30, 1], 48, seed=0, spread=2)
    for validation in (bottlenecks([5, 5, 1], 48, seed=1, spread=2), NO_PHOTOS):
        head = fit(train, validation, class_weight="balanced").head
        assert head.probabilities(train.X[train.y == 2])[0].argmax() == 2


@pytest.mark.parametrize("y", [[0, 0, 1, 1], [1, 1, 2, 2]], ids=["the last class", "the first"])
def test_a_class_without_a_training_photo_is_an_error(y: list[int]) -> None:
    X = np.random.default_rng(0).random((4, 3), np.float32)
    with pytest.raises(ValueError, match="without a training photo"):
        fit_head(Examples(X, np.array(y), 3), Examples(X[:1], np.array([y[0]]), 3))


def test_a_bottleneck_that_is_not_finite_is_an_error() -> None:
    X = MANY.X.copy()
    X[3, 3] = np.nan
    with pytest.raises(ValueError, match="NaN|finite|nan"):
        fit(Samples(X, MANY.y), VALIDATION)


def test_without_validation_photos_cross_validation_chooses_the_strength() -> None:
    result = fit(MANY, NO_PHOTOS)
    assert not result.refitted
    chosen = min(result.path, key=lambda step: step.validation_loss)
    assert result.l2 == chosen.l2
    assert objective(result.head, MANY, result.l2, False) == pytest.approx(optimum(MANY, result.l2), rel=1e-6)
    # The photos of a fold are held out of its fit, so their loss is similar to that of new photos.
    head = fit(MANY, VALIDATION, l2_grid=[result.l2], refit=False).head
    new_loss = log_loss(head, bottlenecks([300] * 5, 48, seed=9))
    assert chosen.train_loss < chosen.validation_loss
    assert chosen.validation_loss == pytest.approx(new_loss, rel=0.2)


def test_folds_hold_out_each_photo_once_and_never_a_whole_class() -> None:
    y = np.array([0, 1, 1, 2, 2, 2] + [3] * 40 + [1, 4, 4, 4, 4])
    pairs = split_folds(y, len(y))
    assert len(pairs) == 5
    for fitted, held_out in pairs:
        assert not (fitted & held_out).any() and (fitted | held_out).all()
        assert set(y[fitted]) == set(range(5))
        assert held_out[y == 3].sum() == 8
    assert (sum(held_out.astype(int) for _, held_out in pairs) == (y > 0)).all()


def test_folds_keep_groups_together_and_never_hold_out_a_class_of_one_group() -> None:
    y, groups = np.repeat([0, 1], [30, 12]), np.repeat([7, 3, 5, 1, 9, 2, 4], 6)
    groups[-12:] = 4
    pairs = split_folds(y, len(y), groups)
    assert len(pairs) == 5
    for fitted, held_out in pairs:
        assert not set(groups[fitted]) & set(groups[held_out]) and set(y[fitted]) == {0, 1}
    assert (sum(held_out.astype(int) for _, held_out in pairs) == (groups != 4)).all()


def test_with_one_photo_per_class_the_default_strength_is_used() -> None:
    train = bottlenecks([1, 1, 1], 48, seed=0)
    result = fit(train, NO_PHOTOS)
    assert result.l2 == DEFAULT_L2 and len(result.path) == 1
    assert (result.head.probabilities(train.X).argmax(1) == train.y).all()


def test_the_path_goes_from_strong_to_weak_and_ends_when_the_loss_keeps_rising() -> None:
    result = fit(FEW, bottlenecks([40] * 5, 160, seed=1, spread=0.2))
    strengths = [step.l2 for step in result.path]
    assert strengths == sorted(L2_GRID, reverse=True)[:len(strengths)]
    assert 8 <= len(strengths) < len(L2_GRID)
    losses = [step.validation_loss for step in result.path]
    assert min(losses[-3:]) > 1.02 * min(losses)
    assert result.iterations >= sum(step.iterations for step in result.path)


def test_the_path_has_at_least_eight_strengths() -> None:
    labels = np.random.default_rng(8).integers(0, 5, 200)  # nothing to learn, so the strongest penalty is best
    result = fit(FEW, Samples(bottlenecks([40] * 5, 160, seed=1).X, labels))
    assert result.l2 == max(L2_GRID) and len(result.path) == 8


def test_the_grid_may_be_in_any_order() -> None:
    assert [step.l2 for step in fit(MANY, VALIDATION, l2_grid=[0.01, 1, 0.1]).path] == [1, 0.1, 0.01]


def test_random_labels_lead_to_a_strong_penalty() -> None:
    rng = np.random.default_rng(6)
    train, held_out = (Samples(rng.random((n, 48), np.float32), rng.integers(0, 3, n)) for n in (90, 60))
    result = fit(train, held_out)
    assert result.l2 >= 1
    assert log_loss(result.head, Samples(rng.random((300, 48), np.float32), rng.integers(0, 3, 300))) < 1.15


def test_the_whole_path_takes_fewer_iterations_than_one_fit_of_scikit_learn() -> None:
    photos = bottlenecks([60] * 5, 128, seed=0)
    iterations = scikit_learn(photos, 0.03).n_iter_[0]
    result = fit(photos, bottlenecks([12] * 5, 128, seed=1))
    assert result.iterations < iterations, "more iterations than one fit of scikit-learn with a tight tolerance"


def test_a_head_is_the_softmax_of_a_linear_layer() -> None:
    head = LinearHead(np.array([[1, 0, -1], [0, 2, 0]], np.float32), np.array([0, 0, 1], np.float32), temperature=2.0)
    X = np.array([[1, 0], [3000, -3000], [-1e4, 0]], np.float32)
    np.testing.assert_array_equal(head.logits(X)[0], [1, 0, 0])
    probabilities = head.probabilities(X)
    assert probabilities.dtype == np.float32 and head.logits(X).dtype == np.float32
    np.testing.assert_allclose(probabilities[0], np.exp([0.5, 0, 0]) / np.exp([0.5, 0, 0]).sum(), rtol=1e-6)
    np.testing.assert_allclose(probabilities[1:], [[1, 0, 0], [0, 0, 1]], atol=1e-30)
    assert head.probabilities(X[:0]).shape == (0, 3)


def test_the_temperature_minimizes_the_loss_of_the_held_out_photos() -> None:
    held_out = bottlenecks([40] * 5, 48, seed=9)
    result = calibrated_fit(MANY, held_out, l2_grid=[1e-3], refit=False)  # almost no penalty, so overconfident
    assert result.head.temperature > 1.5 and result.description()["temperature"] == result.head.temperature
    losses = [log_loss(replace(result.head, temperature=result.head.temperature * factor), held_out)
              for factor in (0.9, 1.0, 1.1)]
    assert losses[1] < min(losses[0], losses[2])
    assert log_loss(result.head, bottlenecks([40] * 5, 48, seed=10)) < log_loss(
        replace(result.head, temperature=1.0), bottlenecks([40] * 5, 48, seed=10))


def test_the_temperature_is_also_fitted_with_refitting_and_without_validation_photos() -> None:
    refitted = calibrated_fit(MANY, bottlenecks([40] * 5, 48, seed=9))
    assert refitted.refitted and refitted.head.temperature != 1.0
    assert 0.2 <= calibrated_fit(MANY, NO_PHOTOS).head.temperature <= 5


def test_a_fitted_head_is_float32() -> None:
    head = fit(MANY, VALIDATION).head
    assert head.weights.dtype == head.bias.dtype == np.float32
    assert head.weights.shape == (48, 5) and head.bias.shape == (5,) and head.temperature == 1.0


@pytest.mark.parametrize("n_held_out", [0, 60])
def test_augmented_views_equal_to_the_photos_change_nothing(n_held_out: int) -> None:
    train, validation = bottlenecks([60, 40], 30, 0), bottlenecks([30, 30], 30, 1)
    X, y = validation.X[:n_held_out], validation.y[:n_held_out]
    plain = fit_head(train.examples(), Examples(X, y, 2))
    with_views = fit_head(train.examples(augmented=np.repeat(train.X[:, None], 3, axis=1)),
                          Examples(X, y, 2, augmented=np.repeat(X[:, None], 3, axis=1)))
    assert with_views.l2 == plain.l2 and [step.validation_loss for step in with_views.path] == pytest.approx(
        [step.validation_loss for step in plain.path], rel=1e-3)
    assert np.allclose(with_views.head.probabilities(train.X), plain.head.probabilities(train.X), atol=1e-3)


def test_training_on_augmented_views_makes_the_head_ignore_irrelevant_variation() -> None:
    train, validation, test = (bottlenecks([20, 20], 30, seed) for seed in range(3))
    rng = np.random.default_rng(3)
    # Half of the features that separate the classes also vary at random.
    nuisance = 3 * (train.X[train.y == 1].mean(0) - train.X[train.y == 0].mean(0)) * (np.arange(30) < 15)

    def vary(photos: Samples, count: int) -> np.ndarray:
        return photos.X[:, None] + rng.normal(size=(len(photos.y), count, 1)).astype(np.float32) * nuisance
    views = vary(train, 20), vary(validation, 20)
    noisy = vary(test, 1)[:, 0]
    heads = [fit_head(train.examples(augmented=train_views), validation.examples(augmented=validation_views)).head
             for train_views, validation_views in ((None, None), views)]
    losses = [-np.log(head.probabilities(noisy)[np.arange(len(test.y)), test.y]).mean() for head in heads]
    assert losses[1] < 0.7 * losses[0]
