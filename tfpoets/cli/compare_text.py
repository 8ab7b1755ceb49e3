"""Format the result of a comparison as lines for a terminal of 80 columns."""
from __future__ import annotations

import textwrap

from tfpoets.comparison import Choice, ComparedClassifier, Comparison
from tfpoets.escaping import escape_for_terminal

from .messages import LINE_WIDTH, as_flags

MAX_NAME_LENGTH = 22
HEADER = (f"   {'':<{MAX_NAME_LENGTH}} {'accuracy':>8} {'(95%)':>9} {'behind best':>11} {'p':>5} {'ms':>5} {'MB':>5}"
          " ph/s")


def comparison_lines(comparison: Comparison, choice: Choice) -> list[str]:
    """Return the photos, a table with one row for each classifier, an explanation, and which one to take."""
    rows = [_row(comparison, index) for index in range(len(comparison.classifiers))]
    return [*_wrap(_photos(comparison)), *(line for note in comparison.notes for line in _wrap(f"CAUTION: {note}")),
            HEADER, *rows, *_long_names(comparison), *_wrap(_explanation(comparison), "  "), *_wrap(choice.sentence)]


def _photos(comparison: Comparison) -> str:
    """Return a sentence about the photos that were used."""
    photos = f"{comparison.metrics.format_count(' photos')} of {len(comparison.labels)} classes"
    if comparison.folds is None:
        return f"{photos} that none of the runs was trained on."
    unused = f" {comparison.n_unused} photos that retrain tests on are not used." if comparison.n_unused else ""
    return f"{photos}, each classified by a head that was trained without its fold ({comparison.folds} folds).{unused}"


def _row(comparison: Comparison, index: int) -> str:
    """Return a row of the table."""
    classifier = comparison.classifiers[index]
    low, high = classifier.metrics.interval
    accuracy, interval = f"{100 * classifier.metrics.accuracy:.1f}%", f"{100 * low:.1f}-{100 * high:.1f}"
    behind, p_value = "", ""
    if index:
        pair = comparison.pairs_with_best[index - 1]
        behind = pair.difference.format_points()
        p_value = "<.001" if pair.adjusted_p_value < 0.001 else f"{pair.adjusted_p_value:.3f}".lstrip("0")
    time, rate = classifier.median_milliseconds, classifier.photos_per_second
    megabytes = "-" if classifier.size is None else f"{classifier.size / 1e6:.1f}"
    return (f"{index + 1:>2}{'*' if comparison.front[index] else ' '}{_short_name(classifier):<{MAX_NAME_LENGTH}} "
            f"{accuracy:>8} {interval:>9} {behind:>11} {p_value:>5} {_number(time):>5} {megabytes:>5} "
            f"{_number(rate):>4}")


def _number(value: float | None) -> str:
    """Return a number with about three digits, or a hyphen."""
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _short_name(classifier: ComparedClassifier) -> str:
    name = escape_for_terminal(classifier.name)
    return name if len(name) <= MAX_NAME_LENGTH else f"...{name[3 - MAX_NAME_LENGTH:]}"


def _long_names(comparison: Comparison) -> list[str]:
    """Return the full names of the classifiers whose names are too long for the table."""
    return [line for number, classifier in enumerate(comparison.classifiers, 1) if len(classifier.name) >
            MAX_NAME_LENGTH for line in _wrap(f"{number}: {escape_for_terminal(classifier.name)}", "  ")]


def _explanation(comparison: Comparison) -> str:
    """Return what the columns of the table mean."""
    best = comparison.metrics.accuracy
    clustered, test = ("", "McNemar") if comparison.metrics.groups is None else (" over groups", "randomization")
    text = [f"behind best: difference in accuracy from the best one on the same photos, in points ± standard error"
            f"{clustered}. p: its p-value, adjusted for all {len(comparison.pairs)} pairs (Holm)."
            if len(comparison.pairs) > 1 else
            f"behind best: difference in accuracy on the same photos, in points ± standard error{clustered}. "
            f"p: its p-value ({test})."]
    text.append("ms, MB: time for one photo on one thread of this machine, without decoding, and size of the .tflite.")
    if any(classifier.photos_per_second for classifier in comparison.classifiers):
        text.append("ph/s: photos per second when features are computed, on all cores.")
    if sum(classifier.median_milliseconds is not None for classifier in comparison.classifiers) > 1:
        text.append("*: no other one is better in accuracy or time without being worse in the other (Pareto front).")
    if best - comparison.accuracy_after_choice >= 0.0005:
        text.append("The accuracy of the best one tends to be too high, because it was chosen as the highest; "
                    f"corrected for that (bootstrap), it is {comparison.accuracy_after_choice:.1%}.")
    return " ".join(text)


def _wrap(sentence: str, indent: str = "") -> list[str]:
    return textwrap.wrap(as_flags(escape_for_terminal(sentence)), LINE_WIDTH, initial_indent=indent,
                         subsequent_indent=indent or "  ", break_long_words=False, break_on_hyphens=False)
