"""Parts of the training loop that a program can replace: the training step, and what happens after each epoch."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tfpoets.errors import TrainingError
from tfpoets.tf_runtime import import_tensorflow

from .network_fit import EpochMetrics

# Maps float32 [n, height, width, 3] in [0, 1] to float32 [n, depth]. The second argument is Keras's `training`.
TrainableNetwork = Callable[[Any, bool], Any]


@dataclass(frozen=True, eq=False)
class StepModel:
    """The network with its last layer, for a training step of a program's own.

    Attributes:
        network: The network.
        kernel: The weights of the last layer, float32 [depth, n_classes].
        bias: Its bias, float32 [n_classes].
        trainable_variables: All weights that are trained.
        optimizer: The Keras optimizer that the options describe. Its state is part of the checkpoints; that of another
            optimizer would be lost when the training is interrupted.
    """

    network: TrainableNetwork
    kernel: Any
    bias: Any
    trainable_variables: list[Any]
    optimizer: Any

    def __call__(self, x: Any, training: bool = False) -> Any:
        """Return the logits of photos: float32 [n, height, width, 3] in [0, 1] to float32 [n, n_classes]."""
        return import_tensorflow().matmul(self.network(x, training), self.kernel) + self.bias


# Updates the weights of `model` on one batch: x is float32 [n, height, width, 3] in [0, 1], after augmentation, and y
# is int64 [n]. Returns the mean loss of the batch, and the logits, float32 [n, n_classes].
TrainStep = Callable[[StepModel, Any, Any], tuple[Any, Any]]


def check_step_result(result: Any, n_classes: int) -> tuple[Any, Any]:
    """Return the loss and the logits that a training step has returned; raise a ValueError if they are something else.

    Args:
        result: What the step has returned.
        n_classes: The number of classes.
    """
    tensorflow = import_tensorflow()
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise ValueError("it must return the mean loss and the logits of the batch")
    loss, logits = (tensorflow.convert_to_tensor(value) for value in result)
    if loss.shape.rank != 0:
        raise ValueError(f"the shape of its loss is {loss.shape}, but it must be a single number, the mean")
    if not logits.shape.is_compatible_with([None, n_classes]):
        raise ValueError(f"the shape of its logits is {logits.shape}, but it must be [n, {n_classes}]")
    return loss, logits


@contextmanager
def convert_step_errors() -> Iterator[None]:
    """Turn errors in a training step into a TrainingError with the last line of their message."""
    try:
        yield
    except Exception as error:  # the code of the program may raise any error
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise TrainingError(f"`train_step` fails: {lines[-1].strip()}", "It is called as train_step(model, x, y), and "
                            "returns the mean loss and the logits of the batch.", "train_step") from error


@contextmanager
def keras_callbacks(callbacks: Sequence[Any], model: Any) -> Iterator[Callable[[EpochMetrics], bool]]:
    """Return a function that passes epochs on to Keras callbacks, for the argument `on_epoch` of `train_network`.

    The callbacks receive `loss`, `accuracy`, `val_loss` and `val_accuracy` after each epoch, also of the epochs of an
    interrupted run that is continued. A callback that sets `model.stop_training` ends the training. Callbacks that
    act on batches or change the learning rate have no effect.

    Args:
        callbacks: Instances of `keras.callbacks.Callback`.
        model: The Keras model of the network, for callbacks that use it. If it is not compiled, it is compiled with an
            optimizer that is not used.
    """
    import_tensorflow()
    import keras
    model.stop_training = False
    # EarlyStopping, ReduceLROnPlateau and TensorBoard read the metrics and the optimizer.
    if callbacks and not getattr(model, "compiled", False):
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    for callback in callbacks:  # Keras derives the mode from metrics that only its own `fit` builds
        if getattr(callback, "mode", "") == "auto" and "accuracy" in str(getattr(callback, "monitor", "")):
            callback.mode = "max"
    callback_list = keras.callbacks.CallbackList(list(callbacks), model=model)

    def on_epoch(epoch: EpochMetrics) -> bool:
        callback_list.on_epoch_begin(epoch.number)
        callback_list.on_epoch_end(epoch.number, {
            "loss": epoch.train_loss, "accuracy": epoch.train_accuracy, "val_loss": epoch.validation_loss,
            "val_accuracy": epoch.validation_accuracy})
        return bool(model.stop_training)
    callback_list.on_train_begin()
    yield on_epoch
    callback_list.on_train_end()
