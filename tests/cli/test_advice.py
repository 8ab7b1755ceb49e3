"""The end of the output of retrain, and the end of the report: what to do next."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import write_photos
from tfpoets.cli import retrain
from tfpoets.cli.retrain import retrain_command


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of two colours, a third of which have the other label."""
    folder = tmp_path_factory.mktemp("photos")
    for number, label in enumerate(("red", "green")):
        write_photos(folder / label, 60, number, seed=number)
        write_photos(folder / "wrong" / label, 25, 1 - number, seed=10 + number)
        for photo in (folder / "wrong" / label).iterdir():
            photo.rename(folder / label / f"wrong{photo.name}")
        (folder / "wrong" / label).rmdir()
    (folder / "wrong").rmdir()
    return folder


def arguments(photos: Path, tiny_module: Path, model_dir: Path, *more: str) -> list[str]:
    return [f"--image_dir={photos}", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}",
            "--testing_percentage=25", *more]


def test_the_output_and_the_report_end_with_the_next_steps(
        photos: Path, tiny_module: Path, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    command = arguments(photos, tiny_module, model_dir)
    assert retrain.main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("Label a photo:") and "--advice tries them" in " ".join(lines[-3:-1])
    start = next(number for number, line in enumerate(lines) if line.startswith("Next steps"))
    assert lines[start + 1].startswith("1. ") and "Report:" in lines[start - 1]
    verdict = next(number for number, line in enumerate(lines) if line.startswith("Final test accuracy"))
    assert len(lines) - verdict < 24, "the end of the output fits a terminal of 24 lines, with the prompt"
    page = Path("tf_files/retrained_graph.html").read_text("utf-8")
    assert page.index("Label a photo") < page.index("Next steps") and "`" not in page[page.index("Next steps"):]


def test_advice_also_tries_other_features_and_is_part_of_the_json(
        photos: Path, tiny_module: Path, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert retrain.main(arguments(photos, tiny_module, model_dir, "--advice", "--format=json")) == 0
    captured = capsys.readouterr()
    advice = json.loads(captured.out)["advice"]
    assert "tries them" not in advice["summary"] and "Next steps" in captured.err
    assert len(advice["recommendations"]) <= 3
    for item in advice["recommendations"]:
        assert item["command"] and (item["kind"] == "groups") == (item["gain"] is None)


@pytest.mark.parametrize("given", [["--image_size=224"], ["--image_size", "224"], []])
def test_the_command_of_a_recommendation_repeats_the_run_with_another_value(given: list[str]) -> None:
    command = retrain_command(["--image_dir=my photos", *given, "--seed", "3"])
    assert command(image_size=448).endswith("retrain '--image_dir=my photos' --seed 3 --image_size=448")
    assert command().endswith(" ".join(["retrain '--image_dir=my photos'", *given, "--seed 3"]))
