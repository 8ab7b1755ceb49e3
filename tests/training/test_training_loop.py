"""The loop trains whole networks, resumes interrupted runs, and keeps the best epoch."""
from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfpoets.errors import TfpoetsError
from tfpoets.tf_runtime import import_tensorflow
from tfpoets.training import (SCHEDULES, LinearHead, LoopOptions, NetworkFit, PixelData, TrainableModel,
                              TrainableNetwork, checkpoints, seed_weights, train_network, training_run)
from tfpoets.training.checkpoints import Checkpoints, RunFolder
from tfpoets.training.schedules import build_optimizer, count_constant_epochs, default_learning_rate
from tfpoets.training.training_run import TrainingRun

OPTIONS = LoopOptions(epochs=3, batch_size=16, optimizer="adam", learning_rate=5e-3, warm_up=5,
                      label_smoothing=0.0, seed=3)


def stripes(count: int, seed: int) -> PixelData:
    """Return photos of horizontal or vertical stripes whose class cannot be predicted from any single pixel."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, count)
    photos = rng.integers(0, 60, (count, 16, 16, 3))
    for photo, label in zip(photos, y):
        lines = np.zeros((16, 16, 1), int)
        lines[rng.integers(0, 3)::3] = rng.integers(100, 190)
        photo += lines if label else lines.transpose(1, 0, 2)
    return PixelData(photos.astype(np.uint8), y)


TRAIN, VALIDATION, TEST = stripes(160, 0), stripes(40, 1), stripes(100, 2)


def build_network(dropout: float = 0.0, batch_norm: bool = False) -> TrainableNetwork:
    """Return a network of two blocks and a dense layer, always with the same initial weights."""
    seed_weights(0)
    from keras import Input, Sequential, layers
    model = Sequential([Input((16, 16, 3)), layers.Rescaling(2.0, -1.0)])
    for filters in (4, 8):
        model.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        model.add(layers.MaxPooling2D())
        if batch_norm:
            model.add(layers.BatchNormalization())
    model.add(layers.Flatten())
    model.add(layers.Dense(16, activation="relu"))
    model.add(layers.Dropout(dropout))
    return lambda photos, training: model(photos, training=training)


def build_model(dropout: float = 0.0, initial_head: LinearHead | None = None) -> TrainableModel:
    return TrainableModel(build_network(dropout), 2, initial_head, "from_scratch")


def compute_bottlenecks(model: TrainableModel, data: PixelData) -> np.ndarray:
    return model.network(data.pixels.astype(np.float32) / 255, False).numpy()


def train(folder: Path, options: LoopOptions = OPTIONS, on_epoch=lambda epoch: None,
          initial_head: LinearHead | None = None, dropout: float = 0.1) -> tuple[NetworkFit, np.ndarray]:
    """Train a small network, and return the fit and the probabilities of the test photos."""
    model = build_model(dropout, initial_head)
    fit = train_network(model, TRAIN, VALIDATION, options, folder, on_epoch)
    return fit, fit.head.probabilities(compute_bottlenecks(model, TEST))


def test_the_network_learns_patterns_that_no_single_pixel_shows(tmp_path: Path) -> None:
    epochs: list[int] = []
    fit, probabilities = train(tmp_path, replace(OPTIONS, epochs=6), lambda epoch: epochs.append(epoch.number))
    assert (probabilities.argmax(1) == TEST.y).mean() > 0.95
    assert epochs == list(range(6)) and fit.epochs[-1].train_loss < fit.epochs[0].train_loss


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return train(tmp_path_factory.mktemp("uninterrupted"))[1]


def test_a_run_stopped_between_epochs_continues_to_the_same_result(tmp_path: Path, uninterrupted: np.ndarray) -> None:
    def stop(epoch) -> None:
        if epoch.number == 1:
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, on_epoch=stop)
    epochs: list[int] = []
    _, probabilities = train(tmp_path, on_epoch=lambda epoch: epochs.append(epoch.number))
    np.testing.assert_allclose(probabilities, uninterrupted, atol=1e-5)
    assert epochs == [0, 1, 2]


@pytest.mark.parametrize("n_saves", [3, 13, 24])
def test_a_run_stopped_within_an_epoch_continues_to_the_same_result(n_saves: int, tmp_path: Path,
                                                                    uninterrupted: np.ndarray,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SAVE_SECONDS", 0)
    save_last, remaining_saves = Checkpoints.save_last, [n_saves]

    def save_and_stop(self: Checkpoints) -> None:
        save_last(self)
        remaining_saves[0] -= 1
        if remaining_saves[0] == 0:
            raise KeyboardInterrupt
    monkeypatch.setattr(Checkpoints, "save_last", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path)
    remaining_saves[0] = -1
    fit, probabilities = train(tmp_path)
    np.testing.assert_allclose(probabilities, uninterrupted, atol=1e-5)
    assert [epoch.number for epoch in fit.epochs] == [0, 1, 2]


def test_a_finished_run_is_not_repeated(tmp_path: Path, uninterrupted: np.ndarray,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    train(tmp_path)
    monkeypatch.setattr(TrainingRun, "train_epoch", lambda *_: pytest.fail("it was trained again"))
    np.testing.assert_allclose(train(tmp_path)[1], uninterrupted, atol=1e-5)


def test_continuing_a_finished_run_gives_the_same_result_as_training_from_the_beginning(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    shorter = train(tmp_path / "extended", replace(OPTIONS, epochs=4))[1]
    fit, extended = train(tmp_path / "extended", replace(OPTIONS, epochs=6))
    assert "Training continues at step 30." in caplog.messages  # after 3 of the 4 epochs, the rate began to decrease
    single_fit, single = train(tmp_path / "single", replace(OPTIONS, epochs=6))
    np.testing.assert_allclose(extended, single, atol=1e-5)
    for extended_epoch, single_epoch in zip(fit.epochs, single_fit.epochs, strict=True):
        metrics, expected = ({**asdict(epoch), "seconds": 0} for epoch in (extended_epoch, single_epoch))
        assert metrics == pytest.approx(expected, rel=1e-3, abs=1e-3)
        assert extended_epoch.seconds and single_epoch.seconds
    assert fit.epochs[-1].number == 5 and fit.n_steps == single_fit.n_steps == 60
    caplog.clear()
    for options, expected in ((replace(OPTIONS, epochs=4), shorter), (replace(OPTIONS, epochs=6), extended)):
        np.testing.assert_array_equal(train(tmp_path / "extended", options)[1], expected)
    assert caplog.messages == ["Training is already finished; using the trained network."] * 2


def test_a_run_with_steps_is_continued_from_where_its_learning_rate_first_decreased(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    options = replace(OPTIONS, schedule="step", epochs=4)
    train(tmp_path / "extended", options)
    _, extended = train(tmp_path / "extended", replace(options, epochs=6))
    assert "Training continues at step 20." in caplog.messages
    np.testing.assert_allclose(extended, train(tmp_path / "single", replace(options, epochs=6))[1], atol=1e-5)


def test_a_run_with_steps_does_not_use_a_state_from_after_its_own_first_decrease(tmp_path: Path) -> None:
    options = replace(OPTIONS, schedule="step", epochs=4)
    train(tmp_path / "both", replace(options, epochs=6))  # keeps the state after 3 epochs
    assert not RunFolder(tmp_path / "both", 4, "step").can_continue()
    shorter = train(tmp_path / "both", options)[1]  # its learning rate decreases after 2 epochs
    np.testing.assert_allclose(shorter, train(tmp_path / "single", options)[1], atol=1e-5)


def test_a_run_with_a_cosine_is_never_continued_by_a_longer_one(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tfpoets")
    options = replace(OPTIONS, schedule="cosine", epochs=2)
    shorter = train(tmp_path / "both", options)[1]
    longer = train(tmp_path / "both", replace(options, epochs=3))[1]
    assert not any("continues" in message for message in caplog.messages)
    np.testing.assert_allclose(longer, train(tmp_path / "single", replace(options, epochs=3))[1], atol=1e-5)
    np.testing.assert_array_equal(train(tmp_path / "both", options)[1], shorter)
    assert caplog.messages[-1] == "Training is already finished; using the trained network."


@pytest.mark.parametrize("schedule", ["step", "cosine"])
def test_an_interrupted_run_with_another_schedule_continues_to_the_same_result(schedule: str, tmp_path: Path) -> None:
    def stop(epoch) -> None:
        if epoch.number == 1:
            raise KeyboardInterrupt
    options = replace(OPTIONS, schedule=schedule)
    expected = train(tmp_path / "uninterrupted", options)[1]
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "interrupted", options, on_epoch=stop)
    np.testing.assert_allclose(train(tmp_path / "interrupted", options)[1], expected, atol=1e-5)


def learning_rates(options: LoopOptions, steps_per_epoch: int = 10) -> np.ndarray:
    """Return the learning rate of every step of a training run."""
    import_tensorflow()
    rates = build_optimizer(options, steps_per_epoch, options.schedule)._learning_rate
    return np.array([float(rates(step)) for step in range(options.epochs * steps_per_epoch)])


def test_learning_rates_follow_the_schedule() -> None:
    base = LoopOptions(epochs=8, learning_rate=1.0, warm_up=4)
    steps = np.arange(80)
    warm_up = np.minimum(1, steps / 4)
    assert learning_rates(base) == pytest.approx(warm_up * np.minimum(1, (80 - steps) / 20))
    assert learning_rates(replace(base, schedule="step")) == pytest.approx(
        warm_up * np.select([steps < 40, steps < 60], [1, 0.1], 0.01))
    assert learning_rates(replace(base, schedule="cosine")) == pytest.approx(
        np.where(steps < 4, steps / 4, (1 + np.cos(np.pi * (steps - 4) / 76)) / 2), abs=1e-6)
    for schedule in SCHEDULES:  # a warm-up of more steps than an epoch has
        rates = learning_rates(replace(base, schedule=schedule, epochs=1, warm_up=30))
        assert rates.max() > 0.5 and rates[-1] < rates.max()
        assert learning_rates(replace(base, schedule=schedule, warm_up=0))[0] == 1


@pytest.mark.parametrize("schedule", ["constant", "step"])
def test_until_the_rate_decreases_it_does_not_depend_on_the_number_of_epochs(schedule: str) -> None:
    longer = learning_rates(LoopOptions(epochs=12, learning_rate=1.0, warm_up=25, schedule=schedule))
    for epochs in (2, 5, 8):
        options = LoopOptions(epochs=epochs, learning_rate=1.0, warm_up=25, schedule=schedule)
        assert count_constant_epochs(epochs, schedule) > 0
        n_shared = 10 * count_constant_epochs(epochs, schedule)
        assert np.array_equal(learning_rates(options)[:n_shared], longer[:n_shared])


def test_a_state_that_was_not_kept_when_the_run_was_killed_is_kept_when_it_continues(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RunFolder, "keep", stop)
        train(tmp_path, replace(OPTIONS, epochs=2))
    train(tmp_path, replace(OPTIONS, epochs=2))
    caplog.set_level("INFO")
    train(tmp_path)
    assert "Training continues at step 10." in caplog.messages


def test_two_runs_can_keep_the_same_state_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = RunFolder(tmp_path, 4), RunFolder(tmp_path, 5)
    for run in (first, second):
        (run.path / "last").mkdir(parents=True)
        (run.path / "last" / "checkpoint").write_text("state", "utf-8")
    copytree = shutil.copytree

    def copy(*arguments: Any, **options: Any) -> None:
        monkeypatch.setattr(shutil, "copytree", copytree)
        second.keep(3)
        copytree(*arguments, **options)
    monkeypatch.setattr(shutil, "copytree", copy)
    first.keep(3)
    assert {path.name for path in tmp_path.iterdir()} == {"epochs-4", "epochs-5", "constant-3"}
    assert (tmp_path / "constant-3" / "last" / "checkpoint").read_text("utf-8") == "state"


def test_a_run_of_an_earlier_version_continues_at_its_default_learning_rate(tmp_path: Path) -> None:
    def stop(epoch) -> None:
        if epoch.number == 1:
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, replace(OPTIONS, learning_rate=1e-4), on_epoch=stop)
    for path in list((tmp_path / "epochs-3").iterdir()):  # earlier versions had no folders for numbers of epochs
        path.rename(tmp_path / path.name)
    fit, _ = train(tmp_path, replace(OPTIONS, learning_rate=None))
    assert fit.options.learning_rate == 1e-4 and len(fit.epochs) == 3
    assert train(tmp_path / "new", replace(OPTIONS, learning_rate=None, epochs=1))[0].options.learning_rate > 1e-3


def test_gpus_are_not_looked_up_while_a_step_is_traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensorflow, calls = import_tensorflow(), []

    def has_gpu() -> bool:
        calls.append(tensorflow.inside_function())  # autograph would convert the function, and print warnings
        return False
    monkeypatch.setattr(training_run, "has_gpu", has_gpu)
    train(tmp_path, replace(OPTIONS, epochs=1))
    assert calls and not any(calls)


def test_a_run_stopped_by_its_patience_is_not_repeated_for_more_epochs(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = replace(OPTIONS, epochs=20, learning_rate=0.5, optimizer="sgd", patience=2)
    epochs = train(tmp_path, stopped)[0].epochs
    assert len(epochs) < 15
    monkeypatch.setattr(TrainingRun, "train_epoch", lambda *_: pytest.fail("it was trained again"))
    assert train(tmp_path, replace(stopped, epochs=30))[0].epochs == epochs


@pytest.mark.parametrize("has_batch_effects", [False, True])
def test_the_parts_in_which_a_batch_is_computed_do_not_change_the_result(
        has_batch_effects: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = []
    for pixels in (16 * 256, 7 * 256):  # one part per batch, and three
        monkeypatch.setattr(training_run, "PART_PIXELS", pixels)
        # With batch normalization, parts would change the result, so batches must be computed as a whole.
        model = TrainableModel(build_network(batch_norm=has_batch_effects), 2, None, "fine_tuned", has_batch_effects)
        fit = train_network(model, TRAIN, VALIDATION, OPTIONS, tmp_path / str(pixels), lambda epoch: None)
        losses.append([[epoch.train_loss, epoch.validation_loss] for epoch in fit.epochs])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)


def test_the_default_learning_rate_is_lower_for_larger_networks(tmp_path: Path) -> None:
    fit, _ = train(tmp_path, replace(OPTIONS, epochs=1, learning_rate=None))
    n_weights = 3 * 3 * 3 * 4 + 4 + 3 * 3 * 4 * 8 + 8 + 4 * 4 * 8 * 16 + 16
    assert fit.options.learning_rate == pytest.approx(default_learning_rate(n_weights))
    assert default_learning_rate(4 * n_weights) == pytest.approx(default_learning_rate(n_weights) / 2)


def test_the_best_epoch_is_kept_and_patience_ends_a_run_that_does_not_improve(tmp_path: Path) -> None:
    unstable = replace(OPTIONS, epochs=12, learning_rate=0.5, optimizer="sgd", warm_up=30, patience=2)
    fit, _ = train(tmp_path, unstable)
    losses = [epoch.validation_loss for epoch in fit.epochs]
    assert fit.best_epoch == int(np.argmin(losses)) and len(losses) == fit.best_epoch + 3 < 12


def test_training_starts_from_the_initial_head(tmp_path: Path) -> None:
    head = LinearHead(np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32), np.ones(2, np.float32), 2.0)
    expected = head.probabilities(compute_bottlenecks(build_model(), TEST))
    _, actual = train(tmp_path, replace(OPTIONS, epochs=1, learning_rate=1e-9), initial_head=head, dropout=0)
    # The logits differ only by the fitted temperature.
    actual_logits, expected_logits = (np.log(values) - np.log(values).mean(1, keepdims=True)
                                      for values in (actual, expected))
    assert (actual_logits[:, 0] / expected_logits[:, 0]).std() < 1e-3


def test_the_validation_loss_is_measured_at_the_best_temperature(tmp_path: Path) -> None:
    smoothed = replace(OPTIONS, epochs=6, label_smoothing=0.6)
    model = build_model()
    fit = train_network(model, TRAIN, VALIDATION, smoothed, tmp_path, lambda epoch: None)
    log_probabilities = replace(fit.head, temperature=1.0).log_probabilities(compute_bottlenecks(model, VALIDATION))
    uncalibrated_loss = -log_probabilities[np.arange(40), VALIDATION.y].mean()
    assert fit.epochs[fit.best_epoch].validation_loss < 0.7 * uncalibrated_loss
    assert fit.epochs[-1].train_loss < 0.6  # the entropy of the smoothed labels is 0.61


class RecordingPixels:
    """Pixels that record which rows are read."""

    def __init__(self, pixels: np.ndarray):
        self.pixels, self.shape = pixels, pixels.shape
        self.rows: list[np.ndarray] = []

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        self.rows.append(rows)
        return self.pixels[rows]


def test_an_epoch_reads_every_photo_once_in_steps_of_equal_size(tmp_path: Path) -> None:
    pixels: Any = RecordingPixels(TRAIN.pixels)
    fit = train_network(build_model(), PixelData(pixels, TRAIN.y), VALIDATION,
                        replace(OPTIONS, epochs=1, batch_size=100), tmp_path, lambda epoch: None)
    assert sorted(np.concatenate(pixels.rows)) == list(range(160))
    assert [len(rows) for rows in pixels.rows] == [80, 80] and fit.n_steps == 2


def test_a_network_of_constants_cannot_be_trained(tmp_path: Path) -> None:
    tensorflow = import_tensorflow()
    with pytest.raises(TfpoetsError, match="only constants"):
        train_network(TrainableModel(lambda pixels, training: tensorflow.reduce_mean(pixels, [1, 2]), 2, None,
                                     "fine_tuned"), TRAIN, VALIDATION, OPTIONS, tmp_path, lambda epoch: None)


def test_the_epoch_with_the_best_accuracy_is_kept_if_requested(tmp_path: Path) -> None:
    fit, _ = train(tmp_path, replace(OPTIONS, epochs=5, learning_rate=0.05, monitor="accuracy"))
    assert fit.best_epoch == int(np.argmax([epoch.validation_accuracy for epoch in fit.epochs]))


@pytest.mark.parametrize("checkpoint", ["best", "last"])
def test_a_checkpoint_of_a_stopped_run_restores_the_network(checkpoint: str, tmp_path: Path) -> None:
    def stop(epoch) -> None:
        if epoch.number == 1:
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, replace(OPTIONS, epochs=20), on_epoch=stop)
    model = build_model(dropout=0.1)
    fit = train_network(model, TRAIN, VALIDATION, replace(OPTIONS, epochs=20, checkpoint=checkpoint), tmp_path,
                        lambda epoch: None)
    assert len(fit.epochs) == 1  # the run was stopped before it saved the second epoch
    log_probabilities = fit.head.log_probabilities(compute_bottlenecks(model, VALIDATION))
    validation_loss = -log_probabilities[np.arange(40), VALIDATION.y].mean()
    assert validation_loss == pytest.approx(fit.epochs[0].validation_loss, abs=1e-4)


def test_a_loss_that_is_not_finite_raises_an_error(tmp_path: Path) -> None:
    with pytest.raises(TfpoetsError, match=r"no longer finite: `learning_rate`=1e\+38 is too large"):
        train(tmp_path, replace(OPTIONS, learning_rate=1e38, optimizer="sgd", warm_up=0))


def test_metrics_are_correct_for_batches_larger_than_the_dataset(tmp_path: Path) -> None:
    fit, _ = train(tmp_path, replace(OPTIONS, epochs=8, batch_size=1000, learning_rate=0.02))
    assert fit.epochs[-1].train_accuracy > 0.5 and fit.epochs[0].train_loss > 0.5


def damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "flipped":
        content[len(content) // 2] ^= 1
    elif kind == "zeroed":
        content = bytearray(len(content))
    path.write_bytes(content[:len(content) // 2] if kind == "truncated" else content)
    if kind == "missing":
        path.unlink()


@pytest.mark.parametrize("pattern, kind", [
    ("last/*.data*", "flipped"), ("last/*.index", "zeroed"), ("last/checkpoint", "truncated"), ("best/*", "missing"),
    ("last/checksums.json", "missing")])
def test_damaged_checkpoints_are_renamed_and_the_result_is_the_same(
        pattern: str, kind: str, finished: tuple[Path, np.ndarray], tmp_path: Path, caplog: pytest.LogCaptureFixture
        ) -> None:
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "constant-2")
    for path in list((tmp_path / "epochs-3").glob(pattern)):
        damage(path, kind)
    _, probabilities = train(tmp_path)
    # The weights are still readable, and have checksums of their own, if only the file of hashes is missing.
    assert ("were damaged" in caplog.text) == ((pattern, kind) != ("last/checksums.json", "missing"))
    np.testing.assert_allclose(probabilities, finished[1], atol=1e-5)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """The folder of a finished training run, and the probabilities of the test photos."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, train(folder)[1]


def test_a_damaged_state_of_a_shorter_run_is_not_used(finished: tuple[Path, np.ndarray], tmp_path: Path,
                                                      caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    damage(next(tmp_path.glob("constant-2/last/*.data*")), "flipped")
    options = replace(OPTIONS, epochs=5)
    _, probabilities = train(tmp_path, options)
    assert "constant-2 were damaged" in caplog.text
    np.testing.assert_allclose(probabilities, train(tmp_path / "new", options)[1], atol=1e-5)


def test_a_damaged_run_of_an_earlier_version_is_replaced_by_a_new_one(finished: tuple[Path, np.ndarray],
                                                                      tmp_path: Path) -> None:
    shutil.copytree(finished[0] / "epochs-3", tmp_path, dirs_exist_ok=True)
    for path in tmp_path.glob("*/checksums.json"):  # earlier versions did not write them
        path.unlink()
    damage(next(tmp_path.glob("last/*.data*")), "flipped")
    np.testing.assert_allclose(train(tmp_path)[1], finished[1], atol=1e-5)


def test_a_checkpoint_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    with pytest.raises(TfpoetsError, match="There is no checkpoint: no training run with these photos and options"):
        train(tmp_path, replace(OPTIONS, checkpoint="best"))
