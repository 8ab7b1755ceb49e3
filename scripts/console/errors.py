"""What a person reads when something is wrong: one or two sentences, never a traceback unless asked for."""
from __future__ import annotations

import difflib
import errno
import io
import os
import shutil
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterable

# Of the lines that commands print, so that a terminal of 80 columns breaks none.
LINE_WIDTH = 79


class UserError(Exception):
    """Something that the person at the keyboard can put right.

    Args:
        what: one sentence that says what is wrong, with the names and numbers that matter.
        try_instead: one sentence that says what to do about it; may be empty.
        exit_code: 2 for a wrong command line, 1 for everything else.
    """

    def __init__(self, what: str, try_instead: str = "", exit_code: int = 1):
        super().__init__(f"{what} {try_instead}".strip())
        self.what = what
        self.try_instead = try_instead
        self.exit_code = exit_code


def run_command(command: Callable[[list[str] | None], int], arguments: list[str] | None = None) -> int:
    """Runs a command and turns whatever goes wrong into a sentence on standard error.

    Args:
        command: takes the command line's arguments (None: those of the process) and returns an exit code.
        arguments: what to hand to it.

    Returns:
        The process's exit code: 0, 1 (failed), 2 (wrong command line) or 130 (interrupted).
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names that a terminal or an encoding cannot show must not end a run
            stream.reconfigure(errors="backslashreplace")
    debug = "--debug" in (sys.argv[1:] if arguments is None else arguments)
    try:
        return command(arguments)
    except UserError as error:
        if debug:
            traceback.print_exc()
        _say(f"Error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        _say("Stopped. What was finished is kept: the same command goes on from there.")
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has gone; nothing must be flushed to it when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if debug:
            traceback.print_exc()
        _say(f"Error: {os_error_sentence(error)}")
        return 1
    except Exception as error:
        if debug:
            traceback.print_exc()
        _say(f"Error: this should not have happened: {type(error).__name__}: {one_line(error)} "
             "Run the same command with --debug to see where.")
        return 1


def one_line(error: BaseException, limit: int = 200) -> str:
    """The message of `error` on one line, at most `limit` characters, ending in a full stop."""
    text = " ".join(str(error).split()) or type(error).__name__
    if len(text) > limit:
        text = text[:limit - 3] + "..."
    return text if text.endswith((".", "!", "?")) else text + "."


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The one of `words` that was probably meant by a misspelt `word`, or None."""
    return next(iter(difflib.get_close_matches(word, list(words), n=1)), None)


def os_error_sentence(error: OSError) -> str:
    """A full disk, a missing permission and their like as one sentence that names the file."""
    if error.errno == errno.ENOSPC and not error.filename:
        return "There is no space left on the disk. Make room, and give the same command again: it goes on."
    reason = error.strerror or one_line(error).rstrip(".")
    return f"{error.filename}: {reason}." if error.filename else f"{reason}."


def wrapped(sentence: str) -> str:
    """The sentence broken between words at the terminal's width; as it is where no person watches."""
    if not sys.stderr.isatty():
        return sentence
    return textwrap.fill(sentence, shutil.get_terminal_size().columns, break_long_words=False, break_on_hyphens=False)


def _say(sentence: str) -> None:
    print(wrapped(sentence), file=sys.stderr, flush=True)
