"""The sections of a classifier's metadata: what each one holds, and how it is read from JSON.

Files may come from strangers, so each `from_dict` checks every field and raises a ValueError that names the field.
"""
from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from tfpoets.data import PIXELS_VERSION


class Fields:
    """The fields of one JSON object, read one by one; a ValueError says which one is missing or wrong."""

    def __init__(self, section: str, values: Any):
        if not isinstance(values, dict):
            raise ValueError(f"its {section} is not an object")
        self._section = section
        self._values = values

    def _value(self, name: str) -> Any:
        if name not in self._values:
            raise ValueError(f"its {self._section}.{name} is missing")
        return self._values[name]

    def _refuse(self, name: str, expected: str) -> ValueError:
        return ValueError(f"its {self._section}.{name} is not {expected}")

    def text(self, name: str) -> str:
        """Return a text."""
        value = self._value(name)
        if not is_text(value):
            raise self._refuse(name, "text")
        return value

    def integer(self, name: str, least: float = 0) -> int:
        """Return a whole number of at least `least`."""
        value = self._value(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self._refuse(name, "a whole number" + (f" of at least {least}" if math.isfinite(least) else ""))
        return value

    def number(self, name: str, least: float = -math.inf, most: float = math.inf) -> float:
        """Return a finite number from `least` to `most`."""
        value = self._value(name)
        if not _is_number(value) or not least <= value <= most:
            raise self._refuse(name, "a number" if least == -math.inf else f"a number from {least:g} to {most:g}")
        return float(value)

    def interval(self, name: str) -> tuple[float, float]:
        """Return a confidence interval of a share: two numbers from 0 to 1."""
        value = self._value(name)
        if not isinstance(value, list) or len(value) != 2 or not all(_is_number(end) and 0 <= end <= 1
                                                                     for end in value):
            raise self._refuse(name, "two numbers from 0 to 1")
        return float(value[0]), float(value[1])

    def object(self, name: str) -> dict[str, Any] | None:
        """Return a JSON object as it is, or None."""
        value = self._value(name)
        if value is not None and not isinstance(value, dict):
            raise self._refuse(name, "an object")
        return value


def is_text(value: Any) -> bool:
    """Return whether `value` is a str that can be written as UTF-8; JSON can hold half of a surrogate pair."""
    if not isinstance(value, str):
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _is_number(value: Any) -> bool:
    # Larger integers have no float.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


class Section(Protocol):
    """A part of the metadata."""

    @classmethod
    def from_dict(cls, values: Any) -> Section:
        """Read it from JSON; raise a ValueError where a field is missing or wrong."""


@dataclass(frozen=True)
class InputInfo:
    """What the network takes.

    Attributes:
        height, width: in pixels.
        pixels: version of the pixel contract.
    """

    height: int
    width: int
    pixels: int = PIXELS_VERSION

    @classmethod
    def from_dict(cls, values: Any) -> InputInfo:
        """Read the section "input"."""
        fields = Fields("input", values)
        found = cls(fields.integer("height", 1), fields.integer("width", 1), fields.integer("pixels"))
        if found.pixels != PIXELS_VERSION:
            raise ValueError(f"it takes pixels version {found.pixels}, not {PIXELS_VERSION}")
        return found


@dataclass(frozen=True)
class NodeNames:
    """Names of the frozen graph's nodes: its input, and its output, the probabilities."""

    input: str
    output: str

    @classmethod
    def from_dict(cls, values: Any) -> NodeNames:
        """Read the section "nodes"."""
        fields = Fields("nodes", values)
        return cls(fields.text("input"), fields.text("output"))


@dataclass(frozen=True)
class NetworkInfo:
    """The network in front of the last layer.

    Attributes:
        kind: "frozen_features", "fine_tuned", "from_scratch" or "wrapped".
        handle: what a user calls it.
        digest: of its weights, input size and pixel version.
        fine_tuning: the result of fine-tuning; "" where that was not tried.
    """

    kind: str
    handle: str
    digest: str
    fine_tuning: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the section "network"; without `fine_tuning` where it is empty."""
        return {name: value for name, value in asdict(self).items() if name != "fine_tuning" or value}

    @classmethod
    def from_dict(cls, values: Any) -> NetworkInfo:
        """Read the section "network"."""
        fields = Fields("network", values)
        return cls(fields.text("kind"), fields.text("handle"), fields.text("digest"),
                   fields.text("fine_tuning") if "fine_tuning" in values else "")


@dataclass(frozen=True)
class HeadInfo:
    """The last layer.

    Attributes:
        solver: what found its weights.
        temperature: what logits are divided by before the softmax; the weights in the files are divided already.
        details: what else the solver says of itself.
    """

    solver: str
    temperature: float
    details: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the section "head": the details stand beside the other fields."""
        return {"solver": self.solver, "temperature": self.temperature, **self.details}

    @classmethod
    def from_dict(cls, values: Any) -> HeadInfo:
        """Read the section "head"."""
        fields = Fields("head", values)
        temperature = fields.number("temperature") if "temperature" in values else 1.0
        return cls(fields.text("solver"), temperature,
                   {name: value for name, value in values.items() if name not in ("solver", "temperature")})


@dataclass(frozen=True)
class SplitInfo:
    """The split of the photos.

    Attributes:
        seed: of the split.
        digest: of the photos and their parts.
        counts: photos in each part, by its name.
        trained_on: the first KNOWN_DIGITS of the digest of every training and validation photo, joined.
    """

    seed: int
    digest: str
    counts: dict[str, int]
    trained_on: str = ""

    @classmethod
    def from_dict(cls, values: Any) -> SplitInfo:
        """Read the section "split"."""
        fields = Fields("split", values)
        counts = Fields("split.counts", fields.object("counts"))
        return cls(fields.integer("seed", -math.inf), fields.text("digest"),
                   {name: counts.integer(name) for name in values["counts"]},
                   fields.text("trained_on") if "trained_on" in values else "")


@dataclass(frozen=True)
class EvaluationInfo:
    """The final evaluation, on photos that took no part in the training.

    Attributes:
        accuracy: share of photos with the right label, 0 to 1.
        interval: its 95 % Wilson interval.
        count: number of photos.
        cross_entropy: mean, in nats.
        expected_calibration_error: 0 to 1.
    """

    accuracy: float
    interval: tuple[float, float]
    count: int
    cross_entropy: float
    expected_calibration_error: float

    @classmethod
    def from_dict(cls, values: Any) -> EvaluationInfo:
        """Read the section "test"."""
        fields = Fields("test", values)
        return cls(fields.number("accuracy", 0, 1), fields.interval("interval"), fields.integer("count", 1),
                   fields.number("cross_entropy"), fields.number("expected_calibration_error", 0, 1))


@dataclass(frozen=True)
class RejectOption:
    """The reject option: which photos are called unknown.

    Attributes:
        threshold: photos with a higher score are called unknown.
        coverage: share of the validation photos that are not called unknown, 0 to 1.
        references: number of training photos that the score keeps.
        test: `Rejection.to_dict()` of the test photos, or None.
    """

    threshold: float
    coverage: float
    references: int
    test: dict[str, Any] | None = None

    @classmethod
    def from_dict(cls, values: Any) -> RejectOption:
        """Read the section "unknown"."""
        fields = Fields("unknown", values)
        return cls(fields.number("threshold"), fields.number("coverage", 0, 1), fields.integer("references"),
                   fields.object("test"))


@dataclass(frozen=True)
class CrossValidation:
    """A cross-validation over all photos.

    Attributes:
        folds: number of folds.
        accuracy: share of photos with the right label, 0 to 1.
        interval: its 95 % Wilson interval.
        count: number of photos.
        spread: standard deviation of the accuracy over the folds.
    """

    folds: int
    accuracy: float
    interval: tuple[float, float]
    count: int
    spread: float

    @classmethod
    def from_dict(cls, values: Any) -> CrossValidation:
        """Read the section "cross_validation"."""
        fields = Fields("cross_validation", values)
        return cls(fields.integer("folds", 1), fields.number("accuracy", 0, 1), fields.interval("interval"),
                   fields.integer("count", 1), fields.number("spread"))
