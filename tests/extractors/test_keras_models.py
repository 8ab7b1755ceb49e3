"""What a Keras model of the user takes and returns is recognized, or the model is rejected with a reason."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tfpoets.errors import ExtractorError
from tfpoets.extractors import INPUT_RANGES, adapt_model
from tfpoets.tf_runtime import import_tensorflow

SIZE = 16


def network(n_outputs: int = 1, activation: str | None = None, *, first: Callable[[], Any] | None = None,
            last: Callable[[], list[Any]] = list, dtype: str = "float32") -> Any:
    """Return a network for pixels from 0 to 255, whose output depends strongly on the photo."""
    import_tensorflow()
    import keras
    from keras import layers
    keras.utils.set_random_seed(5)
    scale = first() if first else layers.Rescaling(1 / 255)
    return keras.Sequential([keras.Input((SIZE, SIZE, 3), dtype=dtype), scale, layers.Flatten(),
                             layers.Dense(n_outputs, activation, kernel_initializer="random_normal"), *last()])


def layer(name: str, *args: Any, **kwargs: Any) -> Any:
    import_tensorflow()
    import keras
    return getattr(keras.layers, name)(*args, **kwargs)


def convolution_and_average() -> Any:
    """Return a network whose sigmoids are averaged over the positions."""
    import_tensorflow()
    import keras
    keras.utils.set_random_seed(5)
    return keras.Sequential([keras.Input((SIZE, SIZE, 3)), layer("Rescaling", 1 / 255),
                             layer("Conv2D", 1, 9, activation="sigmoid"), layer("GlobalAveragePooling2D")])


def average_of_heads(activation: str) -> Any:
    import_tensorflow()
    import keras
    keras.utils.set_random_seed(5)
    photos = keras.Input((SIZE, SIZE, 3))
    features = layer("Flatten")(layer("Rescaling", 1 / 255)(photos))
    heads = [layer("Dense", 3, activation, kernel_initializer="random_normal")(features) for _ in range(3)]
    return keras.Model(photos, layer("Average")(heads))


def compiled_with_reshape() -> Any:
    """Return a model whose `call` is decorated with tf.function and ends in a sigmoid and a reshape."""
    tensorflow = import_tensorflow()
    import keras

    class Model(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.network = network()

        @tensorflow.function
        def call(self, photos: Any, training: bool = False) -> Any:
            return tensorflow.reshape(tensorflow.sigmoid(self.network(photos)), [-1, 1])
    return Model()


def random_photos() -> np.ndarray:
    """Return uint8 [8, SIZE, SIZE, 3], bright and dark."""
    random = np.random.default_rng(1)
    return (random.random((8, SIZE, SIZE, 3)) * random.random((8, 1, 1, 3)) * 256).astype(np.uint8)


def expected_probabilities(outputs: np.ndarray) -> np.ndarray:
    if outputs.shape[1] == 1:
        return np.concatenate([1 - outputs, outputs], 1)
    return outputs / outputs.sum(1, keepdims=True)


@pytest.mark.parametrize("build, end", [
    (lambda: network(1, "sigmoid"), "ends in a sigmoid"),
    (lambda: network(1, "sigmoid", last=lambda: [layer("Flatten"), layer("Activation", "linear")]),
     "ends in a sigmoid"),
    (lambda: network(1, "sigmoid", last=lambda: [layer("Reshape", (1, 1)), layer("Reshape", (1,))]),
     "ends in a sigmoid"),
    (lambda: network(3, "sigmoid", last=lambda: [layer("Reshape", (3,))]), "ends in sigmoids"),
    (lambda: network(3, "softmax", last=lambda: [layer("Reshape", (1, 3)), layer("Flatten")]), "ends in a softmax"),
    (lambda: network(3, "hard_sigmoid"), "returns probabilities"),
    (convolution_and_average, "returns probabilities"),
    (lambda: average_of_heads("sigmoid"), "returns probabilities"),
    (lambda: average_of_heads("softmax"), "returns probabilities"),
    (compiled_with_reshape, "ends in a sigmoid"),
])
def test_outputs_that_are_probabilities_are_recognized(build: Callable[[], Any], end: str) -> None:
    tensorflow, photos, model = import_tensorflow(), random_photos(), build()
    adapted = adapt_model(model, image_size=SIZE)
    assert adapted.describe_input().endswith(f"shows, and {end}.")
    expected = expected_probabilities(np.asarray(model(photos.astype(np.float32))))
    assert expected.std(0).max() > 0.01
    logits = tensorflow.function(adapted.logits)(photos.astype(np.float32) / 255)
    for probabilities in (adapted.outputs(photos), tensorflow.nn.softmax(logits).numpy(),
                          tensorflow.nn.softmax(adapted.logits(photos.astype(np.float32) / 255)).numpy()):
        np.testing.assert_allclose(probabilities, expected, atol=1e-5)


@pytest.mark.parametrize("build", [
    lambda: network(3), lambda: network(1, last=lambda: [layer("Reshape", (1,))]),
    lambda: network(3, "log_softmax"), lambda: network(3, last=lambda: [layer("BatchNormalization")]),
    lambda: network(3, last=lambda: [layer("Rescaling", 1e-6, 0.5)]),  # between 0 and 1 for all photos
])
def test_outputs_without_an_activation_are_logits(build: Callable[[], Any]) -> None:
    assert adapt_model(build()).describe_input().endswith("and returns logits.")


@pytest.mark.parametrize("build, message", [
    (lambda: network(1, "softmax"), "ends in a softmax of one output, which is always 1. Use a sigmoid, or one"),
    (lambda: network(3, last=lambda: [layer("Reshape", (3, 1)), layer("Softmax"), layer("Flatten")]),
     "its outputs do not sum to 1"),
    (lambda: network(1, "tanh"), "always between -1 and 1.*End the model in a softmax, in sigmoids, or without"),
    (lambda: network(1, "relu"), "never below 0"),
    (lambda: network(3, "softmax", last=lambda: [layer("Rescaling", 2.0)]), "always between 0 and 2"),
    (lambda: network(1, "log_sigmoid"), "never above 0"),
    (lambda: network(3, "relu", last=lambda: [layer("Lambda", lambda outputs: outputs / (1 + outputs))]),
     "logits or probabilities is not known.*End the model in a softmax"),
    (lambda: network(3, dtype="float32", last=lambda: [layer("Lambda", lambda outputs: {"a": outputs})]),
     "output of the model .* is a dict, not a tensor"),
])
def test_outputs_of_another_kind_are_rejected(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(ExtractorError, match=message):
        adapt_model(build())


def test_a_model_with_several_outputs_is_rejected() -> None:
    import_tensorflow()
    import keras
    one = network(3)
    with pytest.raises(ExtractorError, match="has several outputs. Use a model with one output"):
        adapt_model(keras.Model(one.inputs, [one.outputs[0], layer("Dense", 2)(one.outputs[0])]))


@pytest.mark.parametrize("first, right, wrong", [
    (lambda: layer("Rescaling", 1 / 255), ("0,255",), ("0,1", "-1,1")),
    (lambda: layer("Rescaling", 2.0, -1.0), ("0,1",), ("0,255", "-1,1")),
    (lambda: layer("Normalization", mean=[120.0] * 3, variance=[3000.0] * 3), ("0,255",), ("0,1", "-1,1")),
    # Both ranges are possible, the first one is more plausible.
    (lambda: layer("Normalization", mean=[0.3] * 3, variance=[0.05] * 3), ("0,1", "-1,1"), ("0,255",)),
    (lambda: layer("BatchNormalization"), ("0,1", "0,255", "-1,1"), ()),
])
def test_a_stated_range_must_not_contradict_the_layer_that_shows_it(first: Callable[[], Any], right: tuple[str, ...],
                                                                    wrong: tuple[str, ...]) -> None:
    model = network(3, first=first)
    for stated in right:
        assert adapt_model(model, stated).input_range == INPUT_RANGES[stated]
    for stated in wrong:
        with pytest.raises(ExtractorError, match=rf"as the layer '\w+' \(\w+\) shows, but `input_range` is {stated}. "
                                                 "Omit `input_range`"):
            adapt_model(model, stated)


@pytest.mark.parametrize("first", [lambda: layer("Rescaling", 1.0),
                                   lambda: layer("Normalization", mean=[0.0] * 3, variance=[1.0] * 3)])
def test_layers_that_return_their_input_are_not_a_scale(first: Callable[[], Any]) -> None:
    import_tensorflow()
    import keras
    inner = network(3)
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), first(), *inner.layers])
    assert adapt_model(model).input_range == (0, 255)


def test_pixels_are_rounded_for_a_model_that_takes_integers() -> None:
    tensorflow, model, photos = import_tensorflow(), network(3, dtype="uint8"), random_photos()
    adapted = adapt_model(model)
    assert "takes pixels from 0 to 255, as its input of type uint8 shows" in adapted.describe_input()
    expected = tensorflow.nn.softmax(model(photos)).numpy()
    for probabilities in (adapted.outputs(photos),
                          tensorflow.nn.softmax(adapted.logits(photos.astype(np.float32) / 255)).numpy()):
        np.testing.assert_allclose(probabilities, expected, atol=1e-6)


@pytest.mark.parametrize("policy, dtype", [("mixed_float16", "float16"), ("mixed_bfloat16", "bfloat16")])
def test_half_precision_is_rejected(policy: str, dtype: str) -> None:
    import_tensorflow()
    import keras
    keras.config.set_dtype_policy(policy)
    try:
        model = network(3, last=lambda: [layer("Activation", "softmax", dtype="float32")])
    finally:
        keras.config.set_dtype_policy("float32")
    with pytest.raises(ExtractorError, match=rf"The layer 'rescaling\w*' \(Rescaling\) .* computes in {dtype}.*"
                                             'Call keras.config.set_dtype_policy'):
        adapt_model(model)
    with pytest.raises(ExtractorError, match=rf"\(InputLayer\) .* computes in {dtype}"):
        adapt_model(network(3, dtype=dtype))


def subclass(call: Callable[..., Any]) -> Any:
    import_tensorflow()
    import keras

    class Model(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.network = network(3)
    Model.call = call
    return Model()


def test_a_call_that_requires_the_argument_training_works() -> None:
    def call(self: Any, photos: Any, training: bool) -> Any:
        return self.network(photos, training=training)
    import_tensorflow()
    import keras
    model, photos = subclass(call), random_photos()
    adapted = adapt_model(model, image_size=SIZE)
    symbolic = keras.Input((SIZE, SIZE, 3))
    in_keras = keras.Model(symbolic, adapted.logits(symbolic))
    expected = model(photos.astype(np.float32), training=False)
    np.testing.assert_allclose(in_keras(photos.astype(np.float32) / 255), expected, atol=1e-4)


def test_an_error_of_a_model_is_reported_with_a_remedy_that_helps() -> None:
    def call(self: Any, photos: Any, training: bool = False) -> Any:
        return self.network(photos.numpy())
    with pytest.raises(ExtractorError, match=r"cannot be called: .* use operations of Keras or TensorFlow") as raised:
        adapt_model(subclass(call), image_size=SIZE)
    assert "\x1b" not in str(raised.value) and "image_size" not in str(raised.value)
    with pytest.raises(ExtractorError, match=r"does not take photos of 8 x 8 pixels: .*Try a different `image_size`"):
        adapt_model(subclass(lambda self, photos, training=False: self.network(photos)), image_size=8)
    with pytest.raises(ExtractorError, match=r"not `image_size`=8. Omit `image_size`"):
        adapt_model(network(3), image_size=8)


def test_the_outputs_of_a_network_that_is_no_classifier_are_not_examined() -> None:
    adapted = adapt_model(network(3, "tanh"), is_classifier=False)
    assert adapted.describe_input().endswith("(Rescaling) shows.")
