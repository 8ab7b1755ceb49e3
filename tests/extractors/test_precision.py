"""Vectors are computed in full float32 whatever the host program has set, and its settings are restored."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tfpoets.data import read_tree
from tfpoets.export import check_file
from tfpoets.extractors import extract_bottlenecks, open_extractor
from tfpoets.extractors.engines import TensorFlowEngine
from tfpoets.tf_runtime import auto_mixed_precision, full_precision, import_tensorflow


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
    """What TensorFloat-32 was in every run of a frozen graph."""
    found: list[bool] = []
    session = import_tensorflow().compat.v1.Session
    run = session.run

    def watched(self, *arguments, **named):
        found.append(is_on())
        return run(self, *arguments, **named)
    monkeypatch.setattr(session, "run", watched)
    return found


def test_extraction_restores_it(tmp_path: Path, photo_folder: Path, tiny_module: Path, tensor_float_32: bool,
                                seen: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfpoets.extractors.extraction.choose_engine",
                        lambda _, graph, *nodes: TensorFlowEngine(graph, *nodes))
    extractor = open_extractor(str(tiny_module), tmp_path / "models")  # prepared anew: both engines are compared
    assert is_on() == tensor_float_32
    assert extract_bottlenecks(read_tree(photo_folder), extractor, tmp_path / "cache").computed == 60
    assert seen and not any(seen)
    assert is_on() == tensor_float_32


def test_the_proof_of_exported_files_restores_it(retrained: Path, tensor_float_32: bool, seen: list[bool]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    tflite = retrained / "tf_files" / "retrained_graph.tflite"
    from tfpoets.inference import load_classifier
    expected = load_classifier(tflite).outputs(pixels)
    for path in (retrained / "tf_files" / "retrained_graph.pb", retrained / "saved"):
        assert check_file(path, pixels, expected).proven
        assert is_on() == tensor_float_32
    assert seen and not any(seen)


def test_it_comes_back_when_the_last_user_has_ended(tensor_float_32: bool) -> None:
    with full_precision:
        with full_precision:
            assert not is_on()
        assert not is_on()
    assert is_on() == tensor_float_32


@pytest.mark.parametrize("before", [True, False])
def test_mixed_precision_ends_with_its_block(before: bool) -> None:
    optimizer = import_tensorflow().config.optimizer
    optimizer.set_experimental_options({"auto_mixed_precision": before})
    try:
        with pytest.raises(RuntimeError), auto_mixed_precision(True):
            assert optimizer.get_experimental_options()["auto_mixed_precision"]
            raise RuntimeError
        assert optimizer.get_experimental_options()["auto_mixed_precision"] == before
    finally:
        optimizer.set_experimental_options({"auto_mixed_precision": False})
