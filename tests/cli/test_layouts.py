"""retrain, evaluate and doctor on folders with parts, tables of labels, labels in file names, and groups."""
from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import tfpoets
from tests.conftest import retrain_json, write_photos
from tfpoets.cli import doctor, evaluate, export, retrain, show_image
from tfpoets.cli.parser import parse_flags
from tfpoets.cli.retrain import options_from
from tfpoets.cli.retrain_flags import FLAGS
from tfpoets.data import TEST


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


def suggested_commands(error: str) -> list[list[str]]:
    """Return the arguments of the commands that an error suggests."""
    value = r"(?:'[^']*'|\"[^\"]*\"|[^ '\"])+"
    commands = re.findall(rf"\bretrain ((?:--\w+={value} ?)+)", error.replace("\n", " "))
    return [shlex.split(command.rstrip(" .;")) for command in commands]


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
    assert sum(result["split"]["counts"].values()) == 36  # the copy is used only for testing
    error = error_of(capsys, [f"--image_dir={root}", f"--test_dir={root / 'test'}", *flags])
    assert "contain test photos" in error and "Omit --test_dir" in error
    shutil.rmtree(root / "train" / "blue")
    assert "no training photos" in error_of(capsys, [f"--image_dir={root}", *flags])


def test_the_error_for_an_ambiguous_folder_shows_the_exact_command(tmp_path: Path, flags: list[str],
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


def test_the_group_pattern_need_not_match_the_photos_of_test_dir(tmp_path: Path, flags: list[str],
                                                                 capsys: pytest.CaptureFixture) -> None:
    root = write_parts(tmp_path / "photos", {"train": 12, "test": 5})
    for path in list((root / "train").glob("*/*.png")):
        path.rename(path.with_name(f"video{path.name[:2]}_{path.name[2:]}"))
    result = retrain_json(capsys, f"--image_dir={root / 'train'}", f"--test_dir={root / 'test'}",
                          "--group_pattern=video{group}_*", *flags)
    assert result["test"]["count"] == 15


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


def write_flat(folder: Path, names: dict[str, tuple[int, str]], count: int, seed: int) -> None:
    """Write photos of several classes into one folder; `names` maps labels to a hue and a pattern of file names."""
    folder.mkdir(parents=True, exist_ok=True)
    for label, (hue, pattern) in names.items():
        write_photos(folder / "source", count, hue, seed=seed)
        for number, path in enumerate(sorted((folder / "source").iterdir())):
            path.rename(folder / pattern.format(index=number, label=label))
        (folder / "source").rmdir()


def write_roboflow(root: Path) -> None:
    for seed, part in enumerate(("train", "valid", "test")):
        write_flat(root / part, {"x": (0, "x{index}.png"), "z": (1, "z{index}.png")}, 6, seed)
        rows = [f"{path.name},{int(path.name[0] == 'x')},{int(path.name[0] == 'z')}"
                for path in sorted((root / part).iterdir())]
        (root / part / "_classes.csv").write_text("\n".join(["filename,x,z", *rows]))


def write_unclear_training_folder(root: Path) -> None:
    write_parts(root, {"learn": 8, "test": 4})


def write_pattern(root: Path) -> None:
    for seed, part in enumerate(("train", "test")):
        write_flat(root / part, {"frog": (0, "{index}_{label}.png"), "ship": (1, "{index}_{label}.png")}, 6, seed)


def write_nested(root: Path) -> None:
    for seed, folder in enumerate(("cat", "dog/adult", "dog/puppy")):
        write_photos(root / folder, 6, seed, seed=seed)


def write_table(root: Path) -> None:
    write_flat(root / "it's", {"x": (0, "x{index}.png"), "z": (1, "z{index}.png")}, 6, 0)
    rows = [f"{path.name},{path.name[0]}" for path in sorted((root / "it's").iterdir())]
    (root / "it's" / "labels.csv").write_text("\n".join(["file,label", *rows]))


@pytest.mark.parametrize("write, n_commands", [
    (write_roboflow, 1), (write_unclear_training_folder, 1), (write_pattern, 1), (write_nested, 2), (write_table, 1)])
def test_the_commands_that_an_error_suggests_work_and_never_train_on_test_photos(
        write: Callable[[Path], None], n_commands: int, tmp_path: Path, flags: list[str],
        capsys: pytest.CaptureFixture) -> None:
    root = tmp_path / "my photos"
    write(root)
    commands = suggested_commands(error_of(capsys, [f"--image_dir={root}", *flags]))
    assert len(commands) == n_commands
    for command in commands:
        capsys.readouterr()
        result = tfpoets.retrain(options_from(parse_flags("retrain", "", FLAGS, [*command, *flags])))
        assert {photo.uri for photo in result.dataset.part(TEST).photos} >= {
            photo.uri for photo in result.dataset.photos if "/test/" in photo.uri}
