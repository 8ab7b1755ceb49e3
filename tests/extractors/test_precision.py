"""Features are computed in full float32 whatever the host program has set, and its settings are restored."""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.inference.test_legacy_classifier import write_graph
from tfpoets.data import read_dataset
from tfpoets.exporting import FROZEN_GRAPH, NUMBERED_SAVED_MODEL, LoadedReference, open_exported, verify, wrap
from tfpoets.extractors import (INPUT_NODE, OUTPUT_NODE, ExecutionOptions, TensorFlowEngine, extract_bottlenecks,
                                open_extractor)
from tfpoets.inference import load_classifier
from tfpoets.tf_runtime import full_precision, hide_native_messages, import_tensorflow


def is_tensor_float_32_on() -> bool:
    return import_tensorflow().config.experimental.tensor_float_32_execution_enabled()


@pytest.fixture(params=[True, False], ids=["on", "off"])
def tensor_float_32(request: pytest.FixtureRequest) -> Iterator[bool]:
    """TensorFloat-32 as a host program may have set it."""
    before = is_tensor_float_32_on()
    import_tensorflow().config.experimental.enable_tensor_float_32_execution(request.param)
    yield request.param
    import_tensorflow().config.experimental.enable_tensor_float_32_execution(before)


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether TensorFloat-32 was on, for each run so far of a session or of a function that takes photos."""
    from tensorflow.python.eager.polymorphic_function.concrete_function import ConcreteFunction
    recorded: list[bool] = []

    def record(owner: type, name: str, is_relevant: Callable[..., bool]) -> None:
        original = getattr(owner, name)

        def recording(self: Any, *arguments: Any, **named: Any) -> Any:
            if is_relevant(*arguments, **named):
                recorded.append(is_tensor_float_32_on())
            return original(self, *arguments, **named)
        monkeypatch.setattr(owner, name, recording)
    record(import_tensorflow().compat.v1.Session, "run", lambda *_, **__: True)
    record(ConcreteFunction, "__call__", lambda *positional, **named: any(
        getattr(value, "shape", None) is not None and value.shape.rank in (1, 4) and hasattr(value, "numpy")
        for value in (*positional, *named.values())))
    return recorded


def test_preparing_and_extracting_restore_the_setting(tmp_path: Path, photo_folder: Path, tiny_module: Path,
                                                      tensor_float_32: bool, states: list[bool]) -> None:
    # This prepares the extractor, and so compares both engines.
    extractor = open_extractor(str(tiny_module), model_dir=tmp_path / "models")
    prepared = len(states)
    assert prepared and is_tensor_float_32_on() == tensor_float_32
    execution = ExecutionOptions(engine=TensorFlowEngine(extractor.graph_path, INPUT_NODE, OUTPUT_NODE))
    bottlenecks = extract_bottlenecks(read_dataset(photo_folder), extractor, tmp_path / "cache", execution=execution)
    assert bottlenecks.computed == 60
    assert len(states) > prepared and not any(states)
    assert is_tensor_float_32_on() == tensor_float_32


@pytest.mark.parametrize("name", ["tf_files/retrained_graph.pb", "saved"])
def test_the_verification_of_exported_files_restores_the_setting(name: str, retrained: Path, tensor_float_32: bool,
                                                                 states: list[bool]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    expected = load_classifier(retrained / "tf_files" / "retrained_graph.tflite").outputs(pixels)
    path, target = (retrained / name, FROZEN_GRAPH) if name.endswith(".pb") else (retrained / name / "1",
                                                                                  NUMBERED_SAVED_MODEL)
    opened = open_exported(path)
    assert opened
    reference = LoadedReference([], pixels, expected)
    assert [row.count for row in verify(name, target, path, opened.metadata, reference)] == [3]
    assert states and not any(states)
    assert is_tensor_float_32_on() == tensor_float_32


def test_a_legacy_graph_restores_the_setting(tmp_path: Path, tensor_float_32: bool, states: list[bool]) -> None:
    classifier = load_classifier(write_graph(tmp_path / "retrained_graph.pb", "MobilenetV1/maps"))
    classifier.outputs(np.zeros((1, classifier.input.height, classifier.input.width, 3), np.float32))
    assert states and not any(states)
    assert is_tensor_float_32_on() == tensor_float_32


def test_a_wrapped_network_restores_the_setting(tensor_float_32: bool) -> None:
    import_tensorflow()
    import keras
    states: list[bool] = []

    class Recording(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            states.append(is_tensor_float_32_on())
            return inputs
    model = keras.Sequential([keras.Input((8, 8, 3)), Recording(), keras.layers.Flatten(), keras.layers.Dense(2)])
    wrapped = wrap(model, ["a", "b"], input_range="0,1")
    states.clear()
    wrapped(np.zeros((2, 8, 8, 3), np.uint8))
    assert states == [False]
    assert is_tensor_float_32_on() == tensor_float_32


def test_full_precision_ends_when_the_last_of_two_threads_leaves_the_block() -> None:
    before = is_tensor_float_32_on()
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with full_precision:
            inside.set()
            leave.wait(10)
    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(10)
    with full_precision:
        leave.set()
        thread.join()
        assert not is_tensor_float_32_on()  # the other thread has left the block, but this one has not
    assert is_tensor_float_32_on() == before


def test_a_setting_is_restored_after_an_error() -> None:
    before = is_tensor_float_32_on()
    with pytest.raises(RuntimeError), full_precision:
        raise RuntimeError
    assert is_tensor_float_32_on() == before


def test_blocks_do_not_redirect_standard_error_again(monkeypatch: pytest.MonkeyPatch) -> None:
    import_tensorflow()
    hide_native_messages()
    try:
        import_tensorflow()
        monkeypatch.setattr("tfpoets.tf_runtime._stderr_redirection", None)  # entering it would fail
        with full_precision:
            pass
    finally:
        hide_native_messages(False)
