"""What a classifier says of itself: labels, input, how it was made and how good it is, as JSON beside its files."""
from __future__ import annotations

import json
from collections.abc import Iterable, Sequence, Set
from dataclasses import asdict, dataclass, field
from typing import Any

from tfpoets import __version__
from tfpoets.data import PIXELS_VERSION, Dataset
from tfpoets.errors import ModelError, one_line
from tfpoets.evaluation import Metrics, Rejection
from tfpoets.extractors import INPUT_NODE, Extractor
from tfpoets.training import Fit, NetworkFit, UnknownScore

FORMAT = "poets-classifier-1"
# What a photo is called that is like no training photo.
UNKNOWN_LABEL = "unknown"
# Hexadecimal digits kept of a photo's digest: among a million photos and a million strangers about one is confused.
KNOWN_DIGITS = 10


@dataclass(frozen=True)
class Metadata:
    """Everything that is stored with a classifier.

    Attributes:
        labels: in output order.
        input: `height` and `width` in pixels, `pixels`: version of the pixel contract.
        nodes: names of the frozen graph's `input` and `output`.
        network: `kind`, `handle` and `digest` of the extractor; `fine_tuning`: where that was tried, what came of it.
        head: `solver`, `temperature`, and what else the solver has to say.
        unknown: the reject option: photos with a score above `threshold` are called unknown; `coverage` of the
            validation photos are not. None without.
        split: `seed`, `digest` and `counts` of the photos; `trained_on`: the first
            KNOWN_DIGITS of the digest of every photo that trained or chose, one after the other.
        cross_validation: `folds`, `accuracy`, `interval`, `count` and `spread` (standard deviation over the folds), or
            None.
        test: `accuracy`, `interval`, `count`, `cross_entropy` and `expected_calibration_error` of the final
            evaluation, or None where no photo was kept for it.
        files: SHA-256 of each exported file, by name.
        made_with: versions of what took part.
        options: how it was made; the names of classifiers that version f862d5e wrote are those of flags.
    """

    labels: list[str]
    input: dict[str, int]
    nodes: dict[str, str]
    network: dict[str, Any]
    head: dict[str, Any]
    split: dict[str, Any]
    test: dict[str, Any] | None
    unknown: dict[str, Any] | None = None
    cross_validation: dict[str, Any] | None = None
    files: dict[str, str] = field(default_factory=dict)
    made_with: dict[str, str] = field(default_factory=lambda: versions())
    options: dict[str, Any] = field(default_factory=dict)
    format: str = FORMAT

    def to_json(self) -> str:
        """As indented JSON."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, source: str) -> Metadata:
        """Reads and checks metadata; `source` names it in messages.

        Raises:
            ModelError: it is not JSON, of another format, or lacks something.
        """
        try:
            read = json.loads(text)
            if not isinstance(read, dict) or read.get("format") != FORMAT:
                raise ValueError(f"its format is not {FORMAT}")
            if "flags" in read:  # as version f862d5e wrote it
                read["options"] = read.pop("flags")
            metadata = cls(**read)
            metadata._check()
            return metadata
        except (ValueError, TypeError, KeyError) as error:
            raise ModelError(f"The metadata of {source} cannot be used: {one_line(error)}",
                             "Run retrain again to write the classifier anew.") from error

    @property
    def unknown_threshold(self) -> float | None:
        """Photos with a higher score are called unknown; None where the classifier has no such score."""
        return self.unknown["threshold"] if self.unknown else None

    def were_trained_on(self, digests: Sequence[str]) -> list[bool]:
        """Whether each photo (`photo_digest`) trained the classifier or helped to choose it."""
        known = self.split.get("trained_on", "")
        starts = {known[start:start + KNOWN_DIGITS] for start in range(0, len(known), KNOWN_DIGITS)}
        return [digest[:KNOWN_DIGITS] in starts for digest in digests]

    def _check(self) -> None:
        if len(self.labels) < 2 or not all(isinstance(label, str) for label in self.labels):
            raise ValueError("its labels are not a list of names")
        if not all(isinstance(self.input[side], int) and self.input[side] > 0 for side in ("height", "width")):
            raise ValueError("its input size is not given in pixels")
        if self.input["pixels"] != PIXELS_VERSION:
            raise ValueError(f"it takes pixels version {self.input['pixels']}, not {PIXELS_VERSION}")
        for name in ("input", "output"):
            if not isinstance(self.nodes[name], str):
                raise ValueError(f"its {name} node has no name")
        if self.unknown is not None and not all(isinstance(self.unknown[name], (int, float))
                                                for name in ("threshold", "coverage")):
            raise ValueError("its threshold for unknown photos is not a number")


def describe_classifier(extractor: Extractor, dataset: Dataset, fit: Fit, test: Metrics | None,
                        unknown: UnknownScore | None = None,
                        final_tensor_name: str = "final_result", options: dict[str, Any] | None = None,
                        rejection: Rejection | None = None, cross_validation: dict[str, Any] | None = None,
                        fine_tuning: str = "", trained_on: Set[str] = frozenset()) -> Metadata:
    """The metadata of a classifier that is about to be exported.

    Args:
        extractor, dataset, fit: what it was made of.
        unknown: the reject option, or None.
        test: the final evaluation, or None where no photo was kept for it.
        final_tensor_name: of the graph's result.
        options: what else is worth remembering of how it was made.
        rejection: the test of the reject option, or None.
        cross_validation: as in Metadata.
        fine_tuning: what came of it where it was tried.
        trained_on: digests of photos that trained or chose and are in the split no more.
    """
    split = dataset.split
    assert split is not None
    return Metadata(
        labels=list(dataset.labels),
        input={"height": extractor.height, "width": extractor.width, "pixels": PIXELS_VERSION},
        nodes={"input": INPUT_NODE, "output": final_tensor_name},
        network={"kind": fit.name if isinstance(fit, NetworkFit) else "frozen_features",
                 "handle": extractor.handle, "digest": extractor.digest,
                 **({"fine_tuning": fine_tuning} if fine_tuning else {})},
        head=fit.description(),
        unknown=None if unknown is None else {
            "threshold": unknown.threshold, "coverage": unknown.coverage,
            "references": len(unknown.references), "test": rejection and rejection.to_dict()},
        split={"seed": split.seed, "digest": split.digest, "counts": split.counts(),
               "trained_on": _joined(split.known(dataset.photos) | trained_on)},
        cross_validation=cross_validation,
        test=None if test is None else {
            "accuracy": test.accuracy, "interval": list(test.interval), "count": test.count,
            "cross_entropy": test.cross_entropy, "expected_calibration_error": test.expected_calibration_error},
        options=options or {})


def _joined(digests: Iterable[str]) -> str:
    return "".join(sorted({digest[:KNOWN_DIGITS] for digest in digests}))


def versions() -> dict[str, str]:
    """The versions of the libraries that decide what a classifier answers."""
    import importlib.metadata  # here, because label_image starts without them
    import platform
    found = {"tfpoets": __version__, "python": platform.python_version()}
    for package in ("tensorflow", "ai-edge-litert", "numpy", "scipy", "pillow"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
