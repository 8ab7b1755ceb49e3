"""Vectors are computed in full float32 whatever the host program has set, and its settings are restored."""
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
from tfpoets.extractors import TensorFlowEngine, extract_bottlenecks, open_extractor
from tfpoets.inference import load_classifier
from tfpoets.tf_runtime import auto_mixed_precision, full_precision, hide_native_messages, import_tensorflow


def is_on() -> bool:
    return import_tensorflow().config.experimental.tensor_float_32_execution_enabled()


@pytest.fixture(params=[True, False], ids=["on", "off"])
def tensor_float_32(request: pytest.FixtureRequest) -> Iterator[bool]:
    """TensorFloat-32 as a host program may have set it."""
    before = is_on()
    import_tensorflow().config.experimental.enable_tensor_float_32_execution(request.param)
    yield request.param
    import_tensorflow().config.experimental.enable_tensor_float_32_execution(before)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What TensorFloat-32 was in every run of a session, and of a function that takes photos."""
    from tensorflow.python.eager.polymorphic_function.concrete_function import ConcreteFunction
    found: list[bool] = []

    def watch(owner: type, name: str, counts: Callable[..., bool]) -> None:
        plain = getattr(owner, name)

        def watched(self: Any, *arguments: Any, **named: Any) -> Any:
            if counts(*arguments, **named):
                found.append(is_on())
            return plain(self, *arguments, **named)
        monkeypatch.setattr(owner, name, watched)
    watch(import_tensorflow().compat.v1.Session, "run", lambda *_, **__: True)
    watch(ConcreteFunction, "__call__", lambda *given, **named: any(
        getattr(each, "shape", None) is not None and each.shape.rank in (1, 4) and hasattr(each, "numpy")
        for each in (*given, *named.values())))
    return found


def test_preparing_and_extracting_restore_it(tmp_path: Path, photo_folder: Path, tiny_module: Path,
                                             tensor_float_32: bool, seen: list[bool], monkeypatch: pytest.MonkeyPatch
                                             ) -> None:
    monkeypatch.setattr("tfpoets.extractors.extraction.choose_engine",
                        lambda _, graph, *nodes: TensorFlowEngine(graph, *nodes))
    # Prepared anew: both engines are compared.
    extractor = open_extractor(str(tiny_module), model_dir=tmp_path / "models")
    prepared = len(seen)
    assert prepared and is_on() == tensor_float_32
    assert extract_bottlenecks(read_dataset(photo_folder), extractor, tmp_path / "cache").computed == 60
    assert len(seen) > prepared and not any(seen)
    assert is_on() == tensor_float_32


@pytest.mark.parametrize("name", ["tf_files/retrained_graph.pb", "saved"])
def test_the_verification_of_exported_files_restores_it(name: str, retrained: Path, tensor_float_32: bool,
                                                        seen: list[bool]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    expected = load_classifier(retrained / "tf_files" / "retrained_graph.tflite").outputs(pixels)
    path, target = (retrained / name, FROZEN_GRAPH) if name.endswith(".pb") else (retrained / name / "1",
                                                                                 NUMBERED_SAVED_MODEL)
    opened = open_exported(path)
    assert opened
    reference = LoadedReference([], pixels, expected)
    assert [row.count for row in verify(name, target, path, opened.metadata, reference)] == [3]
    assert seen and not any(seen)
    assert is_on() == tensor_float_32


def test_a_legacy_graph_restores_it(tmp_path: Path, tensor_float_32: bool, seen: list[bool]) -> None:
    classifier = load_classifier(write_graph(tmp_path / "retrained_graph.pb", "MobilenetV1/maps"))
    classifier.outputs(np.zeros((1, classifier.input.height, classifier.input.width, 3), np.float32))
    assert seen and not any(seen)
    assert is_on() == tensor_float_32


def test_a_wrapped_network_restores_it(tensor_float_32: bool) -> None:
    import_tensorflow()
    import keras
    inside: list[bool] = []

    class Watching(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            inside.append(is_on())
            return inputs
    model = keras.Sequential([keras.Input((8, 8, 3)), Watching(), keras.layers.Flatten(), keras.layers.Dense(2)])
    wrapped = wrap(model, ["a", "b"])
    inside.clear()
    wrapped(np.zeros((2, 8, 8, 3), np.uint8))
    assert inside == [False]
    assert is_on() == tensor_float_32


@pytest.mark.parametrize("block, read, value", [
    (full_precision, is_on, False),
    (auto_mixed_precision, lambda: import_tensorflow().config.optimizer.get_experimental_options().get(
        "auto_mixed_precision", False), True)], ids=["full", "mixed"])
def test_a_setting_comes_back_when_the_last_of_two_threads_has_left(block: Any, read: Callable[[], bool], value: bool
                                                                    ) -> None:
    before = read()
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with block:
            inside.set()
            leave.wait(10)
    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(10)
    with block:
        leave.set()
        thread.join()
        assert read() == value  # the other has left, this one has not
    assert read() == before


def test_a_setting_comes_back_after_an_error() -> None:
    before = is_on()
    with pytest.raises(RuntimeError), full_precision:
        raise RuntimeError
    assert is_on() == before


def test_blocks_do_not_turn_standard_error_aside_again(monkeypatch: pytest.MonkeyPatch) -> None:
    import_tensorflow()
    hide_native_messages()
    try:
        import_tensorflow()
        monkeypatch.setattr("tfpoets.tf_runtime._stderr_redirection", None)  # entering it would fail
        with full_precision:
            pass
    finally:
        hide_native_messages(False)
