"""retrain, evaluate and doctor on folders with parts, tables of labels, labels in file names, and groups."""
from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import retrain_json, write_photos
from tfpoets.cli import doctor, evaluate, export, retrain, show_image


@pytest.fixture
def flags(tmp_path: Path, tiny_module: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The flags that every run shares; the current folder is empty."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return [f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}", "--nodoctor"]


def write_parts(root: Path, counts: dict[str, int]) -> Path:
    """Write folders for parts with class folders; no photo is in two parts."""
    for number, (part, count) in enumerate(counts.items()):
        for hue, label in enumerate(("red", "green", "blue")):
            write_photos(root / part / label, count, hue, seed=number)
    return root


def error_of(capsys: pytest.CaptureFixture, arguments: Sequence[str], command=retrain) -> str:
    capsys.readouterr()
    assert command.main(list(arguments)) in (1, 2)
    error = capsys.readouterr().err
    assert "Traceback" not in error and "Error: " in error
    return error


def test_the_parts_of_a_dataset_are_used_as_they_are(tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture
                                                     ) -> None:
    root = write_parts(tmp_path / "photos" / "archive", {"Train": 12, "Valid": 4, "Test": 5})
    result = retrain_json(capsys, f"--image_dir={root.parent}", *flags)
    assert result["split"]["counts"] == {"training": 36, "validation": 12, "test": 15}
    assert result["labels"] == ["blue", "green", "red"] and result["test"]["count"] == 15
    assert result["photos"]["layout"] == (f"Recognized in {root}: training 36 photos, validation 12, test 15, "
                                          "3 classes.")
    # The validation part is taken from the training photos if the dataset has none.
    shutil.rmtree(root / "Valid")
    result = retrain_json(capsys, f"--image_dir={root.parent}", "--validation_percentage=25", *flags)
    assert result["split"]["counts"]["test"] == 15
    assert result["split"]["counts"]["training"] + result["split"]["counts"]["validation"] == 36
    assert evaluate.main([f"--image_dir={root}", "--format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["count"] == 15  # the others were used for training


def test_the_test_photos_are_never_trained_on(tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture) -> None:
    root = write_parts(tmp_path / "photos", {"train": 8, "test": 4})
    error = error_of(capsys, [f"--image_dir={root / 'test'}", *flags])
    assert f"retrain --image_dir={root}" in error and "never used for training" in error
    shutil.copy(next((root / "test" / "red").iterdir()), root / "train" / "red" / "copy.png")
    capsys.readouterr()
    result = retrain_json(capsys, f"--image_dir={root}", *flags)
    assert sum(result["split"]["counts"].values()) == 36  # the copy is used only for the test
    assert "Error" in error_of(capsys, [f"--image_dir={root}", f"--test_dir={root / 'test'}", *flags])
    shutil.rmtree(root / "train" / "blue")
    assert "no training photos" in error_of(capsys, [f"--image_dir={root}", *flags])


def test_the_error_for_several_layouts_shows_the_exact_command(tmp_path: Path, flags: list[str],
                                                               capsys: pytest.CaptureFixture) -> None:
    root = tmp_path / "my photos"
    for name in ("a", "b"):
        write_parts(root / name, {"train": 3, "test": 3})
    error = error_of(capsys, [f"--image_dir={root}", *flags])
    assert f"retrain '--image_dir={root}/a'" in error or f"retrain --image_dir='{root}/a'" in error


def test_labels_and_groups_come_from_a_manifest(tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture
                                                ) -> None:
    lines = ["file,class,split,patient"]
    for hue, label in enumerate(("red", "green", "blue")):
        write_photos(tmp_path / "photos" / label, 20, hue)
        lines += [f"photos/{label}/{number:03d}.png,{label},,{label}{number // 4}" for number in range(20)]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    manifest = f"--manifest={tmp_path / 'labels.csv'}"
    result = retrain_json(capsys, manifest, "--testing_percentage=30", *flags, "--export=tflite_dynamic")
    assert result["photos"]["listed"] == 60 and result["test"]["count"] % 4 == 0
    assert json.loads(Path("tf_files/retrained_graph.json").read_text())["options"]["dataset"]["manifest"]
    assert evaluate.main([manifest, "--format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["count"] == result["test"]["count"]
    assert export.main(["--to=tflite_dynamic", "--output_dir=elsewhere"]) == 0
    assert re.search(r"tflite_dynamic +[\d.]+ +\d+ of [1-9]", capsys.readouterr().out)
    assert show_image.main([manifest]) == 0


def test_labels_come_from_file_names(tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture) -> None:
    root = tmp_path / "cifar"
    for part, count, seed in (("train", 12, 0), ("test", 5, 1)):
        for hue, label in enumerate(("frog", "ship")):
            write_photos(tmp_path / "source", count, hue, seed=seed)
            for number in range(count):
                (root / part).mkdir(parents=True, exist_ok=True)
                (tmp_path / "source" / f"{number:03d}.png").rename(root / part / f"{number}_{label}.png")
    (root / "labels.txt").write_text("frog\nship\n")
    error = error_of(capsys, [f"--image_dir={root}", *flags])
    assert f"--image_dir={root} --label_pattern='{{index}}_{{label}}.png'" in error.replace("\n", " ")
    result = retrain_json(capsys, f"--image_dir={root}", "--label_pattern={index}_{label}.png", *flags)
    assert result["labels"] == ["frog", "ship"] and result["test"]["count"] == 10


def test_test_dir_may_be_a_dataset_with_parts_and_divided_groups_are_reported(
        tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture) -> None:
    root = write_parts(tmp_path / "photos", {"train": 12, "test": 5})
    command = [f"--image_dir={root / 'train'}", f"--test_dir={root}", "--group_pattern=0{group}", *flags]
    capsys.readouterr()
    assert retrain.main([*command, "--format=json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["test"]["count"] == 15
    assert "Groups with photos in several parts: 5." in output.err


def test_doctor_reads_the_same_layouts(tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture) -> None:
    root = write_parts(tmp_path / "photos", {"train": 8, "test": 4})
    shutil.copy(root / "train" / "red" / "000.png", root / "test" / "red" / "copy.png")
    assert doctor.main([f"--image_dir={root}", *flags[:2]]) == 0
    assert "leak" in capsys.readouterr().out
    assert "is missing" in error_of(capsys, flags[:2], doctor)
    shutil.rmtree(root / "train" / "blue")
    assert doctor.main([f"--image_dir={root}", *flags[:2]]) == 0


def test_photos_of_one_group_stay_together_in_split_and_cross_validation(tmp_path: Path, flags: list[str],
                                                                         capsys: pytest.CaptureFixture) -> None:
    for hue, label in enumerate(("red", "green")):
        write_photos(tmp_path / "source", 40, hue)
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(40):
            (tmp_path / "source" / f"{number:03d}.png").rename(
                tmp_path / "photos" / label / f"video{hue}{number // 8}_frame{number % 8}.png")
    command = [f"--image_dir={tmp_path / 'photos'}", "--group_pattern=video{group}_frame*", "--testing_percentage=25",
               *flags]
    result = retrain_json(capsys, *command, "--cross_validate=3")
    assert all(count % 8 == 0 for count in result["split"]["counts"].values()), result["split"]["counts"]
    assert "does not contain {group}" in error_of(capsys, [*command[:1], "--group_pattern=video*", *flags])
