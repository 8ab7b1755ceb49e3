"""The flags --views and --augmented_views."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from tests.conftest import retrain_json, write_photos
from tfpoets.cli import label_image, retrain


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for hue, label in enumerate(("red", "green", "blue")):
        write_photos(tmp_path / "photos" / label, 20, hue)


@pytest.fixture
def command(tiny_module: Path, model_dir: Path) -> list[str]:
    return ["--image_dir=photos", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}", "--nodoctor"]


def scores(path: str, capsys: pytest.CaptureFixture) -> dict[str, float]:
    capsys.readouterr()
    assert label_image.main([path, "--format=jsonl"]) == 0
    prediction = json.loads(capsys.readouterr().out)
    return {entry["label"]: entry["score"] for entry in prediction["labels"]}


def test_four_views_give_a_photo_and_its_mirror_image_the_same_scores(
        command: list[str], capsys: pytest.CaptureFixture) -> None:
    # Parts of photos of two classes, side by side: no class gets a score near 1, so that small changes to the photo
    # affect the scores.
    photo = Image.open("photos/red/003.png")
    photo.paste(Image.open("photos/green/003.png").crop((0, 0, 20, 48)), (0, 0))
    photo.save("photo.png")
    ImageOps.mirror(photo).save("mirrored.png")
    differences = []
    for views in (1, 4):
        assert retrain.main([*command, f"--views={views}"]) == 0
        original, mirrored = (scores(path, capsys) for path in ("photo.png", "mirrored.png"))
        differences.append(max(abs(original[label] - mirrored[label]) for label in original))
    assert differences[1] < 1e-5 < 1e-3 < differences[0]


def test_augmented_views_are_cached_and_used_for_training_only(command: list[str],
                                                               capsys: pytest.CaptureFixture) -> None:
    result = retrain_json(capsys, *command, "--augmented_views=3", "--saved_model_dir=saved")
    counts = result["split"]["counts"]
    trained = counts["training"] + counts["validation"]
    assert result["augmented"] == {"views": 3, "photos": trained, "computed": 3 * trained}
    metadata = json.loads(Path("tf_files/retrained_graph.json").read_text("utf-8"))
    assert metadata["options"]["training"]["augmented_views"] == 3
    assert result["test"]["count"] == counts["test"] == 60 - trained
    result = retrain_json(capsys, *command, "--augmented_views=4")
    assert result["augmented"] == {"views": 4, "photos": trained, "computed": trained}


def test_augmentation_flags_apply_to_both_solvers(command: list[str], capsys: pytest.CaptureFixture) -> None:
    graphs = []
    for more in ([], ["--flip_left_right", "--random_crop=10", "--random_scale=10", "--random_brightness=10"]):
        for solver in ([], ["--how_many_training_steps=20"]):
            augmented = retrain_json(capsys, *command, *more, *solver)["augmented"]
            assert (augmented and augmented["views"]) == (4 if more else None)
            graphs.append(Path("tf_files/retrained_graph.pb").read_bytes())
    assert len(set(graphs)) == 4
