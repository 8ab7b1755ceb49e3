"""The errors that this library raises on purpose, and helpers for their messages."""
from __future__ import annotations

import difflib
import errno
import math
import numbers
import re
from collections.abc import Iterable

_OPTION = re.compile(r"`([a-z_]+)`")


class TfpoetsError(Exception):
    """The base class of all errors that this library raises on purpose.

    Options are named in backticks, as in "`image_size` must be at least 1"; the command line shows them as its flags.

    Attributes:
        problem: one sentence that states what is wrong, with the names and numbers that matter.
        remedy: one sentence that states what to do about it; may be empty.
        option: the name of the option concerned, or ""; by default the first one that `problem` names.
    """

    def __init__(self, problem: str, remedy: str = "", option: str = ""):
        super().__init__(f"{problem} {remedy}".strip())
        named = _OPTION.search(problem)
        self.problem = problem
        self.remedy = remedy
        self.option = option or (named[1] if named else "")


class OptionError(TfpoetsError, ValueError):
    """An option has a value that it cannot have, or two options contradict each other."""


class DataError(TfpoetsError):
    """A folder of photos, or the photos in it, cannot be used."""


class PhotoError(TfpoetsError):
    """A single photo cannot be used; `problem` is the reason as part of a sentence, without the name of the file."""


class ExtractorError(TfpoetsError):
    """A pretrained network is missing, damaged, or of a kind that cannot be used; or its cache cannot be written."""


class TrainingError(TfpoetsError):
    """A training cannot begin, continue or end."""


class ExportError(TfpoetsError):
    """A file cannot be written, or does not give the answers that it must give."""


class ModelError(TfpoetsError):
    """A classifier or graph cannot be loaded."""


class DownloadError(TfpoetsError):
    """A file cannot be downloaded, or an archive cannot be unpacked."""


def one_line(error: BaseException, limit: int = 200) -> str:
    """Return the message of `error` on one line, at most `limit` characters, ending in a full stop."""
    text = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, TfpoetsError):
        text = text.replace("`", "'")  # what others put in backticks is no option
    if len(text) > limit:
        text = text[:limit - 3] + "..."
    return text if text.endswith((".", "!", "?")) else text + "."


def closest_match(word: str, words: Iterable[str]) -> str | None:
    """Return the one of `words` that a misspelt `word` probably means, or None."""
    return next(iter(difflib.get_close_matches(word, list(words), n=1)), None)


def os_error_sentence(error: OSError) -> str:
    """Return a sentence that names the file and the reason: a full disk, a missing permission, and so on."""
    if error.errno == errno.ENOSPC and not error.filename:
        return "There is no space left on the disk. Make room, and give the same command again: it goes on."
    reason = error.strerror or one_line(error).rstrip(".")
    return f"{error.filename}: {reason}." if error.filename else f"{reason}."


def check_range(option: str, value: float | None, *, minimum: float | None = None,  # noqa: PLR0913 - four limits
                maximum: float | None = None, above: float | None = None, below: float | None = None,
                integer: bool = False) -> None:
    """Check the value of a numeric option; None is always allowed.

    Args:
        option: The name of the option.
        value: The value of the option.
        minimum: The smallest allowed value.
        maximum: The largest allowed value.
        above: A limit that the value must exceed.
        below: A limit that the value must stay below.
        integer: Whether only integers are allowed.

    Raises:
        OptionError: The value is not a finite number within the limits.
    """
    if value is None:
        return
    is_valid = (isinstance(value, numbers.Integral if integer else numbers.Real) and not isinstance(value, bool)
                and math.isfinite(value)
                and (minimum is None or value >= minimum) and (maximum is None or value <= maximum)
                and (above is None or value > above) and (below is None or value < below))
    if not is_valid:
        shown = f"{value:g}" if isinstance(value, float) and not integer else repr(value)
        limits = _describe_limits(minimum, maximum, above, below) or ("" if integer else " that is finite")
        raise OptionError(f"`{option}`={shown} is not {'a whole' if integer else 'a'} number{limits}.")


def _describe_limits(minimum: float | None, maximum: float | None, above: float | None, below: float | None) -> str:
    """Return the limits as the end of a sentence, such as " from 1 to 10", or "" if there are none."""
    low = f"{minimum}" if minimum is not None else f"above {above}" if above is not None else ""
    high = f"{maximum}" if maximum is not None else f"below {below}" if below is not None else ""
    if low and high:
        return f" from {low} to {high}" if minimum is not None else f" {low} and up to {high}"
    if low:
        return f" of at least {low}" if minimum is not None else f" {low}"
    if high:
        return f" of at most {high}" if maximum is not None else f" {high}"
    return ""


def check_flag(option: str, value: object) -> None:
    """Check the value of an option that is on or off; raise OptionError for one that is neither True nor False."""
    if not isinstance(value, bool):
        raise OptionError(f"`{option}`={value!r} is neither True nor False.")


def check_type(option: str, value: object, kind: type, optional: bool = False) -> None:
    """Check the value of an option that holds other options.

    Args:
        option: the name of the option.
        value: its value.
        kind: what it must be an instance of.
        optional: whether it may be None.

    Raises:
        OptionError: the value is of another kind.
    """
    if not (isinstance(value, kind) or optional and value is None):
        raise OptionError(f"`{option}`={value!r} is not {kind.__name__}(...)" + (" or None." if optional else "."))


def check_choice(option: str, value: str, choices: Iterable[str]) -> None:
    """Check the value of an option that has a few possible values; raise OptionError for another one."""
    choices = tuple(choices)
    if value not in choices:
        guess = closest_match(str(value), choices)
        raise OptionError(f"`{option}`={value} is not possible" + (f"; did you mean {guess}?" if guess else "."),
                          f"It can be {', '.join(choices)}.")
