"""The result states whether test photos show the scenes of training photos; intervals are clustered by group."""
from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tfpoets
from tests.data.test_scene_matches import draw_scenes, make_split
from tests.scenes import FAST_CAMERA, write_video
from tfpoets.cli import evaluate, retrain
from tfpoets.data import TEST
from tfpoets.evaluation import evaluate as evaluate_probabilities
from tfpoets.events import Evaluated
from tfpoets.scene_check import with_repeated_scenes
from tfpoets.training import NetworkOptions

N_VIDEOS, N_FRAMES = 12, 12


def make_scene(rng: np.random.Generator) -> Image.Image:
    """Return a picture of random coloured patches."""
    patches = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
    return patches.resize((240, 180), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of videos of random scenes, half of which are labelled "heads" and half "tails"."""
    folder, rng = tmp_path_factory.mktemp("videos") / "photos", np.random.default_rng(0)
    for video in range(N_VIDEOS):
        label = ("heads", "tails")[video % 2]
        write_video(make_scene(rng), [folder / label / f"video{video:02}_frame{frame:03}.jpg"
                                      for frame in range(N_FRAMES)], rng, FAST_CAMERA)
    return folder


def with_groups(videos: Path, destination: Path) -> Path:
    """Copy the videos, with `_nohash_` in the file names, so that the frames of each video form a group."""
    for path in videos.glob("*/*"):
        target = destination / path.parent.name / path.name.replace("_frame", "_nohash_")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return destination


@pytest.fixture
def run(tmp_path: Path, tiny_module: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A function that retrains with the tiny module and without the doctor in a new working folder."""
    monkeypatch.chdir(tmp_path)
    return lambda photos, **values: tfpoets.retrain(photos, **{
        "handle": str(tiny_module), "model_dir": model_dir, "doctor": False, "testing_percentage": 20, **values})


def test_repeated_scenes_are_in_result_metadata_and_report(run: Callable[..., Any], videos: Path) -> None:
    result = run(videos)
    scenes = result.to_dict()["test"]["repeated_scenes"]
    assert 0.6 * scenes["compared"] < scenes["repeated"] <= scenes["compared"] == result.metrics.count
    assert scenes["group_pattern"] == "video{group}_frame*"
    metadata = json.loads(Path("tf_files/retrained_graph.json").read_text("utf-8"))
    assert metadata["test"]["repeated_scenes"] == scenes
    page = Path("tf_files/retrained_graph.html").read_text("utf-8")
    assert "Caution:" in page and "almost the same as a training photo" in page
    assert page.index("Caution:") < page.index("Accuracy on")


def test_the_accuracy_on_new_scenes_is_that_of_the_test_photos_without_a_similar_training_photo() -> None:
    latent, scenes = draw_scenes(30, 10, 0.25, 0)
    singles = np.random.default_rng(1).standard_normal((300, latent.shape[1]))
    dataset = make_split(np.concatenate([latent, singles]), np.append(scenes % 2, np.arange(300) % 2))
    test, rows = dataset.part(TEST), dataset.rows(TEST)
    predicted = np.where((rows < 300) | (rows % 3 > 0), test.y, 1 - test.y)
    evaluated = Evaluated(dataset.labels, test.photos, np.eye(2)[predicted], evaluate_probabilities(
        np.eye(2)[predicted], test.y))
    scenes_found = with_repeated_scenes(evaluated, dataset, lambda event: None).repeated_scenes
    assert scenes_found and scenes_found.compared == len(test) and scenes_found.interval
    assert scenes_found.repeated == pytest.approx((rows < 300).sum(), abs=3)
    assert scenes_found.accuracy == pytest.approx((rows[rows >= 300] % 3 > 0).mean(), abs=0.05)
    assert scenes_found.interval[0] < scenes_found.accuracy < scenes_found.interval[1]


def test_the_caution_comes_first_and_names_a_pattern(videos: Path, run: Callable[..., Any], tiny_module: Path,
                                                     model_dir: Path, capsys: pytest.CaptureFixture) -> None:
    assert retrain.main([f"--image_dir={videos}", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}",
                         "--nodoctor", "--testing_percentage=20"]) == 0
    output = capsys.readouterr().out
    assert output.index("CAUTION:") < output.index("Final test accuracy")
    assert "group_pattern='video{group}_frame*'" in output
    steps = output[output.index("Next steps"):]
    assert "1. Keep the photos of each scene together" in steps
    assert "Add '--group_pattern=video{group}_frame*' to the command." in steps
    assert all(len(line) < 80 for line in output.splitlines())


def test_with_groups_the_intervals_are_clustered_and_there_is_no_caution(run: Callable[..., Any], videos: Path,
                                                                         tmp_path: Path) -> None:
    result = run(with_groups(videos, tmp_path / "grouped"), cross_validate=3)
    data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert data["test"]["repeated_scenes"] is None
    assert data["test"]["groups"] * N_FRAMES == data["test"]["count"]
    assert data["cross_validation"]["groups"] == N_VIDEOS
    low, high = data["cross_validation"]["interval"]
    assert high - low > 0.35  # about as for 12 photos, not as for 144
    metadata = json.loads(Path("tf_files/retrained_graph.json").read_text("utf-8"))
    assert metadata["test"]["groups"] == data["test"]["groups"]
    assert f"{data['test']['count']} test photos in {data['test']['groups']} groups" in (
        Path("tf_files/retrained_graph.html").read_text("utf-8"))


def test_test_dir_and_evaluate_count_groups(run: Callable[..., Any], videos: Path, tmp_path: Path, tiny_module: Path,
                                            model_dir: Path, capsys: pytest.CaptureFixture) -> None:
    grouped = with_groups(videos, tmp_path / "grouped")
    for number in (0, 1, 2, 3):
        for path in grouped.glob(f"*/video{number:02}_*"):
            target = tmp_path / "test" / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    assert retrain.main([f"--image_dir={grouped}", "--test_dir=test", f"--tfhub_module={tiny_module}",
                         f"--model_dir={model_dir}", "--nodoctor"]) == 0
    assert "(N=48 in 4 groups), 95% interval" in capsys.readouterr().out
    assert evaluate.main(["--image_dir=test", "--format=json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert (metrics["count"], metrics["groups"]) == (48, 4)
    assert metrics["interval"][1] - metrics["interval"][0] > 0.5
    assert evaluate.main(["--image_dir=test", "--report=r.html"]) == 0
    assert "Accuracy = " in (output := capsys.readouterr().out) and "(N=48 in 4 groups)" in output
    assert "48 photos in 4 groups" in Path("r.html").read_text("utf-8")


def test_scenes_are_not_compared_for_a_network_trained_from_scratch_without_the_doctor(run: Callable[..., Any],
                                                                                       videos: Path) -> None:
    result = run(videos, network=NetworkOptions(architecture="lenet", epochs=1))
    assert result.test.repeated_scenes is None and result.metrics.count > 0
