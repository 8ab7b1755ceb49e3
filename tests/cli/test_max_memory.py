"""`retrain --max_memory_gb`: bottlenecks beyond this size are read from a temporary file, with the same results."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import retrain_json, write_photos
from tfpoets.cli import retrain
from tfpoets.inference import load_classifier

OPTIONS = ("--cross_validate=3", "--unknown_coverage=0.9", "--accuracy_target=0.9", "--validation_percentage=30",
           "--export=saved_model")


def test_the_results_do_not_depend_on_the_memory(tmp_path: Path, tiny_module: Path, model_dir: Path,
                                                 monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
                                                 ) -> None:
    monkeypatch.chdir(tmp_path)
    for hue, label in enumerate(("red", "green", "blue")):
        write_photos(tmp_path / "photos" / label, 24, hue)
    common = ("--image_dir=photos", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}", *OPTIONS)
    results = [retrain_json(capsys, *common, "--output_graph=memory.pb"),
               retrain_json(capsys, *common, "--output_graph=disk.pb", "--max_memory_gb=0.000001")]
    for result in results:
        for key in ("accuracy", "cross_validation"):
            assert result.get(key) == results[0].get(key)
    metadata = [json.loads(Path(f"{name}.json").read_text()) for name in ("memory", "disk")]
    assert metadata[0]["test"] == metadata[1]["test"]
    assert metadata[0]["split"] == metadata[1]["split"]
    photo = Path("photos/red/003.png").read_bytes()
    probabilities = [load_classifier(f"{name}.tflite").predict_photo(photo).probabilities
                     for name in ("memory", "disk")]
    np.testing.assert_allclose(*probabilities, atol=1e-5)
    assert not list(Path("tf_files/bottlenecks").glob(".bottlenecks*"))


def test_a_limit_of_zero_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert retrain.main([f"--image_dir={tmp_path}", "--max_memory_gb=0"]) == 2
    assert "--max_memory_gb" in capsys.readouterr().err
