"""Build a classifier as a Keras model: its network, its last layer and a softmax."""
from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from tfpoets.errors import ExportError, TfpoetsError, one_line
from tfpoets.extractors import ExtractorOptions, Network, average_keras_views, find_network, load_network
from tfpoets.graphs import HEAD_SCOPE
from tfpoets.tf_runtime import import_tensorflow, redirect_native_stderr

from .metadata import Metadata

if TYPE_CHECKING:
    from tfpoets.training import Head

WRITE_WHILE_RETRAINING = ("Run `tfpoets retrain` with the same options and the format keras: the training is not "
                          "repeated.")


def check_keras_network(options: ExtractorOptions) -> None:
    """Raise an ExportError if the pretrained network that the options select is not a Keras model."""
    # Networks from other providers may lack the attribute.
    if not getattr(find_network(options.handle, options), "is_keras", False):
        raise ExportError(f"The network {options.handle} is a TensorFlow graph without Keras layers, so it cannot be "
                          "written as a .keras file.",
                          "Use the format saved_model, or train a network that is a Keras model: the default network, "
                          "keras:NAME, or one that is trained from scratch.")


def build_keras_classifier(network: Network | None, options: ExtractorOptions, head: Head, name: str) -> Any:
    """Return a Keras model from float32 [n, height, width, 3] in [0, 1] to probabilities, float32 [n, n_classes].

    Args:
        network: The trained network, which must be a Keras model; None for the pretrained one that `options` select.
        options: The options of the extractor.
        head: The head; only its probabilities become part of the model.
        name: The name of the model.

    Raises:
        ExportError: The network contains code that a .keras file cannot store, or the head is not a linear layer.
    """
    linear: Any = getattr(head, "head", head)  # without the unknown score
    if not hasattr(linear, "weights"):
        raise ExportError("Only classifiers whose last layer is linear can be written as a .keras file.",
                          "Train with `solver`=lbfgs.")
    weights, bias = (values / linear.temperature for values in (linear.weights, linear.bias))
    return _build(network or load_network(options), options.views, weights, bias, name)


def rebuild_keras_classifier(metadata: Metadata, graph_def: Any, name: str) -> Any:
    """Return the same for a graph that was read from a file, if its network was not changed by training.

    Raises:
        ExportError: The weights of the network are only in the graph, or the network is not a Keras model.
    """
    import_tensorflow()
    from tensorflow import make_ndarray
    kind, handle = metadata.network.kind, metadata.network.handle
    if kind == "wrapped":
        raise ExportError("The classifier was made from a Keras model.", "Use the file of that model.")
    if kind != "frozen_features":
        raise ExportError("The network was trained together with its last layer, and its graph does not contain its "
                          "Keras layers.", WRITE_WHILE_RETRAINING)
    constants = {node.name: node.attr["value"].tensor for node in graph_def.node if node.op == "Const"}
    names = [f"{HEAD_SCOPE}/final_weights", f"{HEAD_SCOPE}/final_biases"]
    if not constants.keys() >= set(names):
        raise ExportError("Only classifiers whose last layer is linear can be written as a .keras file.")
    height, width = metadata.input.height, metadata.input.width
    # A network that is not square does not take `image_size`.
    options = ExtractorOptions(handle, image_size=height if height == width else None, **_stored_options(metadata))
    check_keras_network(options)
    weights, bias = (make_ndarray(constants[name]) for name in names)
    return _build(load_network(options), options.views, weights, bias, name)


def _stored_options(metadata: Metadata) -> dict[str, Any]:
    """Return the stored options of the extractor, which may come from an untrusted source."""
    stored = metadata.options.get("extractor")
    values = stored if isinstance(stored, dict) else {}
    types = {"views": int, "model_dir": str, "input_range": str}
    return {name: values[name] for name, kind in types.items() if isinstance(values.get(name), kind)}


def _build(network: Network, views: int, weights: np.ndarray, bias: np.ndarray, name: str) -> Any:
    import_tensorflow()
    import keras
    if not network.is_keras:
        raise ExportError("The network is a TensorFlow graph without Keras layers, so it cannot be written as a "
                          ".keras file.", "Use the format saved_model.")
    pixels = keras.Input((network.height, network.width, 3), name="image", dtype="float32")
    try:
        with redirect_native_stderr():
            features = average_keras_views(network, views)(pixels, training=None)
            logits = _add_last_layer(keras, features, weights, bias)
            probabilities = keras.layers.Softmax(name="probabilities", dtype="float32")(logits)
            with unique_layer_names(probabilities):
                return keras.Model(pixels, probabilities, name=name)
    except TfpoetsError as error:
        raise ExportError(error.problem, error.remedy) from error
    except Exception as error:  # the code of the network may raise any error
        raise ExportError(f"The network cannot be written as a .keras file: {one_line(error)}",
                          "Use only layers and operations of Keras (keras.ops), or the format saved_model.") from error


@contextmanager
def unique_layer_names(outputs: Any) -> Iterator[None]:
    """Rename, within the block, layers and operations with equal names, which a .keras file cannot contain.

    Layers of users have equal names if they are in different blocks of a network. The names of layers that this module
    adds do not change. After the block, all layers have their own names again, since they belong to the user.

    Args:
        outputs: The KerasTensor that the layers compute.
    """
    operations = _operations(outputs)
    names = [operation.name for operation in operations]
    used = set[str]()
    try:
        for operation, name in zip(operations, names):
            new_names = (f"{name}_{number}" for number in itertools.count(1))
            if name in used:
                operation.name = next(new for new in new_names if new not in used and new not in names)
            used.add(operation.name)
        yield
    finally:
        for operation, name in zip(operations, names):
            operation.name = name


def _operations(outputs: Any) -> list[Any]:
    """Return the layers and operations that compute a KerasTensor: the inputs, then the others from last to first."""
    import keras
    operations: dict[int, Any] = {}
    visited, waiting = set(), [outputs]
    while waiting:
        history = waiting.pop()._keras_history
        node = history.operation._inbound_nodes[history.node_index]
        if id(node) not in visited:
            visited.add(id(node))
            operations[id(history.operation)] = history.operation
            waiting.extend(node.input_tensors)
    return sorted(operations.values(), key=lambda operation: not isinstance(operation, keras.layers.InputLayer))


def _add_last_layer(keras: Any, features: Any, weights: np.ndarray, bias: np.ndarray) -> Any:
    """Return the logits for the features of a network."""
    size = weights.shape[1]
    if weights.shape[0] == size and not bias.any() and np.array_equal(weights, np.eye(size) * weights[0, 0]):
        # The features are already logits, so that the last layer remains that of the network.
        return keras.layers.Rescaling(float(weights[0, 0]), name="temperature", dtype="float32")(features)
    last_layer = keras.layers.Dense(size, name="head", dtype="float32")
    logits = last_layer(features)
    last_layer.set_weights([weights, bias])
    return logits
