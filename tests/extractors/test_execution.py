"""The engine and the kind of workers are chosen by a rule: cores, GPU and number of photos."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import write_photos
from tfpoets.data import read_dataset
from tfpoets.extractors import ExecutionOptions, Extractor, LiteRTEngine, extract_bottlenecks


@pytest.mark.parametrize("cores, driver, n_photos, expected", [
    (2, False, 100_000, ("litert", 2, False)),
    (16, False, 959, ("litert", 16, False)),
    (16, False, 960, ("litert", 16, True)),
    (60, False, 100_000, ("litert", 60, True)),
    (16, True, 4_000, ("litert", 16, True)),
    (16, True, 4_001, ("tensorflow", 16, True)),
    (2, True, 501, ("tensorflow", 2, True))])
def test_the_plan_follows_the_rule(cores: int, driver: bool, n_photos: int, expected: tuple[str, int, bool],
                                   extractor: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfpoets.extractors.execution.core_count", lambda: cores)
    monkeypatch.setattr("tfpoets.extractors.execution.has_nvidia_driver", lambda: driver)
    plan = ExecutionOptions().plan(extractor, n_photos)
    assert (plan.engine.name, plan.n_workers, plan.uses_processes) == expected


@pytest.mark.parametrize("processes", [False, True])
def test_litert_is_used_if_tensorflow_finds_no_gpu(processes: bool, tmp_path: Path, extractor: Extractor,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfpoets.extractors.execution.core_count", lambda: 2)
    monkeypatch.setattr("tfpoets.extractors.execution.has_nvidia_driver", lambda: True)
    monkeypatch.setattr("tfpoets.extractors.engines.has_gpu", lambda: False)
    monkeypatch.setattr("tfpoets.extractors.execution.MAX_PHOTOS_PER_CORE_WITHOUT_GPU", 10)
    for label, hue in (("red", 0), ("green", 1)):
        write_photos(tmp_path / "photos" / label, 11, hue)
    dataset = read_dataset(tmp_path / "photos")
    bottlenecks = extract_bottlenecks(dataset, extractor, tmp_path / "cache",
                                      execution=ExecutionOptions(processes=processes))
    expected = extract_bottlenecks(dataset, extractor, tmp_path / "other",
                                   execution=ExecutionOptions(engine=LiteRTEngine(extractor.tflite_path)))
    assert bottlenecks.computed == 22 and bottlenecks.features.tobytes() == expected.features.tobytes()
