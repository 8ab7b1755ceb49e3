"""Parse percentages (20) and fractions (0.2), and detect values that were probably meant as the other kind."""
from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation

PERCENT_SIGNS = "%\uff05\u066a"


class AmbiguousValueError(ValueError):
    """The value of a flag may mean two things. `{flag}` stands for the flag in the message, which is two sentences."""


def percentage(text: str) -> float:
    """Convert a percentage, such as 20 or 20%, to a number: 20. Less than one percent requires the sign (0.2%).

    Raises:
        AmbiguousValueError: The value is between 0 and 1, and has no percent sign.
        ValueError: The text is not a number.
    """
    number, has_sign = _parse(text)
    if number.is_nan():  # cannot be compared; the options reject it
        return math.nan
    if 0 < number < 1 and not has_sign:
        percent = _plain(number * 100)
        raise AmbiguousValueError(f"Does {{flag}}={text} mean {percent}% or {_plain(number)}%? Write "
                                  f"{{flag}}={percent} or {{flag}}={_plain(number)}%.")
    return float(number)


def percentage_or_int(text: str) -> float:
    """Convert a percentage like `percentage`, but to an integer if it is one.

    The keys of caches contain the value, and an integer and an equal float give different keys.
    """
    number = percentage(text)
    return int(number) if number.is_integer() else number


percentage_or_int.__name__ = percentage.__name__  # argparse shows it for a value that is not a number


def fraction(text: str) -> float:
    """Convert a fraction, such as 0.95 or 95%, to a number from 0 to 1; the options themselves check the range.

    Raises:
        AmbiguousValueError: The value is above 1 and at most 100, and has no percent sign.
        ValueError: The text is not a number.
    """
    number, has_sign = _parse(text)
    if number.is_nan():  # cannot be compared; the options reject it
        return math.nan
    if 1 < number <= 100 and not has_sign:
        raise AmbiguousValueError(f"{{flag}}={text} is not a number from 0 to 1; does it mean {_plain(number)}%? "
                                  f"Write {{flag}}={_plain(number / 100)} or {{flag}}={_plain(number)}%.")
    return float(number / 100 if has_sign else number)


def _parse(text: str) -> tuple[Decimal, bool]:
    """Return the number, and whether a percent sign follows it."""
    stripped = text.strip()
    has_sign = stripped[-1:] in tuple(PERCENT_SIGNS)
    try:
        number = Decimal(stripped[:-1].rstrip() if has_sign else stripped)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a number") from None
    return number, has_sign


def _plain(number: Decimal) -> str:
    """Return a number without an exponent or trailing zeros."""
    return f"{number.normalize():f}"
