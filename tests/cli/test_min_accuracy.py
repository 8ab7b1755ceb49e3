"""With --min_accuracy, retrain and evaluate exit with code 3 if the accuracy is too low."""
from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import write_photos
from tfpoets.cli import evaluate, retrain
from tfpoets.cli.main import main


@pytest.fixture
def folder(retrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a classifier and photos of which a third has a wrong label."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(retrained / "tf_files", "tf_files")
    for hue, label in enumerate(("red", "green", "blue")):
        write_photos(Path("photos") / label, 8, hue, seed=5)
        write_photos(Path("photos") / label / "more", 4, (hue + 1) % 3, seed=6)
    for label in ("red", "green", "blue"):
        for photo in Path("photos", label, "more").iterdir():
            photo.rename(Path("photos", label, f"wrong_{photo.name}"))
        Path("photos", label, "more").rmdir()
    return tmp_path


def retrain_arguments(tiny_module: Path, model_dir: Path) -> list[str]:
    return ["--image_dir=photos", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}",
            "--output_graph=out/g.pb", "--output_labels=out/l.txt", "--testing_percentage=40", "--nodoctor"]


def test_evaluate_fails_below_the_minimum(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert evaluate.main(["--image_dir=photos"]) == 0
    text = capsys.readouterr().out
    assert evaluate.main(["--image_dir=photos", "--min_accuracy=0.9", "--report=report.html"]) == 3
    captured = capsys.readouterr()
    assert captured.out.startswith(text) and Path("report.html").exists()
    assert evaluate.main(["--image_dir=photos", "--min_accuracy=90%", "--format=json"]) == 3
    metrics = json.loads(capsys.readouterr().out)
    low, high = (100 * bound for bound in metrics["interval"])
    sentence, = (line for line in captured.err.splitlines() if "--min_accuracy" in line)
    assert f"{metrics['accuracy']:.1%}" in sentence and f"{low:.1f}-{high:.1f}%" in sentence
    assert "--min_accuracy=0.9" in sentence
    assert evaluate.main(["--image_dir=photos", f"--min_accuracy={metrics['accuracy']!r}"]) == 0


def test_retrain_writes_everything_before_it_fails(folder: Path, tiny_module: Path, model_dir: Path,
                                                   capsys: pytest.CaptureFixture) -> None:
    arguments = retrain_arguments(tiny_module, model_dir)
    assert retrain.main([*arguments, "--min_accuracy=1", "--format=json"]) == 3
    captured = capsys.readouterr()
    accuracy = json.loads(captured.out)["test"]["accuracy"]
    assert accuracy < 1 and f"{accuracy:.1%}" in captured.err.splitlines()[-1]
    assert all(Path("out", name).exists() for name in ("g.pb", "g.tflite", "g.json", "g.html", "l.txt"))
    assert retrain.main([*arguments, f"--min_accuracy={accuracy / 2}"]) == 0
    assert "Label a photo" in capsys.readouterr().out


@pytest.mark.parametrize("command", [retrain, evaluate])
def test_a_percentage_without_its_sign_is_ambiguous(command, folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert command.main(["--image_dir=photos", "--min_accuracy=90"]) == 2
    assert "--min_accuracy=0.9 " in capsys.readouterr().err


def test_a_minimum_without_test_photos_is_an_error_before_any_work(
        folder: Path, tiny_module: Path, model_dir: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = retrain_arguments(tiny_module, model_dir)
    assert retrain.main([*arguments, "--testing_percentage=0", "--min_accuracy=0.5"]) == 2
    assert "needs test photos" in capsys.readouterr().err and not Path("out").exists()


def test_a_minimum_cannot_be_checked_on_training_photos(folder: Path, tiny_module: Path, model_dir: Path,
                                                        capsys: pytest.CaptureFixture) -> None:
    assert retrain.main([*retrain_arguments(tiny_module, model_dir), "--testing_percentage=0"]) == 0
    capsys.readouterr()
    assert evaluate.main(["--graph=out/g.tflite", "--image_dir=photos"]) == 0
    assert evaluate.main(["--graph=out/g.tflite", "--image_dir=photos", "--min_accuracy=0.1"]) == 1
    assert "not trained on" in capsys.readouterr().err


def test_the_help_of_the_program_lists_the_exit_codes(capsys: pytest.CaptureFixture) -> None:
    assert main(["--help"]) == 0
    output = capsys.readouterr().out
    assert all(f"\n  {code:<3}  " in output for code in (0, 1, 2, 3, 130))
