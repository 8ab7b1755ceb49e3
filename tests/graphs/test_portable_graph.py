"""Frozen graphs are reduced to what old versions of TensorFlow and other programs can read."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tfpoets.graphs import make_portable, oldest_tensorflow, unsupported_by_opencv
from tfpoets.tf_runtime import import_tensorflow

PHOTOS = np.random.default_rng(0).random((3, 8, 8, 3), np.float32)


def build(function: Callable[[Any, Any], Any]) -> Any:
    """Return the graph of `function(tensorflow, pixels)`, with the placeholder `input` and the result `output`."""
    tensorflow = import_tensorflow()
    with tensorflow.Graph().as_default() as graph:
        pixels = tensorflow.compat.v1.placeholder(tensorflow.float32, [None, 8, 8, 3], name="input")
        tensorflow.identity(function(tensorflow, pixels), name="output")
    return graph.as_graph_def()


def run(graph_def: Any, photos: np.ndarray = PHOTOS) -> np.ndarray:
    v1 = import_tensorflow().compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        v1.import_graph_def(graph_def, name="")
        return session.run("output:0", {"input:0": photos})


def operations(graph_def: Any) -> list[str]:
    return sorted(node.op for node in graph_def.node)


def convolution(tensorflow: Any, pixels: Any) -> Any:
    kernel = tensorflow.constant(np.random.default_rng(1).normal(size=(3, 3, 3, 4)).astype(np.float32))
    return tensorflow.nn.conv2d(pixels, tensorflow.identity(kernel), 1, "SAME")


def test_nodes_that_the_output_does_not_need_are_removed() -> None:
    def function(tensorflow: Any, pixels: Any) -> Any:
        tensorflow.compat.v1.placeholder(tensorflow.float32, name="dead")
        check = tensorflow.compat.v1.assert_greater_equal(pixels, -1.0)
        with tensorflow.control_dependencies([check]):
            return tensorflow.stop_gradient(convolution(tensorflow, tensorflow.identity(pixels)))
    graph_def = build(function)
    portable = make_portable(graph_def, ["output"])
    assert operations(portable) == ["Const", "Conv2D", "Identity", "Placeholder"]
    assert not any(name.startswith("^") for node in portable.node for name in node.input)
    assert np.array_equal(run(portable), run(graph_def))


def test_attributes_with_their_default_value_are_removed() -> None:
    graph_def = build(convolution)
    before, after = ({node.op: node for node in graph.node}["Conv2D"].attr for graph in
                     (graph_def, make_portable(graph_def, ["output"])))
    assert {"explicit_paddings", "data_format", "dilations"} <= set(before)
    assert set(after) == {"T", "strides", "padding"}


def test_constants_are_folded() -> None:
    def function(tensorflow: Any, pixels: Any) -> Any:
        mean, variance, offset, scale = (tensorflow.constant(np.float32([value, 2, 3])) for value in range(1, 5))
        return tensorflow.nn.batch_normalization(pixels, mean, variance, offset, scale, 1e-3)
    graph_def = build(function)
    assert "Rsqrt" in operations(graph_def)
    portable = make_portable(graph_def, ["output"])
    assert operations(portable) == ["AddV2", "Const", "Const", "Identity", "Mul", "Placeholder"]
    assert np.array_equal(run(portable), run(graph_def))


def test_batch_normalization_is_converted_to_the_first_version_of_its_operation() -> None:
    def function(tensorflow: Any, pixels: Any) -> Any:
        values = [np.float32([value, 2, 3]) for value in range(1, 5)]
        return tensorflow.compat.v1.nn.fused_batch_norm(pixels, *values, epsilon=0.01, is_training=False)[0]
    graph_def = build(function)
    assert "FusedBatchNormV3" in operations(graph_def)
    portable = make_portable(graph_def, ["output"])
    assert "FusedBatchNorm" in operations(portable) and oldest_tensorflow(portable) == "1.13"
    assert np.array_equal(run(portable), run(graph_def))


def test_every_element_of_a_small_constant_is_stored() -> None:
    portable = make_portable(build(lambda tensorflow, pixels: pixels + tensorflow.ones(3)), ["output"])
    constant, = (node for node in portable.node if node.op == "Const")
    assert len(constant.attr["value"].tensor.tensor_content) == 12 and np.array_equal(run(portable), PHOTOS + 1)


def test_large_and_random_results_are_not_stored() -> None:
    def function(tensorflow: Any, pixels: Any) -> Any:
        tiled = tensorflow.tile(tensorflow.constant(np.ones((1, 1), np.float32)), tensorflow.constant([1024, 1024]))
        noise = tensorflow.compat.v1.random_uniform(tensorflow.constant([8, 8, 3]))
        return pixels + tensorflow.reduce_mean(tiled[:1]) * 0 + noise + tiled[0, 0]
    portable = make_portable(build(function), ["output"])
    assert "RandomUniform" in operations(portable) and portable.ByteSize() < 2 ** 20
    assert not np.array_equal(run(portable), run(portable))


@pytest.mark.parametrize("brightness", [0.1, 0.9])
def test_both_branches_of_control_flow_are_kept(brightness: float) -> None:
    def function(tensorflow: Any, pixels: Any) -> Any:
        tensorflow.compat.v1.disable_control_flow_v2()
        try:
            return tensorflow.compat.v1.cond(tensorflow.reduce_mean(pixels) > 0.5, lambda: pixels * 2.0,
                                             lambda: tensorflow.constant(np.ones((3, 8, 8, 3), np.float32)))
        finally:
            tensorflow.compat.v1.enable_control_flow_v2()
    graph_def = build(function)
    portable = make_portable(graph_def, ["output"])
    photos = np.full((3, 8, 8, 3), brightness, np.float32)
    assert "Merge" in operations(portable)
    assert np.array_equal(run(portable, photos), run(graph_def, photos))


def test_functions_that_a_node_calls_are_kept() -> None:
    def function(tensorflow: Any, pixels: Any) -> Any:
        return tensorflow.function(lambda photos: photos * 3.0)(pixels)
    graph_def = build(function)
    assert np.array_equal(run(make_portable(graph_def, ["output"])), 3 * PHOTOS)
    unused = make_portable(graph_def, ["input"])
    assert not unused.library.function and operations(unused) == ["Placeholder"]


def test_the_graph_is_the_same_every_time_and_unchanged_by_a_second_call() -> None:
    graph_def = build(convolution)
    first, second = (make_portable(graph_def, ["output"]) for _ in range(2))
    content = first.SerializeToString(deterministic=True)
    assert second.SerializeToString(deterministic=True) == content
    assert make_portable(first, ["output"]).SerializeToString(deterministic=True) == content


@pytest.mark.parametrize("function, version", [
    (convolution, "1.13"),
    (lambda tensorflow, pixels: tensorflow.where(pixels > 0.5, pixels, 0.0), "1.14"),
    (lambda tensorflow, pixels: tensorflow.einsum("bhwc->bwhc", pixels), "1.15"),
    (lambda tensorflow, pixels: tensorflow.nn.conv2d(pixels, np.ones((3, 3, 3, 1), np.float32), 1,
                                                     [[0, 0], [1, 1], [1, 1], [0, 0]]), "1.14"),
    (lambda tensorflow, pixels: tensorflow.image.resize(pixels, [4, 4]), "1.14"),
    (lambda tensorflow, pixels: tensorflow.raw_ops.Bitcast(input=pixels, type=tensorflow.int32), ""),
])
def test_the_oldest_tensorflow_follows_from_operations_and_attributes(function: Callable[[Any, Any], Any],
                                                                      version: str) -> None:
    assert oldest_tensorflow(make_portable(build(function), ["output"])) == version


@pytest.mark.parametrize("function, unsupported", [
    (convolution, []), (lambda tensorflow, pixels: tensorflow.reverse(pixels, [2]), ["ReverseV2"]),
    (lambda tensorflow, pixels: tensorflow.reshape(pixels, [tensorflow.shape(pixels)[0], 192]), []),
    (lambda tensorflow, pixels: pixels[:, 1:], ["StridedSlice"]),
    (lambda tensorflow, pixels: pixels - 1.0, []), (lambda tensorflow, pixels: 1.0 - pixels, ["Sub"]),
])
def test_operations_that_opencv_does_not_support_are_listed(function: Callable[[Any, Any], Any],
                                                            unsupported: list[str]) -> None:
    assert unsupported_by_opencv(make_portable(build(function), ["output"])) == unsupported


def test_opencv_does_not_support_a_second_input() -> None:
    def function(tensorflow: Any, pixels: Any) -> Any:
        tensorflow.compat.v1.placeholder(tensorflow.float32, name="dead")
        return pixels + 1.0
    assert unsupported_by_opencv(build(function)) == ["more than one Placeholder"]
    assert unsupported_by_opencv(make_portable(build(function), ["output"])) == []
