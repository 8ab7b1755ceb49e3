"""One loop trains whole networks, goes on where it was stopped, and keeps the best epoch."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tfpoets.errors import TfpoetsError
from tfpoets.tf_runtime import import_tensorflow
from tfpoets.training import (LinearHead, LoopOptions, NetworkFit, build_convnet, train_network, training_loop as
                              loop_module)
from tfpoets.training.convnets import ConvNet

SMALL = ConvNet(16, (4, 8), (3, 3), (16,))
OPTIONS = LoopOptions(epochs=3, batch_size=16, optimizer="adam", learning_rate=5e-3, warm_up=5,
                      label_smoothing=0.0, seed=3)


def stripes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Photos of stripes, across or down, of random colours and places: no single pixel tells the class."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 2, count)
    photos = random.integers(0, 60, (count, 16, 16, 3))
    for photo, label in zip(photos, y):
        lines = np.zeros((16, 16, 1), int)
        lines[random.integers(0, 3)::3] = random.integers(100, 190)
        photo += lines if label else lines.transpose(1, 0, 2)
    return photos.astype(np.uint8), y


TRAIN, VALIDATION, TEST = stripes(160, 0), stripes(40, 1), stripes(100, 2)


def train(folder: Path, options: LoopOptions = OPTIONS, on_epoch=lambda epoch: None, start: LinearHead | None = None,
          dropout: float = 0.1) -> tuple[NetworkFit, np.ndarray]:
    """The fit, and the answers to the test photos."""
    network = build_convnet(SMALL, 16, 16, grayscale=False, dropout=dropout, seed=0)
    fit = train_network(network, start, 2, TRAIN, VALIDATION, options, folder, "from_scratch", on_epoch)
    return fit, fit.head.probabilities(network(TEST[0].astype(np.float32) / 255, False).numpy())


def test_it_learns_what_no_pixel_tells(tmp_path: Path) -> None:
    said: list[int] = []
    fit, answers = train(tmp_path, replace(OPTIONS, epochs=6), lambda epoch: said.append(epoch.number))
    assert (answers.argmax(1) == TEST[1]).mean() > 0.95
    assert said == list(range(6)) and fit.epochs[-1].train_loss < fit.epochs[0].train_loss


def test_mixed_precision_ends_with_the_training(tmp_path: Path) -> None:
    optimizer = import_tensorflow().config.optimizer
    during: list[bool] = []
    train(tmp_path, replace(OPTIONS, epochs=1, mixed_precision=True),
          lambda epoch: during.append(optimizer.get_experimental_options().get("auto_mixed_precision", False)))
    assert during == [True]
    assert not optimizer.get_experimental_options().get("auto_mixed_precision", False)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return train(tmp_path_factory.mktemp("undisturbed"))[1]


def test_stopped_between_epochs_it_ends_where_an_undisturbed_run_ends(tmp_path: Path, undisturbed: np.ndarray) -> None:
    def stop(epoch) -> None:
        if epoch.number == 1:
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, on_epoch=stop)
    said: list[int] = []
    _, answers = train(tmp_path, on_epoch=lambda epoch: said.append(epoch.number))
    np.testing.assert_allclose(answers, undisturbed, atol=1e-5)
    assert said == [0, 1, 2]


@pytest.mark.parametrize("saves", [3, 13, 24])
def test_stopped_within_an_epoch_it_ends_where_an_undisturbed_run_ends(
        saves: int, tmp_path: Path, undisturbed: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "CHECKPOINT_SECONDS", 0)
    saved, left = loop_module._Run._save, [saves]

    def save_or_stop(run) -> None:
        saved(run)
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
    monkeypatch.setattr(loop_module._Run, "_save", save_or_stop)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path)
    left[0] = -1
    fit, answers = train(tmp_path)
    np.testing.assert_allclose(answers, undisturbed, atol=1e-5)
    assert [epoch.number for epoch in fit.epochs] == [0, 1, 2]


def test_a_training_that_is_done_is_not_done_again(tmp_path: Path, undisturbed: np.ndarray,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    train(tmp_path)
    monkeypatch.setattr(loop_module._Run, "train_epoch", lambda *_: pytest.fail("it trains again"))
    np.testing.assert_allclose(train(tmp_path)[1], undisturbed, atol=1e-5)


def test_the_best_epoch_is_kept_and_patience_ends_a_run_that_gets_worse(tmp_path: Path) -> None:
    wild = replace(OPTIONS, epochs=12, learning_rate=0.5, optimizer="sgd", warm_up=30, patience=2)
    fit, _ = train(tmp_path, wild)
    losses = [epoch.validation_loss for epoch in fit.epochs]
    assert fit.best == int(np.argmin(losses)) and len(losses) == fit.best + 3 < 12


def test_it_begins_with_the_head_that_is_given(tmp_path: Path) -> None:
    network = build_convnet(SMALL, 16, 16, grayscale=False, dropout=0, seed=0)
    head = LinearHead(np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32), np.ones(2, np.float32), 2.0)
    expected = head.probabilities(network(TEST[0].astype(np.float32) / 255, False).numpy())
    _, answers = train(tmp_path, replace(OPTIONS, epochs=1, learning_rate=1e-9), start=head, dropout=0)
    own = np.exp(np.log(answers) - np.log(answers).mean(1, keepdims=True))
    wanted = np.exp(np.log(expected) - np.log(expected).mean(1, keepdims=True))
    ratio = np.log(own[:, 0]) / np.log(wanted[:, 0])  # the same but for the temperature that was fitted
    assert ratio.std() < 1e-3


def test_smoothed_labels_do_not_make_an_uncertain_network_look_worse(tmp_path: Path) -> None:
    smoothed = replace(OPTIONS, epochs=6, label_smoothing=0.6)
    network = build_convnet(SMALL, 16, 16, grayscale=False, dropout=0, seed=0)
    fit = train_network(network, None, 2, TRAIN, VALIDATION, smoothed, tmp_path, "fine_tuned", lambda epoch: None)
    features = network(VALIDATION[0].astype(np.float32) / 255, False).numpy()
    uncertain = -replace(fit.head, temperature=1.0).log_probabilities(features)[np.arange(40), VALIDATION[1]].mean()
    assert fit.epochs[fit.best].validation_loss < 0.7 * uncertain
    assert fit.epochs[-1].train_loss < 0.6  # the labels' own entropy, smoothed so, is 0.61


class Seen:
    """Photos that remember which of them were asked for."""

    def __init__(self, pixels: np.ndarray):
        self.pixels, self.shape = pixels, pixels.shape
        self.rows: list[np.ndarray] = []

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        self.rows.append(rows)
        return self.pixels[rows]


def test_an_epoch_sees_every_photo_once_in_steps_of_like_size(tmp_path: Path) -> None:
    network = build_convnet(SMALL, 16, 16, grayscale=False, dropout=0, seed=0)
    seen = Seen(TRAIN[0])
    fit = train_network(network, None, 2, (seen, TRAIN[1]), VALIDATION, replace(OPTIONS, epochs=1, batch_size=100),
                        tmp_path, "from_scratch", lambda epoch: None)
    assert sorted(np.concatenate(seen.rows)) == list(range(160))
    assert [len(rows) for rows in seen.rows] == [80, 80] and fit.steps == 2


def test_constants_cannot_be_trained(tmp_path: Path) -> None:
    tensorflow = import_tensorflow()
    with pytest.raises(TfpoetsError, match="constants only"):
        train_network(lambda pixels, training: tensorflow.reduce_mean(pixels, [1, 2]), None, 2, TRAIN, VALIDATION,
                      OPTIONS, tmp_path, "fine_tuned", lambda epoch: None)


def test_a_gray_network_does_not_see_colours() -> None:
    network = build_convnet(SMALL, 16, 16, grayscale=True, dropout=None, seed=0)
    red, gray = np.zeros((2, 1, 16, 16, 3), np.float32)
    red[..., 0] = 1.0
    gray[...] = 0.299
    np.testing.assert_allclose(network(red, False).numpy(), network(gray, False).numpy(), atol=1e-5)


def test_a_photo_too_small_for_the_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 x 4"):
        build_convnet(SMALL, 3, 16, grayscale=False, dropout=None, seed=0)


def test_the_epoch_with_the_best_accuracy_is_kept_where_that_is_asked(tmp_path: Path) -> None:
    fit, _ = train(tmp_path, replace(OPTIONS, epochs=5, learning_rate=0.05, monitor="accuracy"))
    assert fit.best == int(np.argmax([epoch.validation_accuracy for epoch in fit.epochs]))


def test_mixed_precision_scales_the_loss_and_learns_the_same(tmp_path: Path, undisturbed: np.ndarray) -> None:
    fit, answers = train(tmp_path, replace(OPTIONS, mixed_precision=True))
    # Without a GPU all stays in 32 bits, so only the scaling is left, which must fall out again.
    np.testing.assert_allclose(answers, undisturbed, atol=1e-3)


@pytest.mark.parametrize("checkpoint", ["best", "last"])
def test_a_checkpoint_of_a_run_that_was_stopped_gives_the_network_as_it_was(checkpoint: str, tmp_path: Path) -> None:
    def stop(epoch) -> None:
        if epoch.number == 1:
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, replace(OPTIONS, epochs=20), on_epoch=stop)
    network = build_convnet(SMALL, 16, 16, grayscale=False, dropout=0.1, seed=0)
    fit = train_network(network, None, 2, TRAIN, VALIDATION, replace(OPTIONS, epochs=20, checkpoint=checkpoint),
                        tmp_path, "from_scratch", lambda epoch: None)
    assert len(fit.epochs) == 1  # the second had not been saved when it was stopped
    answers = fit.head.log_probabilities(network(VALIDATION[0].astype(np.float32) / 255, False).numpy())
    assert -answers[np.arange(40), VALIDATION[1]].mean() == pytest.approx(fit.epochs[0].validation_loss, abs=1e-4)


def test_a_loss_that_is_not_finite_ends_the_training_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TfpoetsError, match=r"no longer finite: `learning_rate`=1e\+30 is too large"):
        train(tmp_path, replace(OPTIONS, learning_rate=1e30, optimizer="sgd", warm_up=0))


def test_batches_larger_than_the_set_do_not_blur_the_figures(tmp_path: Path) -> None:
    fit, _ = train(tmp_path, replace(OPTIONS, epochs=8, batch_size=1000, learning_rate=0.02))
    assert fit.epochs[-1].train_accuracy > 0.5 and fit.epochs[0].train_loss > 0.5


def test_a_best_checkpoint_that_is_gone_is_said(tmp_path: Path) -> None:
    train(tmp_path)
    for path in (tmp_path / "best").iterdir():
        path.unlink()
    with pytest.raises(TfpoetsError, match="best cannot be read: it is missing. Delete"):
        train(tmp_path)


def test_without_a_checkpoint_there_is_nothing_to_take(tmp_path: Path) -> None:
    network = build_convnet(SMALL, 16, 16, grayscale=False, dropout=0.1, seed=0)
    with pytest.raises(TfpoetsError, match="There is no checkpoint of such a training"):
        train_network(network, None, 2, TRAIN, VALIDATION, replace(OPTIONS, checkpoint="best"), tmp_path,
                      "from_scratch", lambda epoch: None)
