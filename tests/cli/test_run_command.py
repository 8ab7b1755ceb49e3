"""Errors give a message and an exit code, and a traceback only with --debug."""
from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tfpoets.cli.main import COMMANDS
from tfpoets.cli.messages import set_flags
from tfpoets.cli.parser import Flag, Group, option_values, parse_flags
from tfpoets.cli.run_command import UsageError, run_command
from tfpoets.cli.shared_flags import GRAPH_FLAGS
from tfpoets.errors import OptionError, TfpoetsError

ROOT = Path(__file__).resolve().parents[2]
FLAGS = (Group("", (Flag("image_dir", "photos", "image_dir"), Flag("steps", "how many", "training.steps", int))),)


def failing(error: BaseException):
    def command(arguments: list[str] | None) -> int:
        raise error
    return command


@pytest.mark.parametrize("error, code, sentence", [
    (TfpoetsError("The folder is empty.", "Put photos in."), 1, "Error: The folder is empty. Put photos in.\n"),
    (UsageError("There is no flag --x."), 2, "Error: There is no flag --x.\n"),
    (OptionError("`views`=3 is not one of 1, 2, 4."), 2, "Error: views=3 is not one of 1, 2, 4.\n"),
    (OSError(28, "No space left on device", "tf_files/x"), 1, "Error: tf_files/x: No space left on device.\n"),
    (KeyError("oops"), 1, "Error: Unexpected KeyError: 'oops'. Run the same command with --debug to see the "
                          "traceback.\n"),
])
def test_errors_give_a_message_and_an_exit_code(error: BaseException, code: int, sentence: str,
                                                capsys: pytest.CaptureFixture) -> None:
    set_flags({}, "retrain")
    assert run_command(failing(error), []) == code
    assert capsys.readouterr().err == sentence


@pytest.mark.parametrize("command, hint", [
    ("retrain", " Run the same command again; it reuses saved bottlenecks and checkpoints."),
    ("doctor", " Run the same command again; it reuses saved bottlenecks."),
    ("evaluate", ""), ("serve", ""), ("label_image", ""), ("export", "")])
def test_only_commands_that_continue_after_an_interrupt_recommend_it(command: str, hint: str,
                                                                     capsys: pytest.CaptureFixture) -> None:
    def interrupted(arguments: list[str] | None) -> int:
        parse_flags(command, "", FLAGS, [])
        raise KeyboardInterrupt
    assert run_command(interrupted, []) == 130
    assert capsys.readouterr().err == f"Interrupted.{hint}\n"


def test_control_characters_in_the_name_of_a_file_are_escaped(capsys: pytest.CaptureFixture) -> None:
    run_command(failing(TfpoetsError("There is no file a\x1b[31m\0b\x9b.jpg.")), [])
    assert capsys.readouterr().err == "Error: There is no file a\\x1b[31m\\x00b\\x9b.jpg.\n"


def test_options_and_commands_in_errors_are_shown_as_the_user_types_them(capsys: pytest.CaptureFixture) -> None:
    set_flags({"handle": "--tfhub_module", "image_size": "--image_size"}, "retrain")
    run_command(failing(TfpoetsError("`handle`=x takes no `image_size`, and `unknown` is not an option.",
                                     "Run `tfpoets retrain`, or: `tfpoets evaluate image_dir=x`")), [])
    assert capsys.readouterr().err == ("Error: --tfhub_module=x takes no --image_size, and unknown is not an option. "
                                       "Run tfpoets retrain, or: tfpoets evaluate --image_dir=x\n")


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture) -> None:
    run_command(failing(KeyError("oops")), ["--debug"])
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("args, sentence", [
    (["--image_dri=x"], "There is no flag --image_dri; did you mean --image_dir?"),
    (["--image-dir=x"], "There is no flag --image-dir; did you mean --image_dir?"),
    (["--xyzzy"], "There is no flag --xyzzy."),
    (["stray"], "Unexpected argument 'stray'."),
])
def test_a_misspelt_flag_gives_a_suggestion(args: list[str], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_flags("test", "", FLAGS, args)
    assert sentence in str(caught.value)


def test_only_given_flags_set_options() -> None:
    args = parse_flags("test", "", FLAGS, ["--steps=3"])
    assert args == {"steps": 3}
    assert option_values(args, FLAGS) == {"training": {"steps": 3}}


def test_every_option_in_a_message_is_a_flag_of_a_command() -> None:
    """Check the names in backticks in all raise and log statements of the library."""
    names = {name for command in COMMANDS for group in importlib.import_module(f"tfpoets.cli.{command}").FLAGS
             for flag in (*group.flags, *GRAPH_FLAGS.flags) for name in (flag.name, flag.option_name, *flag.aliases)}
    mentioned: set[str] = set()
    for file in (ROOT / "tfpoets").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            is_message = isinstance(node, ast.Raise) or (isinstance(node, ast.Call)
                                                         and ast.unparse(node.func).startswith("log."))
            if is_message and "cli" not in file.relative_to(ROOT).parts:
                text = "".join(part.value for part in ast.walk(node)
                               if isinstance(part, ast.Constant) and isinstance(part.value, str))
                mentioned |= set(re.findall(r"`([a-z_]+)`", text))
    assert len(mentioned) > 20
    # Arguments of Python functions that have no flag.
    assert mentioned - names == {"head", "augmentation", "network", "callbacks", "checkpoint_dir", "contents",
                                 "predict", "split", "train_step"}


def test_a_script_prints_commands_in_the_form_in_which_it_was_run() -> None:
    output = subprocess.run([sys.executable, "-m", "scripts.count_ops"], cwd=ROOT, capture_output=True, text=True)
    assert output.returncode == 2 and "Run python -m scripts.count_ops --help" in output.stderr
