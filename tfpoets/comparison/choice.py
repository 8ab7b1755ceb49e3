"""Choose a classifier of a comparison: by accuracy, speed or size."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tfpoets.errors import join_names

from .result import ComparedClassifier, Comparison

# Times or sizes that differ by less than this fraction count as equal, and the more accurate classifier is chosen.
TOLERANCE = 0.05
MAX_NAMES = 4
SUPERLATIVES = {"accuracy": "the most accurate", "speed": "the fastest", "size": "the smallest"}
Key = Callable[[ComparedClassifier], float | None]


@dataclass(frozen=True)
class Choice:
    """Which classifier to take, as indices into `Comparison.classifiers`.

    Attributes:
        accuracy: The most accurate one.
        speed: The fastest one; None if fewer than two of them could be timed.
        size: The smallest one; None if fewer than two of them have a size.
        may_be_chance: Those whose difference in accuracy from the most accurate one may be chance.
        sentence: A sentence that states all of this.
    """

    accuracy: int
    speed: int | None
    size: int | None
    may_be_chance: tuple[int, ...]
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return the choice for JSON."""
        return {"accuracy": self.accuracy, "speed": self.speed, "size": self.size,
                "may_be_chance": list(self.may_be_chance), "sentence": self.sentence}


def choose(comparison: Comparison) -> Choice:
    """Return which classifier to take if accuracy, speed or size matters, and which differences may be chance."""
    indices = range(len(comparison.classifiers))
    speed, size = (_lowest(comparison, indices, key) for key in (_time, _size))
    equal = tuple(pair.second for pair in comparison.pairs_with_best if pair.may_be_chance)
    sentence = f"{_picks(comparison, speed, size)}; {_chance(comparison, equal)}."
    return Choice(0, speed, size, equal, sentence)


def _time(classifier: ComparedClassifier) -> float | None:
    return classifier.median_milliseconds


def _size(classifier: ComparedClassifier) -> float | None:
    return classifier.size


def _lowest(comparison: Comparison, indices: range | tuple[int, ...], key: Key) -> int | None:
    """Return the first, and so the most accurate, of the classifiers whose value is about the lowest.

    None is returned if fewer than two of them have a value, so that there is nothing to compare.
    """
    values = {index: value for index in indices if (value := key(comparison.classifiers[index])) is not None}
    if len(values) < 2:
        return None
    return next(index for index, value in values.items() if value <= (1 + TOLERANCE) * min(values.values()))


def _picks(comparison: Comparison, speed: int | None, size: int | None) -> str:
    """Return the first half of the sentence: what to take for each purpose."""
    purposes: dict[int, list[str]] = {0: ["accuracy"]}
    for index, purpose in ((speed, "speed"), (size, "size")):
        if index is not None:
            purposes.setdefault(index, []).append(purpose)
    if len(purposes) == 1:
        advantages = [SUPERLATIVES[purpose] for purpose in purposes[0]]
        return f"Take {comparison.classifiers[0].name}: it is {_join(advantages)}"
    return f"Take {_join([_pick(comparison, index, purposes[index]) for index in purposes])}"


def _pick(comparison: Comparison, index: int, purposes: list[str]) -> str:
    """Return the name of a classifier, the purposes that it suits, and what it costs."""
    best, classifier = comparison.classifiers[0], comparison.classifiers[index]
    if index == 0:
        details = [f"{best.metrics.accuracy:.1%}"]
    else:
        difference = comparison.pairs_with_best[index - 1].difference
        details = [describe(classifier) + (f" instead of {describe(best).split()[0]}" if describe(best) else "")
                   for purpose, describe in (("speed", _milliseconds), ("size", _megabytes)) if purpose in purposes]
        details.append(f"{difference.format_points()} points less accurate")
    return f"{classifier.name} if {' or '.join(purposes)} matters ({', '.join(details)})"


def _join(texts: list[str]) -> str:
    return " and ".join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else texts[0]


def _milliseconds(classifier: ComparedClassifier) -> str:
    """Return the time for one photo, or "" if it was not measured."""
    time = classifier.median_milliseconds
    if time is None:
        return ""
    return f"{time:.1f} ms" if time >= 1 else f"{time:.2f} ms"


def _megabytes(classifier: ComparedClassifier) -> str:
    """Return the size of the .tflite, or "" if there is none."""
    return "" if classifier.size is None else f"{classifier.size / 1e6:.1f} MB"


def _chance(comparison: Comparison, equal: tuple[int, ...]) -> str:
    """Return the second half of the sentence: which differences may be chance."""
    classifiers, n_pairs = comparison.classifiers, len(comparison.pairs)
    correction = "McNemar's test" if comparison.metrics.groups is None else "a randomization test over groups"
    if n_pairs > 1:
        correction += f" with Holm's correction for all {n_pairs} pairs"
    level, best = f"({correction}, 5% level)", classifiers[0].name
    if not any(pair.difference.difference for pair in comparison.pairs_with_best):
        return "on these photos, all of them are equally accurate"
    if not equal:
        return f"the lead of {best} is more than chance {level}"
    if len(equal) == len(classifiers) - 1:
        text = "the differences in accuracy may all be chance" if len(equal) > 1 else \
            "the difference in accuracy may be chance"
    else:
        others = [classifiers[index].name for index in equal]
        listed = _join(others) if len(others) <= MAX_NAMES else join_names(others, MAX_NAMES)
        text = f"the lead of {best} over {listed} may be chance"
    fastest = _lowest(comparison, (0, *equal), _time)
    faster = f"; {classifiers[fastest].name} is the fastest of these" if fastest and len(equal) > 1 else ""
    return f"{text} {level}{faster}"
