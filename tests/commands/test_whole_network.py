"""Training all layers as a person does it: --fine_tune_epochs, and --architecture for networks from scratch."""
from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts import evaluate, label_image, retrain
from tests.conftest import write_photos


@pytest.fixture(autouse=True)
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for hue, label in enumerate(("red", "green", "blue")):
        write_photos(tmp_path / "photos" / label, 30, hue)


def test_a_network_from_scratch_goes_through_export_evaluate_and_label_image(capsys: pytest.CaptureFixture) -> None:
    assert retrain.main(["--image_dir=photos", "--architecture=lenet", "--train_epochs=4", "--nodoctor",
                         "--validation_percentage=20", "--saved_model_dir=saved"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^Epoch 4: train loss \d\.\d{4}, accuracy \d+\.\d%; validation loss", said, re.MULTILINE)
    metadata = json.loads(Path("tf_files/retrained_graph.json").read_text("utf-8"))
    assert metadata["network"]["kind"] == "from_scratch" and metadata["network"]["handle"] == "lenet"
    assert metadata["input"]["height"] == 32 and metadata["head"]["epochs"] == 4
    assert evaluate.main(["saved", "--image_dir=photos", "--format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == pytest.approx(metadata["test"]["accuracy"])
    assert label_image.main(["photos/red/000.png", "--top_k=1"]) == 0
    assert "(score=" in capsys.readouterr().out
    assert "Where it looks" in Path("tf_files/retrained_graph.html").read_text("utf-8")
    assert not list(Path("tf_files/bottlenecks/training").glob("*/pixels-*"))


def test_a_gray_network_is_trained_and_the_doctor_looks_with_the_extractor(
        tiny_module: Path, model_dir: Path, capsys: pytest.CaptureFixture) -> None:
    command = ["--image_dir=photos", "--architecture=lenet", "--train_epochs=1", "--color_mode=grayscale",
               "--image_size=24", f"--model_dir={model_dir}"]
    assert retrain.main([*command, "--nodoctor"]) == 0
    assert "Data doctor" not in capsys.readouterr().out
    assert json.loads(Path("tf_files/retrained_graph.json").read_text("utf-8"))["input"]["width"] == 24


def write_stripes(root: Path, count: int) -> None:
    """Faint stripes across or down in noise, which random features hardly tell apart."""
    random = np.random.default_rng(0)
    for label in ("across", "down"):
        (root / label).mkdir(parents=True)
        for number in range(count):
            pixels = random.normal(128, 40, (32, 32, 3))
            pixels[random.integers(0, 2)::2] += 25
            pixels = pixels if label == "across" else pixels.transpose(1, 0, 2)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / label / f"{number}.png")


def test_fine_tuning_keeps_whichever_is_better_and_says_so(tiny_module: Path, model_dir: Path,
                                                           capsys: pytest.CaptureFixture) -> None:
    write_stripes(Path("stripes"), 80)
    command = ["--image_dir=stripes", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}",
               "--validation_percentage=30", "--nodoctor"]
    kinds = {"the network as it was is kept": "frozen_features", "the fine-tuned network is kept": "fine_tuned"}
    seen = []
    for more in (["--fine_tune_epochs=25", "--learning_rate=0.01"], ["--fine_tune_epochs=1", "--learning_rate=9"]):
        assert retrain.main([*command, *more]) == 0
        said = capsys.readouterr().out
        before, after, gain, error, kept = re.search(
            r"Validation loss (\S+) before fine-tuning, (\S+) after epoch \d+ \(better by (\S+) ± (\S+)\): (.*)",
            said).groups()
        assert float(before) - float(after) == pytest.approx(float(gain), abs=2e-4)
        assert (float(gain) > float(error)) == (kept == "the fine-tuned network is kept")
        metadata = json.loads(Path("tf_files/retrained_graph.json").read_text("utf-8"))
        seen.append(metadata["network"]["kind"])
        assert seen[-1] == kinds[kept] and metadata["head"]["refitted"]
    assert seen == ["fine_tuned", "frozen_features"]


@pytest.mark.parametrize("arguments, sentence", [
    (["--architecture=lenet", "--fine_tune_epochs=2"], "its epochs are --train_epochs"),
    (["--architecture=lenet", "--tfhub_module=x"], "needs no --tfhub_module"),
    (["--architecture=lenet", "--validation_percentage=0"], "needs validation photos"),
    (["--color_mode=grayscale"], "is for networks from scratch"),
    (["--weights=imagenet"], "is for --architecture=resnet50_v2"),
    (["--fine_tune_epochs=2", "--augmented_views=2"], "is for the last layer alone"),
    (["--architecture=lenet", "--batch_norm=training"], "always learns its own"),
    (["--checkpoint=best"], "without one there are no checkpoints"),
    (["--resume"], "--resume is for a training of all layers"),
    (["--architecture=lenet", "--cross_validate=5"], "knows all folds"),
    (["--augmented_views=1000"], "more than 100 copies"),
])
def test_what_does_not_fit_gets_a_sentence(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture) -> None:
    assert retrain.main(["--image_dir=photos", *arguments]) == 2
    said = capsys.readouterr().err
    assert sentence in said and "Traceback" not in said


def test_flags_of_another_training_are_said_to_be_ignored(tiny_module: Path, model_dir: Path,
                                                          capsys: pytest.CaptureFixture) -> None:
    command = ["--image_dir=photos", "--nodoctor"]
    assert retrain.main([*command, f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}", "--dropout=0.5",
                         "--patience=2"]) == 0
    assert "Ignored: --dropout, --patience. It belongs to a training of all layers" in capsys.readouterr().err
    assert retrain.main([*command, "--architecture=lenet", "--train_epochs=1", "--class_weight=balanced"]) == 0
    assert "Ignored: --class_weight. It belongs to the training of the last layer" in capsys.readouterr().err


def test_other_labels_are_another_training(capsys: pytest.CaptureFixture) -> None:
    command = ["--image_dir=photos", "--architecture=lenet", "--train_epochs=1", "--nodoctor"]
    assert retrain.main(command) == 0
    Path("photos/blue").rename("photos/zinc")
    capsys.readouterr()
    assert retrain.main(command) == 0
    assert "goes on at step" not in capsys.readouterr().err


def test_resume_goes_on_with_a_training_and_begins_none(capsys: pytest.CaptureFixture) -> None:
    command = ["--image_dir=photos", "--architecture=lenet", "--train_epochs=2", "--nodoctor"]
    assert retrain.main([*command, "--resume"]) == 1
    said = capsys.readouterr().err
    assert "nothing to resume" in said and "leave --resume away" in said
    assert retrain.main(command) == 0
    first = Path("tf_files/retrained_graph.pb").read_bytes()
    assert retrain.main([*command, "--resume"]) == 0
    assert "goes on at step" in capsys.readouterr().err
    assert Path("tf_files/retrained_graph.pb").read_bytes() == first


def test_a_damaged_checkpoint_is_said(capsys: pytest.CaptureFixture) -> None:
    command = ["--image_dir=photos", "--architecture=lenet", "--train_epochs=1", "--nodoctor"]
    assert retrain.main(command) == 0
    for path in Path("tf_files/bottlenecks/training").glob("*/last/*.data*"):
        path.write_bytes(path.read_bytes()[:100])
    capsys.readouterr()
    assert retrain.main(command) == 1
    said = capsys.readouterr().err
    assert "The checkpoint in" in said and "to train from the beginning" in said and "Traceback" not in said


def test_a_photo_too_small_for_a_network_is_said(capsys: pytest.CaptureFixture) -> None:
    assert retrain.main(["--image_dir=photos", "--architecture=cifar_cnn", "--image_size=8", "--nodoctor"]) == 1
    assert "does not take photos of 8 x 8 pixels: it needs at least 16 x 16" in capsys.readouterr().err
