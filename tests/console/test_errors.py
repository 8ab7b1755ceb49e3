"""Whatever goes wrong ends in a sentence and an exit code, and in a traceback only for those who ask."""
from __future__ import annotations

import pytest

from scripts.console import CommandParser, UserError, run_command


def failing(error: BaseException):
    def command(arguments: list[str] | None) -> int:
        raise error
    return command


@pytest.mark.parametrize("error, code, sentence", [
    (UserError("The folder is empty.", "Put photos in."), 1, "Error: The folder is empty. Put photos in.\n"),
    (UserError("There is no flag --x.", exit_code=2), 2, "Error: There is no flag --x.\n"),
    (OSError(28, "No space left on device", "tf_files/x"), 1, "Error: tf_files/x: No space left on device.\n"),
    (KeyError("oops"), 1, "Error: this should not have happened: KeyError: 'oops'. Run the same command with --debug "
                          "to see where.\n"),
    (KeyboardInterrupt(), 130, "Stopped. What was finished is kept: the same command goes on from there.\n"),
])
def test_errors_are_one_sentence_and_an_exit_code(error: BaseException, code: int, sentence: str,
                                                  capsys: pytest.CaptureFixture) -> None:
    assert run_command(failing(error), []) == code
    assert capsys.readouterr().err == sentence


def test_debug_shows_where_it_happened(capsys: pytest.CaptureFixture) -> None:
    run_command(failing(KeyError("oops")), ["--debug"])
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("given, sentence", [
    (["--image_dri=x"], "There is no flag --image_dri; did you mean --image_dir?"),
    (["--image-dir=x"], "There is no flag --image-dir; did you mean --image_dir?"),
    (["--xyzzy"], "There is no flag --xyzzy."),
    (["stray"], "There is no place for 'stray'"),
])
def test_a_misspelt_flag_names_the_nearest(given: list[str], sentence: str) -> None:
    parser = CommandParser(prog="scripts.test")
    parser.add_argument("--image_dir")
    with pytest.raises(UserError) as caught:
        parser.parse(given)
    assert sentence in str(caught.value) and caught.value.exit_code == 2
