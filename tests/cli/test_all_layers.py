"""Training all layers: --fine_tune_epochs, and --architecture for networks trained from scratch."""
from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import retrain_json, write_photos
from tfpoets.cli import evaluate, label_image, retrain
from tfpoets.cli.retrain_text import EventPrinter
from tfpoets.data import TRAINING, SplitOptions, hash_photos, load_pixels, read_dataset, split_photos
from tfpoets.inference import load_classifier
from tfpoets.training import EpochMetrics


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for hue, label in enumerate(("red", "green", "blue")):
        write_photos(tmp_path / "photos" / label, 30, hue)


def test_a_network_trained_from_scratch_can_be_exported_evaluated_and_used_to_label_photos(
        capsys: pytest.CaptureFixture) -> None:
    result = retrain_json(capsys, "--image_dir=photos", "--architecture=lenet", "--train_epochs=4", "--nodoctor",
                          "--validation_percentage=20", "--saved_model_dir=saved")
    assert result["network"]["kind"] == "from_scratch" and result["network"]["handle"] == "lenet"
    assert result["network"]["height"] == 32 and result["head"]["epochs"] == 4 and result["bottlenecks"] is None
    assert [point["step"] for point in result["curves"]["validation"]] == [1, 2, 3, 4]
    assert evaluate.main(["saved", "--image_dir=photos", "--format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == pytest.approx(result["test"]["accuracy"])
    assert label_image.main(["photos/red/000.png", "--top_k=1"]) == 0
    assert "(score=" in capsys.readouterr().out
    assert "Occlusion maps" in Path("tf_files/retrained_graph.html").read_text("utf-8")
    assert not list(Path("tf_files/bottlenecks/training").glob("*/pixels-*"))


def test_a_grayscale_network_is_trained(model_dir: Path, capsys: pytest.CaptureFixture) -> None:
    command = ["--image_dir=photos", "--architecture=lenet", "--train_epochs=1", "--color_mode=grayscale",
               "--image_size=24", f"--model_dir={model_dir}"]
    result = retrain_json(capsys, *command, "--nodoctor")
    assert result["findings"] is None and result["network"]["width"] == 24


def write_stripes(root: Path, count: int) -> None:
    """Write faint horizontal or vertical stripes in noise, which random features hardly tell apart."""
    rng = np.random.default_rng(0)
    for label in ("across", "down"):
        (root / label).mkdir(parents=True)
        for number in range(count):
            pixels = rng.normal(128, 40, (32, 32, 3))
            pixels[rng.integers(0, 2)::2] += 25
            pixels = pixels if label == "across" else pixels.transpose(1, 0, 2)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / label / f"{number}.png")


def test_fine_tuning_keeps_the_better_network_and_reports_it(tiny_module: Path, model_dir: Path,
                                                             capsys: pytest.CaptureFixture) -> None:
    write_stripes(Path("stripes"), 80)
    command = ["--image_dir=stripes", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}",
               "--validation_percentage=30", "--nodoctor"]
    kinds = []
    for more in (["--fine_tune_epochs=25", "--learning_rate=0.01"], ["--fine_tune_epochs=1", "--learning_rate=9"]):
        result = retrain_json(capsys, *command, *more)
        comparison, network = result["fine_tuning"], result["network"]
        gain = comparison["validation_loss_before"] - comparison["validation_loss_after"]
        assert gain == pytest.approx(comparison["gain"])
        assert comparison["kept"] == (gain > comparison["error"] > 0) == (network["kind"] == "fine_tuned")
        assert comparison["sentence"] == network["fine_tuning"] and result["head"]["refitted"]
        assert network["fine_tuning"] in Path("tf_files/retrained_graph.html").read_text("utf-8")
        kinds.append(network["kind"])
    assert kinds == ["fine_tuned", "frozen_features"]


def first_training_photo(root: Path, label: str, validation_percentage: float) -> Path:
    dataset = split_photos(hash_photos(read_dataset(root), 1)[0], SplitOptions(10, validation_percentage))
    return next(Path(photo.uri) for photo in dataset.part(TRAINING).photos if photo.label == label)


@pytest.mark.parametrize("kind", ["from_scratch", "fine_tuned", "frozen_features"])
def test_photos_deleted_during_training_are_left_out_without_moving_others(
        kind: str, tiny_module: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture) -> None:
    command = ["--image_dir=photos", "--nodoctor", "--architecture=lenet", "--train_epochs=3",
               "--validation_percentage=30"]
    if kind != "from_scratch":
        shutil.rmtree("photos")
        write_stripes(Path("photos"), 80)
        command = ["--image_dir=photos", "--nodoctor", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}",
                   "--validation_percentage=30", *(["--fine_tune_epochs=25", "--learning_rate=0.01"]
                                                   if kind == "fine_tuned" else
                                                   ["--fine_tune_epochs=1", "--learning_rate=9"])]
    assert retrain.main(command) == 0
    expected = json.loads(Path("tf_files/retrained_graph.json").read_text("utf-8"))
    deleted_photo = first_training_photo(Path("photos"), expected["labels"][0], 30)
    shutil.rmtree("tf_files")
    on_epoch(monkeypatch, lambda epoch: deleted_photo.unlink(missing_ok=True))
    capsys.readouterr()
    assert retrain.main(command) == 0
    assert "left out of the results: 1." in capsys.readouterr().err
    metadata = json.loads(Path("tf_files/retrained_graph.json").read_text("utf-8"))
    assert metadata["network"]["kind"] == expected["network"]["kind"] == kind
    assert metadata["test"]["count"] == expected["test"]["count"]
    # After fine-tuning, the last layer is fitted again, without the photo. Otherwise nothing is trained without it.
    assert abs(metadata["test"]["accuracy"] - expected["test"]["accuracy"]) <= (0.1 if kind == "fine_tuned" else 0)
    assert sum(metadata["split"]["counts"].values()) == sum(expected["split"]["counts"].values()) - 1
    assert metadata["split"]["digest"] != expected["split"]["digest"]
    # The network was trained on the photo, so the photo must not count as new if it is restored.
    assert metadata["split"]["trained_on"] == expected["split"]["trained_on"]


def test_batch_norm_of_an_inference_only_module_cannot_be_trained(
        tiny_module: Path, model_dir: Path, capsys: pytest.CaptureFixture) -> None:
    assert retrain.main(["--image_dir=photos", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}",
                         "--nodoctor", "--fine_tune_epochs=1", "--batch_norm=training"]) == 1
    assert "saved only for inference" in capsys.readouterr().err


def test_a_class_deleted_during_training_is_an_error(monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture) -> None:
    on_epoch(monkeypatch, lambda epoch: shutil.rmtree("photos/blue", ignore_errors=True))
    assert retrain.main(["--image_dir=photos", "--nodoctor", "--architecture=lenet", "--train_epochs=1"]) == 1
    assert "All training photos of blue were deleted or changed" in capsys.readouterr().err


def test_unreadable_files_are_listed_without_the_doctor(capsys: pytest.CaptureFixture) -> None:
    Path("photos/red/broken.png").write_bytes(b"no photo")
    result = retrain_json(capsys, "--image_dir=photos", "--nodoctor", "--architecture=lenet", "--train_epochs=1")
    unreadable, = result["photos"]["unreadable"]
    assert unreadable["file"] == "photos/red/broken.png" and unreadable["reason"].startswith("not a photo")


def test_a_test_folder_with_all_photos_leaves_none_for_training(capsys: pytest.CaptureFixture) -> None:
    assert retrain.main(["--image_dir=photos", "--test_dir=photos", "--nodoctor", "--architecture=lenet"]) == 1
    assert "none remain to train on" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--output_graph=photos/red/g.pb", "--output_labels=photos/new/l.txt",
                                  "--bottleneck_dir=photos/b", "--summaries_dir=photos/s",
                                  "--saved_model_dir=photos/m"])
def test_nothing_is_written_among_the_photos(flag: str, capsys: pytest.CaptureFixture) -> None:
    assert retrain.main(["--image_dir=photos", flag]) == 2
    assert f"{flag} is inside the photo folder photos" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--summaries_dir=photos"], ["--saved_model_dir=photos"], ["--model_dir=photos"],
                                   ["--output_graph=photos/g.pb", "--export=tfjs"]])
def test_no_folder_is_written_next_to_the_class_folders(flags: list[str], capsys: pytest.CaptureFixture) -> None:
    assert retrain.main(["--image_dir=photos", *flags]) == 2
    assert f"{flags[0]} is the photo folder" in capsys.readouterr().err


def test_nothing_is_written_among_the_test_photos(capsys: pytest.CaptureFixture) -> None:
    assert retrain.main(["--image_dir=elsewhere", "--test_dir=photos", "--bottleneck_dir=photos/b"]) == 2
    assert "--bottleneck_dir=photos/b is inside the photo folder photos" in capsys.readouterr().err


def test_running_in_the_photo_folder_is_refused(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path / "photos")
    assert retrain.main(["--image_dir=."]) == 2
    output = capsys.readouterr().err
    assert f"is inside the photo folder {tmp_path / 'photos'}" in output
    assert "run the command in another folder" in output


@pytest.mark.parametrize("arguments, sentence", [
    (["--architecture=lenet", "--fine_tune_epochs=2"], "number of epochs with --train_epochs"),
    (["--architecture=lenet", "--tfhub_module=x"], "without --tfhub_module"),
    (["--architecture=lenet", "--validation_percentage=0"], "needs validation photos"),
    (["--architecture=lenet", "--dropout=1"], "is not a number that is at least 0 and below 1"),
    (["--color_mode=grayscale"], "is only for networks trained from scratch"),
    (["--weights=imagenet"], "is only for --architecture=resnet50_v2"),
    (["--fine_tune_epochs=2", "--augmented_views=2"], "is for training only the last layer"),
    (["--architecture=lenet", "--batch_norm=training"], "always updates its batch normalization"),
    (["--checkpoint=best"], "which saves checkpoints"),
    (["--resume"], "--resume is only for training all layers"),
    (["--architecture=lenet", "--cross_validate=5"], "has seen the photos of every fold"),
    (["--augmented_views=1000"], "is not a whole number from 1 to 100"),
])
def test_invalid_and_contradictory_flags_are_reported(arguments: list[str], sentence: str,
                                                      capsys: pytest.CaptureFixture) -> None:
    assert retrain.main(["--image_dir=photos", *arguments]) == 2
    output = capsys.readouterr().err
    assert sentence in output and "Traceback" not in output


def test_flags_of_other_kinds_of_training_are_reported_as_ignored(tiny_module: Path, model_dir: Path,
                                                                  capsys: pytest.CaptureFixture) -> None:
    command = ["--image_dir=photos", "--nodoctor"]
    assert retrain.main([*command, f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}", "--dropout=0.5",
                         "--patience=2"]) == 0
    assert "Ignored: --dropout, --patience. They apply only to training all layers" in capsys.readouterr().err
    assert retrain.main([*command, "--architecture=lenet", "--train_epochs=1", "--class_weight=balanced"]) == 0
    assert "Ignored: --class_weight. It applies only to training the last layer" in capsys.readouterr().err


def test_different_labels_restart_the_training(capsys: pytest.CaptureFixture) -> None:
    command = ["--image_dir=photos", "--architecture=lenet", "--train_epochs=1", "--nodoctor"]
    assert retrain.main(command) == 0
    Path("photos/blue").rename("photos/zinc")
    capsys.readouterr()
    assert retrain.main(command) == 0
    assert "continues at step" not in capsys.readouterr().err


def on_epoch(monkeypatch: pytest.MonkeyPatch, callback: Callable[[EpochMetrics], object]) -> None:
    """Call `callback` at the end of every epoch, after its line is printed."""
    print_event = EventPrinter.__call__

    def print_and_call(self: EventPrinter, event: object) -> None:
        print_event(self, event)
        if isinstance(event, EpochMetrics):
            callback(event)
    monkeypatch.setattr(EventPrinter, "__call__", print_and_call)


def interrupt_at_epoch(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt a run as Ctrl-C does, before this epoch is saved."""
    def stop(epoch: EpochMetrics) -> None:
        if epoch.number + 1 == number:
            raise KeyboardInterrupt
    on_epoch(monkeypatch, stop)


def test_resume_continues_a_run_and_never_starts_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture) -> None:
    command = ["--image_dir=photos", "--architecture=lenet", "--train_epochs=2", "--nodoctor"]
    for flag in ("--checkpoint=best", "--resume"):
        assert retrain.main([*command, flag]) == 1
        output = capsys.readouterr().err
        assert "There is no checkpoint" in output and f"or omit {flag.split('=')[0]}." in output
    assert not Path("tf_files/bottlenecks/training").exists()
    interrupt_at_epoch(2, monkeypatch)
    assert retrain.main(command) == 130
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert retrain.main([*command, "--resume"]) == 0
    assert "continues at step 3" in capsys.readouterr().err
    photo = load_pixels(Path("photos/red/000.png").read_bytes(), 32, 32)[None]
    resumed = load_classifier(Path("tf_files/retrained_graph.pb")).probabilities(photo)
    shutil.rmtree("tf_files")
    assert retrain.main(command) == 0
    uninterrupted = load_classifier(Path("tf_files/retrained_graph.pb")).probabilities(photo)
    assert np.abs(resumed - uninterrupted).max() < 1e-6
    capsys.readouterr()
    assert retrain.main([*command, "--resume"]) == 0
    assert "is already finished" in capsys.readouterr().err


def test_resume_continues_only_a_run_that_can_be_extended_to_this_number_of_epochs(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    command = ["--image_dir=photos", "--architecture=lenet", "--nodoctor"]
    assert retrain.main([*command, "--train_epochs=4"]) == 0
    interrupt_at_epoch(2, monkeypatch)
    assert retrain.main([*command, "--train_epochs=9", "--seed=1"]) == 130
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    for more in (["--train_epochs=3"], ["--train_epochs=4", "--seed=1"]):
        capsys.readouterr()
        assert retrain.main([*command, *more, "--resume"]) == 1
        assert "There is no checkpoint" in capsys.readouterr().err
    assert retrain.main([*command, "--train_epochs=5", "--resume"]) == 0
    assert "continues at step 9" in capsys.readouterr().err  # after the three epochs at the constant learning rate


def test_schedule_and_warmup_are_options_of_training_all_layers(capsys: pytest.CaptureFixture) -> None:
    command = ["--image_dir=photos", "--architecture=lenet", "--train_epochs=1", "--nodoctor"]
    folders = []
    for extra in ([], ["--schedule=step"], ["--schedule=cosine", "--warmup=3"], ["--schedule=constant"]):
        assert retrain.main([*command, *extra]) == 0
        folders.append(sorted(Path("tf_files/bottlenecks/training").iterdir()))
    assert [len(found) for found in folders] == [1, 2, 3, 3]  # each schedule has its own training run
    output = capsys.readouterr()
    assert re.search(r"^Epoch 1, \d+(\.\d)? s: train loss", output.out, re.MULTILINE)
    assert "is already finished" in output.err
    assert retrain.main([*command, "--warmup=-1"]) == 2 and "--warmup" in capsys.readouterr().err
    assert retrain.main([*command, "--schedule=linear"]) == 2


def test_the_layers_of_a_network_are_shown_at_the_level_debug(capsys: pytest.CaptureFixture) -> None:
    command = ["--image_dir=photos", "--architecture=lenet", "--train_epochs=1", "--nodoctor"]
    assert retrain.main([*command, "--verbose"]) == 0
    summary = capsys.readouterr().err
    assert "Conv2D" in summary and "(None, 84)" in summary and "Total params" in summary
    assert retrain.main(command) == 0
    assert "Total params" not in capsys.readouterr().err


def test_the_last_checkpoint_has_no_best_epoch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command = ["--image_dir=photos", "--architecture=lenet", "--train_epochs=9", "--nodoctor"]
    interrupt_at_epoch(3, monkeypatch)
    assert retrain.main(command) == 130
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    heads = []
    for checkpoint in ("best", "last"):
        assert retrain.main([*command, f"--checkpoint={checkpoint}"]) == 0
        heads.append(json.loads(Path("tf_files/retrained_graph.json").read_text("utf-8"))["head"])
    assert [head["epochs"] for head in heads] == [2, 2] and [head["steps"] for head in heads] == [6, 6]
    assert heads[0]["best_epoch"] in (1, 2) and "best_epoch" not in heads[1]


def test_after_damage_to_a_checkpoint_the_network_is_trained_again(capsys: pytest.CaptureFixture) -> None:
    command = ["--image_dir=photos", "--architecture=lenet", "--train_epochs=1", "--nodoctor"]
    assert retrain.main(command) == 0
    expected = Path("tf_files/retrained_graph.pb").read_bytes()
    for path in Path("tf_files/bottlenecks/training").glob("*/epochs-1/last/*.data*"):
        path.write_bytes(path.read_bytes()[:100])
    capsys.readouterr()
    assert retrain.main([*command, "--resume"]) == 0
    assert "epochs-1 were damaged. They were renamed to epochs-1.broken-" in capsys.readouterr().err
    assert Path("tf_files/retrained_graph.pb").read_bytes() == expected


def test_an_image_size_too_small_for_the_network_is_an_error(capsys: pytest.CaptureFixture) -> None:
    assert retrain.main(["--image_dir=photos", "--architecture=cifar_cnn", "--image_size=8", "--nodoctor"]) == 1
    assert "does not take photos of 8 x 8 pixels: it needs at least 16 x 16" in capsys.readouterr().err
