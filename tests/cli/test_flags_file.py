"""The flags of a run are stored with its classifier, and --flags_from repeats the run."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from tfpoets.cli import retrain
from tfpoets.cli.flags_file import given_flags
from tfpoets.cli.parser import complete_arguments
from tfpoets.cli.retrain_flags import FLAGS

ALL = [flag for group in FLAGS for flag in group.flags]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    (tmp_path / "here" / "photos").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def write(values: object, name: str = "flags.json") -> str:
    Path(name).write_text(json.dumps(values), "utf-8")
    return f"--flags_from={name}"


def complete(*arguments: str) -> list[str]:
    return complete_arguments("tfpoets retrain", arguments, ALL)


def test_a_run_is_repeated_from_the_metadata_with_one_flag_changed(
        photo_folder: Path, tiny_module: Path, model_dir: Path, capsys: pytest.CaptureFixture) -> None:
    command = [str(photo_folder), "--tfhub_module", str(tiny_module), f"--model_dir={model_dir}", "--nodoctor",
               "--testing_percentage=30"]
    assert retrain.main([*command, "--seed=3", "--output_graph=a.pb", "--verbose", "--logging_verbosity=WARN"]) == 0
    first = json.loads(Path("a.json").read_text("utf-8"))
    assert first["flags"] == {"image_dir": str(photo_folder), "tfhub_module": str(tiny_module), "nodoctor": True,
                              "testing_percentage": "30", "seed": "3",
                              "output_graph": "a.pb"}
    graph = Path("a.pb").read_bytes()
    assert retrain.main(["--flags_from=a.json", "--output_graph=b.pb", f"--model_dir={model_dir}"]) == 0
    assert Path("b.pb").read_bytes() == graph
    second = json.loads(Path("b.json").read_text("utf-8"))
    assert second["flags"] == {**first["flags"], "output_graph": "b.pb"} and "flags" not in second["options"]
    assert retrain.main(["--flags_from=a.json", "--seed=4", "--output_graph=c.pb", f"--model_dir={model_dir}"]) == 0
    assert json.loads(Path("c.json").read_text("utf-8"))["split"]["seed"] == 4
    assert b'"flags"' not in Path("c.tflite").read_bytes(), "only the .json contains the flags"


def test_flags_on_the_command_line_override_the_file() -> None:
    given = write({"image_dir": "photos", "seed": 3, "nodoctor": True, "norefit": True, "views": 2})
    assert complete(given) == ["--image_dir=photos", "--seed=3", "--nodoctor", "--norefit", "--views=2", given]
    assert complete(given, "--seed=4", "--doctor", "--norefit=false", "photos") == [
        "--views=2", given, "--seed=4", "--doctor", "--image_dir=photos"]
    assert given_flags(complete(given, "--seed", "4"), ALL)["seed"] == "4"


@pytest.mark.parametrize("values, problem", [
    ({"sed": 3}, "did you mean --seed?"), ({"flags_from": "x.json"}, "not a flag"), ({"seed": "x"}, "not a valid"),
    ({"seed": [3]}, "neither text nor"), ({"seed": None}, "neither text nor"), ({"views": 3}, "Choose from"),
    ({"nodoctor": "yes"}, "is a switch"), ([], "contains no flags"), ("x", "contains no flags"),
    ({"format": "tfpoets-classifier", "labels": ["a", "b"]}, "an earlier version or a program"),
    ({"output_graph": "a\0b"}, "neither text nor"), ({"output_labels": ".bashrc"}, "a hidden file"),
    ({"output_labels": "main.py"}, "not a .txt file"), ({"model_dir": "models"}, "which are not checked"),
    ({"ray_address": "ray://example.org:10001"}, "runs what they return"),
    ({"trust_model": True}, "turns off the checks"), ({"architecture": "nets.py:build"}, "runs a Python file"),
    ({"output_graph": "/etc/graph.pb"}, "writes outside"), ({"output_graph": "../graph.pb"}, "writes outside"),
    ({"bottleneck_dir": "~/x"}, "writes outside"), ({"\x1b[2J": 1}, "not a flag")])
def test_unknown_and_dangerous_content_is_refused_in_one_or_two_sentences(
        values: object, problem: str, capsys: pytest.CaptureFixture) -> None:
    assert retrain.main(["--image_dir=photos", write(values)]) == 2
    message = capsys.readouterr().err
    assert problem in message and message.startswith("Error: flags.json ")
    assert message.count("\n") == 1 and "\x1b" not in message and "Traceback" not in message


@pytest.mark.parametrize("content", [b"", b"not JSON", b"\xff\xfe\x00", b"[" * 100_000])
def test_a_file_that_is_not_json_is_refused(content: bytes, capsys: pytest.CaptureFixture) -> None:
    Path("flags.json").write_bytes(content)
    assert retrain.main(["--flags_from=flags.json"]) == 2
    assert "is not a JSON file" in capsys.readouterr().err


def test_a_missing_file_is_named(capsys: pytest.CaptureFixture) -> None:
    assert retrain.main(["--flags_from=none.json"]) != 0
    assert "none.json" in capsys.readouterr().err


def test_what_a_file_may_not_set_is_allowed_on_the_command_line() -> None:
    given = write({"trust_model": True, "output_graph": "/elsewhere/a.pb"})
    assert complete(given, "--trust_model", "--output_graph=b.pb") == [given, "--trust_model", "--output_graph=b.pb"]


def test_without_photos_the_shortest_example_is_shown(capsys: pytest.CaptureFixture) -> None:
    assert retrain.main([]) == 2
    assert capsys.readouterr().err.endswith("Write tfpoets retrain my_photos\n")
