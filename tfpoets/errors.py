"""Exceptions, helpers for their messages, and checks of option values."""
from __future__ import annotations

import difflib
import errno
import logging
import math
import numbers
import re
from collections.abc import Iterable, Sequence

# The library logs nothing by itself; the host program or the command line adds a handler. This is not in the package's
# __init__.py, which does not import `logging`; all modules that log import this one, directly or not.
logging.getLogger("tfpoets").addHandler(logging.NullHandler())

_OPTION = re.compile(r"`([a-z_]+)`")


class TfpoetsError(Exception):
    """Base class for all tfpoets exceptions.

    Option names in messages are written in backticks, as in "`image_size` must be at least 1". The command line shows
    the corresponding flags instead.

    Attributes:
        problem: One sentence that states what is wrong, with the relevant names and numbers.
        remedy: One sentence that states how to fix the problem; may be empty.
        option: The name of the option concerned, or "". By default, the first option named in `problem`.
    """

    def __init__(self, problem: str, remedy: str = "", option: str = ""):
        super().__init__(f"{problem} {remedy}".strip())
        match = _OPTION.search(problem)
        self.problem = problem
        self.remedy = remedy
        self.option = option or (match[1] if match else "")


class OptionError(TfpoetsError, ValueError):
    """An option has an invalid value, or two options contradict each other."""


class DataError(TfpoetsError):
    """A folder of photos, or the photos in it, cannot be used."""


class PhotoError(TfpoetsError):
    """A single photo cannot be used.

    `problem` is only the reason, as part of a sentence: it does not name the file.
    """


class ExtractorError(TfpoetsError):
    """A pretrained network is missing, damaged or unsupported, or its cache cannot be written."""


class TrainingError(TfpoetsError):
    """Training cannot start, continue or finish."""


class ExportError(TfpoetsError):
    """A file cannot be written, or its predictions differ from those of the trained classifier."""


class ModelError(TfpoetsError):
    """A classifier or graph cannot be loaded."""


class DownloadError(TfpoetsError):
    """A file cannot be downloaded, or an archive cannot be unpacked."""


def one_line(error: BaseException, limit: int = 200) -> str:
    """Return the message of `error` on one line, cut off after `limit` characters; it ends with a full stop."""
    text = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, TfpoetsError):
        text = text.replace("`", "'")  # in messages of other libraries, backticks do not mark options
    if len(text) > limit:
        text = text[:limit - 3] + "..."
    return text if text.endswith((".", "!", "?")) else text + "."


def join_names(names: Sequence[str], limit: int = 10) -> str:
    """Return the first `limit` names, separated by commas, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def closest_match(word: str, words: Iterable[str]) -> str | None:
    """Return the word in `words` that is most similar to a misspelt `word`, or None if none is similar."""
    return next(iter(difflib.get_close_matches(word, list(words), n=1)), None)


def os_error_sentence(error: OSError) -> str:
    """Return a sentence that names the file and the reason, such as a full disk or denied permission."""
    if error.errno == errno.ENOSPC and not error.filename:
        return ("There is no space left on the disk. Free some space and run the same command again.")
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
        limits = _describe_limits(minimum, maximum, above, below)
        kind = "whole" if integer else "" if limits else "finite"
        raise OptionError(f"`{option}`={shown} is not a {kind + ' ' if kind else ''}number{limits}.")


def _describe_limits(minimum: float | None, maximum: float | None, above: float | None, below: float | None) -> str:
    """Return the limits as the end of a sentence, such as " from 1 to 10", or "" if there are none."""
    if minimum is not None and maximum is not None:
        return f" from {minimum} to {maximum}"
    lower = f"that is at least {minimum}" if minimum is not None else f"above {above}" if above is not None else ""
    upper = f"that is at most {maximum}" if maximum is not None else f"below {below}" if below is not None else ""
    if lower and upper:
        return f" {lower} and {upper.removeprefix('that is ')}"
    return f" {lower or upper}" if lower or upper else ""


def check_bool(option: str, value: object) -> None:
    """Raise OptionError if the value of an on/off option is neither True nor False."""
    if not isinstance(value, bool):
        raise OptionError(f"`{option}`={value!r} is neither True nor False.")


def check_type(option: str, value: object, expected: type, optional: bool = False) -> None:
    """Check the type of an option that holds other options.

    Args:
        option: The name of the option.
        value: The value of the option.
        expected: The class that `value` must be an instance of.
        optional: Whether None is also allowed.

    Raises:
        OptionError: The value has a different type.
    """
    if not (isinstance(value, expected) or optional and value is None):
        raise OptionError(f"`{option}`={value!r} is not an instance of {expected.__name__}"
                          + (" or None." if optional else "."))


def check_choice(option: str, value: str, choices: Iterable[str]) -> None:
    """Raise OptionError if the value of an option is not one of `choices`."""
    choices = tuple(choices)
    if value not in choices:
        guess = closest_match(str(value), choices)
        raise OptionError(f"`{option}`={value} is not a valid choice" + (f"; did you mean {guess}?" if guess else "."),
                          f"Choose from {', '.join(choices)}.")
