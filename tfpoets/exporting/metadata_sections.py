"""The sections of a classifier's metadata, and how they are read from JSON.

Metadata may come from an untrusted source, so each `from_dict` checks every field. It raises a ValueError that names
a missing or invalid field.
"""
from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from tfpoets.data import PIXELS_VERSION

# Numbers must be below this limit in absolute value, because integers in JSON may be too large for a float.
MAX_NUMBER = 1e300
# The largest height and width of an input, in pixels. No classifier of photos comes near it.
MAX_INPUT_SIZE = 8192


class FieldReader:
    """The fields of one JSON object, each of which is checked when it is read.

    Every method raises a ValueError if the field is missing or invalid.

    Args:
        section: The name of the object, for messages.
        values: The object.
    """

    def __init__(self, section: str, values: Any):
        if not isinstance(values, dict):
            raise ValueError(f"its {section} is not an object")
        self._section = section
        self._values = values

    def _get(self, name: str) -> Any:
        if name not in self._values:
            raise ValueError(f"its {self._section}.{name} is missing")
        return self._values[name]

    def _error(self, name: str, expected: str) -> ValueError:
        return ValueError(f"its {self._section}.{name} is not {expected}")

    def text(self, name: str) -> str:
        """Return a string."""
        value = self._get(name)
        if not is_text(value):
            raise self._error(name, "a string")
        return value

    def integer(self, name: str, minimum: float = 0) -> int:
        """Return a whole number of at least `minimum`."""
        value = self._get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise self._error(name, "a whole number" + (f" of at least {minimum}" if math.isfinite(minimum) else ""))
        return value

    def optional_integer(self, name: str, minimum: float = 0) -> int | None:
        """Return a whole number of at least `minimum`, or None if the field is missing or null."""
        return None if self._values.get(name) is None else self.integer(name, minimum)

    def number(self, name: str, minimum: float = -math.inf, maximum: float = math.inf) -> float:
        """Return a finite number from `minimum` to `maximum`."""
        value = self._get(name)
        if not _is_number(value) or not minimum <= value <= maximum:
            raise self._error(name, "a number" if minimum == -math.inf else
                              f"a number from {minimum:g} to {maximum:g}")
        return float(value)

    def interval(self, name: str) -> tuple[float, float]:
        """Return the confidence interval of a fraction: two numbers from 0 to 1."""
        value = self._get(name)
        if not isinstance(value, list) or len(value) != 2 or not all(_is_number(end) and 0 <= end <= 1
                                                                     for end in value):
            raise self._error(name, "two numbers from 0 to 1")
        return float(value[0]), float(value[1])

    def object(self, name: str) -> dict[str, Any] | None:
        """Return a JSON object without checking its fields, or None."""
        value = self._get(name)
        if value is not None and not isinstance(value, dict):
            raise self._error(name, "an object")
        return value


def is_text(value: Any) -> bool:
    """Return whether `value` is a string that UTF-8 can encode. JSON can contain half of a surrogate pair."""
    if not isinstance(value, str):
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < MAX_NUMBER


class Section(Protocol):
    """A section of the metadata."""

    @classmethod
    def from_dict(cls, values: Any) -> Section:
        """Read the section from a JSON object; raise a ValueError if a field is missing or invalid."""


@dataclass(frozen=True)
class InputInfo:
    """The section about the input of the network.

    Attributes:
        height, width: The size in pixels.
        pixels: The version of the pixel contract.
    """

    height: int
    width: int
    pixels: int = PIXELS_VERSION

    @classmethod
    def from_dict(cls, values: Any) -> InputInfo:
        """Read the section "input"."""
        fields = FieldReader("input", values)
        info = cls(fields.integer("height", 1), fields.integer("width", 1), fields.integer("pixels"))
        if max(info.height, info.width) > MAX_INPUT_SIZE:
            raise ValueError(f"its input has more than {MAX_INPUT_SIZE} pixels on a side")
        if info.pixels != PIXELS_VERSION:
            raise ValueError(f"its input requires version {info.pixels} of the pixel preprocessing, not "
                             f"{PIXELS_VERSION}")
        return info


@dataclass(frozen=True)
class NodeNames:
    """The section about the nodes of the frozen graph.

    Attributes:
        input: The name of the input node.
        output: The name of the node with the probabilities.
    """

    input: str
    output: str

    @classmethod
    def from_dict(cls, values: Any) -> NodeNames:
        """Read the section "nodes"."""
        fields = FieldReader("nodes", values)
        return cls(fields.text("input"), fields.text("output"))


@dataclass(frozen=True)
class NetworkInfo:
    """The section about the network before the head.

    Attributes:
        kind: "frozen_features", "fine_tuned", "from_scratch" or "wrapped".
        handle: The handle of the network, as the user entered it.
        digest: The digest of its weights, input size and pixel version.
        fine_tuning: The result of fine-tuning as a sentence; "" without fine-tuning.
    """

    kind: str
    handle: str
    digest: str
    fine_tuning: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the section "network", without `fine_tuning` if it is empty."""
        return {name: value for name, value in asdict(self).items() if name != "fine_tuning" or value}

    @classmethod
    def from_dict(cls, values: Any) -> NetworkInfo:
        """Read the section "network"."""
        fields = FieldReader("network", values)
        return cls(fields.text("kind"), fields.text("handle"), fields.text("digest"),
                   fields.text("fine_tuning") if "fine_tuning" in values else "")


@dataclass(frozen=True)
class HeadInfo:
    """The section about the head.

    Attributes:
        solver: The name of the solver that trained it.
        temperature: The divisor of the logits before the softmax. The weights in the files are already divided by it.
        details: Additional fields of the solver.
    """

    solver: str
    temperature: float
    details: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the section "head", with the details merged into it."""
        return {"solver": self.solver, "temperature": self.temperature, **self.details}

    @classmethod
    def from_dict(cls, values: Any) -> HeadInfo:
        """Read the section "head"."""
        fields = FieldReader("head", values)
        temperature = fields.number("temperature") if "temperature" in values else 1.0
        return cls(fields.text("solver"), temperature,
                   {name: value for name, value in values.items() if name not in ("solver", "temperature")})


@dataclass(frozen=True)
class RepeatedScenes:
    """The section about test photos that show the same scenes as training photos (frames of one video, bursts).

    Attributes:
        compared: The number of test photos that were compared with the training photos.
        repeated: How many of them show the same scene as a training photo.
        accuracy: The accuracy on the others, 0 to 1; None if there are none.
        interval: The 95% interval of that accuracy, or None.
        group_pattern: The option `group_pattern` that would keep the scenes together; "" if the file names
            follow no such pattern.
    """

    compared: int
    repeated: int
    accuracy: float | None
    interval: tuple[float, float] | None
    group_pattern: str = ""

    @classmethod
    def from_dict(cls, values: Any) -> RepeatedScenes:
        """Read the section "test.repeated_scenes"."""
        fields, has_accuracy = FieldReader("test.repeated_scenes", values), values.get("accuracy") is not None
        return cls(fields.integer("compared"), fields.integer("repeated"),
                   fields.number("accuracy", 0, 1) if has_accuracy else None,
                   fields.interval("interval") if has_accuracy else None, fields.text("group_pattern"))


@dataclass(frozen=True)
class EvaluationInfo:
    """The section about the evaluation on the test photos, which were not used for training.

    Attributes:
        accuracy: The fraction of correctly labelled photos, 0 to 1.
        interval: The 95% interval of the accuracy: Wilson's, or clustered if the photos are in groups.
        count: The number of photos.
        cross_entropy: The mean cross-entropy, in nats.
        expected_calibration_error: 0 to 1.
        groups: The number of groups of photos; None if the user defined none.
        repeated_scenes: The section about test photos that show the same scenes as training photos; None if there are
            hardly any, or if this is not known.
    """

    accuracy: float
    interval: tuple[float, float]
    count: int
    cross_entropy: float
    expected_calibration_error: float
    groups: int | None = None
    repeated_scenes: RepeatedScenes | None = None

    @classmethod
    def from_dict(cls, values: Any) -> EvaluationInfo:
        """Read the section "test"."""
        fields = FieldReader("test", values)
        return cls(fields.number("accuracy", 0, 1), fields.interval("interval"), fields.integer("count", 1),
                   fields.number("cross_entropy"), fields.number("expected_calibration_error", 0, 1),
                   fields.optional_integer("groups", 1),
                   None if values.get("repeated_scenes") is None else
                   RepeatedScenes.from_dict(values["repeated_scenes"]))


@dataclass(frozen=True)
class RejectOption:
    """The section about the reject option, which labels photos as unknown.

    Attributes:
        threshold: The score above which a photo is labelled unknown.
        coverage: The fraction of the validation photos that are not labelled unknown, 0 to 1.
        references: The number of training bottlenecks with which a photo is compared.
        test: `Rejection.to_dict()` of the test photos, or None.
    """

    threshold: float
    coverage: float
    references: int
    test: dict[str, Any] | None = None

    @classmethod
    def from_dict(cls, values: Any) -> RejectOption:
        """Read the section "unknown"."""
        fields = FieldReader("unknown", values)
        return cls(fields.number("threshold"), fields.number("coverage", 0, 1), fields.integer("references"),
                   fields.object("test"))


@dataclass(frozen=True)
class CrossValidation:
    """The section about a cross-validation over all photos.

    Attributes:
        folds: The number of folds.
        accuracy: The fraction of correctly labelled photos, 0 to 1.
        interval: The 95% interval of the accuracy: Wilson's, or clustered if the photos are in groups.
        count: The number of photos.
        spread: The standard deviation of the accuracy over the folds.
        groups: The number of groups of photos; None if the user defined none.
    """

    folds: int
    accuracy: float
    interval: tuple[float, float]
    count: int
    spread: float
    groups: int | None = None

    @classmethod
    def from_dict(cls, values: Any) -> CrossValidation:
        """Read the section "cross_validation"."""
        fields = FieldReader("cross_validation", values)
        return cls(fields.integer("folds", 1), fields.number("accuracy", 0, 1), fields.interval("interval"),
                   fields.integer("count", 1), fields.number("spread"),
                   fields.optional_integer("groups", 1))
