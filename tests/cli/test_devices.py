"""`devices` reports what would be used, and measures it."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from tfpoets.cli import devices
from tfpoets.parallel import core_count


def test_devices_are_listed_and_measured(tiny_module: Path, model_dir: Path, tmp_path: Path,
                                         monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tfpoets.extractors.devices.has_nvidia_driver", lambda: False)
    assert devices.main([f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}", "--format=json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["cores"] == core_count() and result["gpus"] == [] and result["engine"] == "litert"
    assert result["image_size"] == [32, 32] and result["photos_per_second"] > 1
    assert not list(tmp_path.iterdir())


def test_the_text_says_why_no_gpu_is_used(tiny_module: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch,
                                          capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr("tfpoets.cli.devices.has_nvidia_driver", lambda: True)
    assert devices.main([f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines if not line.startswith(" ")] == [
        "Cores", "GPU", "Engine", "Workers", "Speed", "Example"]
    assert "tensorflow[and-cuda]" in "".join(lines) and max(map(len, lines)) < 80
