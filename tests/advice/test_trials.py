"""Trials of other features, on photos that are not test photos."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import write_photos
from tfpoets.pipeline import retrain


@pytest.fixture
def run(tiny_module: Path, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that retrains on photos in the folder `photos` with advice."""
    monkeypatch.chdir(tmp_path)
    return lambda **options: retrain("photos", **{"handle": str(tiny_module), "model_dir": model_dir, "advice": True,
                                                  "doctor": False, **options})


def test_a_class_with_few_scenes_is_not_cross_validated_and_training_succeeds(run: Any) -> None:
    for hue, label in enumerate(("red", "green", "blue")):
        n_scenes = 3 if label == "blue" else 20
        for scene in range(n_scenes):
            write_photos(Path("photos") / label / f"scene{scene}", 60 // n_scenes, hue, seed=10 * hue + scene)
    result = run(group_pattern="*/scene{group}/*", label_pattern="{label}/*/*")
    assert result.metrics is not None and result.advice.summary
    assert not any(item.kind in ("image_size", "views") for item in result.advice.recommendations)


def test_trials_do_not_change_the_classifier(run: Any) -> None:
    for hue, label in enumerate(("red", "green")):
        write_photos(Path("photos") / label, 40, hue, seed=hue)
    with_advice = Path(run().exported.files[0]).read_bytes()
    assert Path(run(advice=False).exported.files[0]).read_bytes() == with_advice
