"""A program can replace the training step, and pass epochs on to Keras callbacks."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.test_training_loop import OPTIONS, TEST, TRAIN, VALIDATION, compute_bottlenecks, train
from tfpoets.tf_runtime import import_tensorflow
from tfpoets.training import (EpochMetrics, LoopOptions, NetworkFit, StepModel, TrainableModel, keras_callbacks,
                              train_network)

PLAIN_OPTIONS = replace(OPTIONS, label_smoothing=0.0)


def build_keras_model() -> Any:
    """Return a Sequential model that computes features of 16 x 16 pixels."""
    import_tensorflow()
    import keras
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(8, 3, activation="relu"),
                             keras.layers.MaxPooling2D(), keras.layers.Flatten(),
                             keras.layers.Dense(16, activation="relu")])


def gradient_tape_step(model: StepModel, x: Any, y: Any) -> tuple[Any, Any]:
    """Minimize the mean cross-entropy, as in tutorials."""
    tensorflow = import_tensorflow()
    with tensorflow.GradientTape() as tape:
        logits = model(x, training=True)
        loss = tensorflow.reduce_mean(tensorflow.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
    gradients = tape.gradient(loss, model.trainable_variables)
    model.optimizer.apply_gradients(zip(gradients, model.trainable_variables))
    return loss, logits


def train_keras(folder: Path, train_step: Any = None, options: LoopOptions = PLAIN_OPTIONS,
                on_epoch: Any = lambda epoch: None, network: Any = None) -> tuple[NetworkFit, np.ndarray]:
    """Train a Keras model, and return the fit and the probabilities of the test photos."""
    network = network or build_keras_model()
    model = TrainableModel(lambda x, training: network(x, training=training), 2, None, "from_scratch",
                           train_step=train_step)
    fit = train_network(model, TRAIN, VALIDATION, options, folder, on_epoch)
    return fit, fit.head.probabilities(compute_bottlenecks(model, TEST))


def test_an_own_step_with_the_usual_loss_gives_the_same_result_as_the_usual_step(tmp_path: Path) -> None:
    usual_fit, usual = train_keras(tmp_path / "usual")
    own_fit, own = train_keras(tmp_path / "own", gradient_tape_step)
    np.testing.assert_allclose(own, usual, atol=1e-4)
    for own_epoch, usual_epoch in zip(own_fit.epochs, usual_fit.epochs, strict=True):
        assert own_epoch.train_loss == pytest.approx(usual_epoch.train_loss, abs=1e-3)
        assert own_epoch.train_accuracy == pytest.approx(usual_epoch.train_accuracy, abs=0.01)


def test_an_own_step_determines_what_is_trained(tmp_path: Path) -> None:
    def last_layer_only(model: StepModel, x: Any, y: Any) -> tuple[Any, Any]:
        tensorflow = import_tensorflow()
        with tensorflow.GradientTape() as tape:
            logits = model(x, training=True)
            loss = tensorflow.reduce_mean(tensorflow.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
        variables = [model.kernel, model.bias]
        model.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return loss, logits
    network = build_keras_model()
    before = [variable.numpy() for variable in network.variables]
    fit, _ = train_keras(tmp_path, last_layer_only, network=network)
    for variable, value in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert fit.epochs[-1].train_loss < fit.epochs[0].train_loss


def test_an_interrupted_run_with_an_own_step_continues_to_the_same_result(tmp_path: Path) -> None:
    def stop(epoch: EpochMetrics) -> None:
        if epoch.number == 1:
            raise KeyboardInterrupt
    expected = train_keras(tmp_path / "uninterrupted", gradient_tape_step)[1]
    with pytest.raises(KeyboardInterrupt):
        train_keras(tmp_path / "interrupted", gradient_tape_step, on_epoch=stop)
    np.testing.assert_allclose(train_keras(tmp_path / "interrupted", gradient_tape_step)[1], expected, atol=1e-5)


def test_keras_callbacks_receive_the_metrics_of_every_epoch(tmp_path: Path) -> None:
    import_tensorflow()
    import keras
    network, begun_and_ended = build_keras_model(), []

    class Recorder(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            begun_and_ended.append("begin")

        def on_train_end(self, logs: Any = None) -> None:
            begun_and_ended.append("end")
    history, csv = keras.callbacks.History(), keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    board = keras.callbacks.TensorBoard(str(tmp_path / "board"))
    with keras_callbacks([history, csv, board, Recorder()], network) as on_epoch:
        fit, _ = train_keras(tmp_path / "run", on_epoch=on_epoch, network=network)
    assert begun_and_ended == ["begin", "end"]
    assert history.history["val_loss"] == [epoch.validation_loss for epoch in fit.epochs]
    assert history.history["accuracy"] == [epoch.train_accuracy for epoch in fit.epochs]
    header, *rows = (tmp_path / "log.csv").read_text("utf-8").splitlines()
    assert header == "epoch,accuracy,loss,val_accuracy,val_loss" and len(rows) == 3
    assert list((tmp_path / "board").glob("*/events.out.tfevents.*"))


def test_a_keras_callback_can_end_the_training_and_it_stays_ended(tmp_path: Path) -> None:
    import_tensorflow()
    import keras
    for _ in range(2):  # the second run finds the first one finished
        network = build_keras_model()
        stopping = keras.callbacks.EarlyStopping("val_loss", min_delta=100, patience=2)
        with keras_callbacks([stopping], network) as on_epoch:
            fit, _ = train_keras(tmp_path, options=replace(PLAIN_OPTIONS, epochs=8), on_epoch=on_epoch,
                                 network=network)
        assert len(fit.epochs) == 3 and fit.n_steps == 30


def test_on_epoch_ends_the_training_if_it_returns_true(tmp_path: Path) -> None:
    fit, _ = train(tmp_path, on_epoch=lambda epoch: epoch.number == 1)
    assert len(fit.epochs) == 2
