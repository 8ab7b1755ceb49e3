"""Arguments that shells and other programs have changed are explained, and unambiguous ones are accepted."""
from __future__ import annotations

import importlib
import math
import os
from pathlib import Path

import pytest

from tfpoets.cli import retrain
from tfpoets.cli.main import COMMANDS
from tfpoets.cli.min_accuracy import check_min_accuracy
from tfpoets.cli.parser import Flag, Group, location, parse_flags, path
from tfpoets.cli.percentages import fraction, percentage, percentage_or_int
from tfpoets.cli.run_command import UsageError
from tfpoets.errors import OptionError

TRAINING = (Group("", (
    Flag("image_dir", "photos", parse=location, required=True, bare=os.path.isdir),
    Flag("test_dir", "test", parse=path), Flag("output_graph", "graph", parse=path), Flag("solver", "solver"),
    Flag("seed", "seed", parse=int),
    Flag("flip_left_right", "flip", const=True), Flag("nodoctor", "no doctor", const=True),
    Flag("testing_percentage", "test", parse=percentage), Flag("random_crop", "crop", parse=percentage_or_int),
    Flag("unknown_coverage", "unknown", parse=fraction))),)
LABELLING = (Group("", (Flag("sources", "photos", nargs="*", metavar="PHOTO"), Flag("graph", "graph", parse=path))),)
ALL_FLAGS = [(command, flag) for command in COMMANDS
             for group in importlib.import_module(f"tfpoets.cli.{command}").FLAGS for flag in group.flags
             if not flag.nargs]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a folder photos/ and a file a.jpg."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "a.jpg").touch()
    return tmp_path


def error(*arguments: str, flags: tuple[Group, ...] = TRAINING, command: str = "retrain") -> str:
    with pytest.raises(UsageError) as caught:
        parse_flags(command, "", flags, list(arguments))
    return str(caught.value)


@pytest.mark.parametrize("argument, reason", [
    ("–image_dir=x", "an en dash (–)"), ("—image_dir=x", "an em dash (—)"), ("−image_dir=x", "a minus sign (−)"),
    ("––image_dir=x", "an en dash (–)"), ("\\--image_dir=x", "a backslash"), ("\\-image_dir=x", "-image_dir=x'"),
    ("-image_dir=x", "begins with -"), ("image_dir=x", "Unexpected argument 'image_dir=x'"),
    ("/image_dir:x", "begins with /"),
    ("--image_dir:x", "--image_dir:x"), ("--image_dir x", "--image_dir x"), ("“--image_dir=x”", "“--image_dir=x”"),
    ("\u200b--image_dir=x", "u200b"), ("--image_dir＝x", "＝"), ("x", "no folder of that name")])
@pytest.mark.parametrize("position", [0, 1])
def test_the_correct_form_of_a_malformed_flag_is_shown(argument: str, reason: str, position: int) -> None:
    arguments = ["--seed=3"]
    arguments.insert(position, argument)
    message = error(*arguments)
    assert reason in message and "--image_dir=x" in message.replace(f"'{argument}'", "")


@pytest.mark.parametrize("arguments", [["–image_dir", "x"], ["image_dir", "x"], ["--image_dir", "=", "x"],
                                       ["--image_dir", "=x"], ["--image_dir=", "x"]])
def test_a_value_in_the_next_argument_is_part_of_the_suggestion(arguments: list[str]) -> None:
    assert "--image_dir=x" in error(*arguments)


@pytest.mark.parametrize("dash", ["–", "—", "−", "-", "\\--"])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_of_every_command_is_recognized(command: str, dash: str) -> None:
    groups = importlib.import_module(f"tfpoets.cli.{command}").FLAGS
    for flag in (flag for name, flag in ALL_FLAGS if name == command):
        value = "" if flag.const is not None else "=some value"
        message = error(f"{dash}{flag.name}{value}", flags=groups, command=command)
        assert f"--{flag.name}" + ('="some value"' if value else "") in message


def test_a_lone_folder_is_the_photo_folder() -> None:
    assert parse_flags("retrain", "", TRAINING, ["--nodoctor", "photos"])["image_dir"] == Path("photos")
    assert "--test_dir=photos" in error("photos", "photos")


@pytest.mark.parametrize("command", ["retrain", "doctor", "evaluate"])
def test_commands_that_read_photos_accept_a_lone_folder(command: str) -> None:
    groups = importlib.import_module(f"tfpoets.cli.{command}").FLAGS
    assert parse_flags(command, "", groups, ["photos"]) == {"image_dir": Path("photos")}


def test_evaluate_distinguishes_photos_from_a_classifier(folder: Path) -> None:
    groups = importlib.import_module("tfpoets.cli.evaluate").FLAGS
    (folder / "saved" / "1").mkdir(parents=True)
    (folder / "saved" / "1" / "saved_model.pb").touch()
    assert parse_flags("evaluate", "", groups, ["saved", "photos"]) == {"positional": Path("saved"),
                                                                        "image_dir": Path("photos")}


def test_a_value_that_the_shell_split_at_a_space_is_shown_in_quotes() -> None:
    assert '--image_dir="My Photos"' in error("--image_dir=My", "Photos", "--seed=3")
    assert '--output_graph="my big graph.pb"' in error("--output_graph", "my", "big", "graph.pb", "--image_dir=photos")


def test_the_line_continuation_of_another_shell_is_explained() -> None:
    assert "on one line" in error("\\", "--image_dir=photos")


def test_files_whose_names_look_like_flags_are_photos(folder: Path) -> None:
    for name in ("–graph=x", "graph=x"):
        assert "--graph=x" in error(name, flags=LABELLING, command="label_image").replace(f"'{name}'", "")
        (folder / name).touch()
        assert parse_flags("label_image", "", LABELLING, [name])["sources"] == [name]


@pytest.mark.parametrize("quoted", ["'C:\\photos'", "‘C:\\photos’", "“C:\\photos”", "„C:\\photos“", "`C:\\photos`",
                                    '"C:\\photos"', "«C:\\photos»"])
@pytest.mark.parametrize("form", ["{flag}={value}", "{flag} {value}", "{value}"])
def test_quotation_marks_that_the_shell_kept_are_named(quoted: str, form: str) -> None:
    arguments = form.format(flag="--image_dir", value=quoted).split()
    message = error(*arguments, flags=TRAINING if "flag" in form else LABELLING)
    assert "quotation marks" in message and quoted[0] in message
    assert message.endswith("--image_dir=C:\\photos" if "flag" in form else "Write C:\\photos")


def test_quotation_marks_around_several_words_are_found() -> None:
    assert error("--image_dir='my", "photos'", "--seed=3").endswith('Write --image_dir="my photos"')
    assert error("--image_dir=“my photos”").endswith('Write --image_dir="my photos"')


def test_a_backslash_before_a_quotation_mark_on_windows_is_explained() -> None:
    assert error('--image_dir=C:\\my photos" --seed=3').endswith('Write --image_dir="C:\\my photos"')
    assert error('--image_dir=C:\\photos"').endswith("Write --image_dir=C:\\photos")


@pytest.mark.parametrize("flag", ["solver", "seed", "output_graph"])
def test_quotation_marks_are_named_for_all_kinds_of_values(flag: str) -> None:
    assert error(f"--{flag}='3'", "photos").endswith(f"Write --{flag}=3")


def test_an_existing_folder_may_have_quotation_marks_in_its_name(folder: Path) -> None:
    (folder / "'photos'").mkdir()
    assert parse_flags("retrain", "", TRAINING, ["--image_dir='photos'"])["image_dir"] == Path("'photos'")


@pytest.mark.parametrize("arguments, expected", [
    (["--flip_left_right", "True"], True), (["--flip_left_right=true"], True), (["--flip_left_right=TRUE"], True),
    (["--flip_left_right=False"], None), (["--flip_left_right", "false"], None),
    (["--flip_left_right", "--flip_left_right=false"], None),
    (["--flip_left_right=false", "--flip_left_right"], True)])
def test_switches_take_the_words_true_and_false(arguments: list[str], expected: bool | None) -> None:
    assert parse_flags("retrain", "", TRAINING, [*arguments, "photos"]).get("flip_left_right") is expected


@pytest.mark.parametrize("arguments, expected", [
    (["--doctor"], True), (["--nodoctor"], False), (["--doctor=false"], False), (["--nodoctor=false"], True),
    (["--doctor", "false"], False), ([], None)])
def test_the_word_false_selects_the_opposite_of_a_switch(arguments: list[str], expected: bool | None) -> None:
    options = retrain.options_from(parse_flags("retrain", "", retrain.FLAGS, ["--image_dir=elsewhere", *arguments]))
    assert options.doctor is expected


def test_a_switch_and_its_opposite_contradict_each_other(capsys: pytest.CaptureFixture) -> None:
    assert retrain.main(["--image_dir=elsewhere", "--doctor", "--nodoctor"]) == 2
    assert "--doctor and --nodoctor contradict each other" in capsys.readouterr().err


def test_a_folder_after_a_switch_is_not_swallowed(folder: Path) -> None:
    (folder / "yes").mkdir()
    assert parse_flags("retrain", "", TRAINING, ["--nodoctor", "yes"]) == {"nodoctor": True, "image_dir": Path("yes")}


@pytest.mark.parametrize("arguments", [["--nodoctor=1"], ["--nodoctor=yes"], ["--nodoctor="], ["--nodoctor", "on"],
                                       ["--nodoctor", "0"]])
def test_other_words_for_a_switch_are_an_error(arguments: list[str]) -> None:
    assert "true or false" in error(*arguments, "--image_dir=photos")


@pytest.mark.parametrize("flag", ["testing_percentage", "random_crop"])
def test_a_percentage_below_one_is_ambiguous(flag: str) -> None:
    assert error("photos", f"--{flag}=0.2") == (f"Does --{flag}=0.2 mean 20% or 0.2%? Write --{flag}=20 or "
                                                f"--{flag}=0.2%.")
    for text, value in (("20", 20), ("20%", 20), ("20 %", 20), ("0.2%", 0.2), ("0", 0), ("1", 1)):
        assert parse_flags("retrain", "", TRAINING, ["photos", f"--{flag}={text}"])[flag] == value


def test_whole_percentages_of_augmentation_are_integers_as_in_existing_cache_keys() -> None:
    value = parse_flags("retrain", "", TRAINING, ["photos", "--random_crop=10%"])["random_crop"]
    assert value == 10 and isinstance(value, int)


def test_a_fraction_above_one_is_ambiguous() -> None:
    assert error("photos", "--unknown_coverage=95").endswith(
        "does it mean 95%? Write --unknown_coverage=0.95 or --unknown_coverage=95%.")
    for text, value in (("0.95", 0.95), ("95%", 0.95), ("1", 1)):
        args = parse_flags("retrain", "", TRAINING, ["photos", f"--unknown_coverage={text}"])
        assert args["unknown_coverage"] == value


def test_every_flag_for_a_percentage_or_fraction_accepts_the_sign() -> None:
    names = {flag.name for _, flag in ALL_FLAGS if flag.parse in (percentage, percentage_or_int, fraction)}
    assert names >= {"testing_percentage", "validation_percentage", "random_crop", "random_scale", "random_brightness",
                     "unknown_coverage", "dropout", "min_score", "min_accuracy"}


@pytest.mark.parametrize("command", ["retrain", "doctor"])
@pytest.mark.parametrize("name", ["labels.csv", "LABELS.TSV", "labels.jsonl", "labels.parquet", "labels.xlsx"])
def test_a_lone_table_is_suggested_as_the_manifest(command: str, name: str, folder: Path) -> None:
    groups = importlib.import_module(f"tfpoets.cli.{command}").FLAGS
    assert "no folder of that name" in error(name, flags=groups, command=command)
    (folder / name).touch()
    for arguments in ([name], ["photos", name], ["--image_dir=photos", name]):
        assert f"did you mean --manifest={name}?" in error(*arguments, flags=groups, command=command)


def test_an_argument_that_is_too_long_for_a_path_is_shortened_in_the_message() -> None:
    for argument in ("x" * 300, "x" * 100_000, "a/" * 5000, "x" * 5000 + ".txt", "x" * 5000 + ".csv"):
        message = error(argument)
        assert "Unexpected argument '" in message and "--help" in message and len(message) < 400


def test_values_that_are_not_numbers_are_shown_as_they_were_given() -> None:
    assert all(math.isnan(parse(text)) for parse in (fraction, percentage, percentage_or_int)
               for text in ("nan", "NaN", "-nan", "nan%"))
    with pytest.raises(OptionError, match="`min_accuracy`=nan is not a number from 0 to 1"):
        check_min_accuracy(fraction("nan"))
