"""What a classifier says of itself: labels, input, how it was made and how good it is, as JSON beside its files."""
from __future__ import annotations

import json
from collections.abc import Iterable, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tfpoets import __version__
from tfpoets.errors import ModelError, one_line
from tfpoets.extractors import INPUT_NODE

from .metadata_sections import (CrossValidation, Fields, HeadInfo, InputInfo, NetworkInfo, NodeNames, RejectOption, Section,
                                SplitInfo, EvaluationInfo, is_text)

if TYPE_CHECKING:
    from tfpoets.data import Dataset
    from tfpoets.evaluation import Metrics
    from tfpoets.extractors import Extractor

# The schema version grows where an earlier program would misread a file; one that only adds sections stays readable.
FORMAT, FIRST_VERSION, SCHEMA_VERSION = "tfpoets-classifier", 2, 2
# Version 1: without a schema version; "flags" instead of "options" in what version f862d5e wrote.
OLD_FORMAT = "poets-classifier-1"
RETRAIN_REMEDY = "Run `tfpoets retrain` to write the classifier's files anew."
# What a photo is called that is like no training photo.
UNKNOWN_LABEL = "unknown"
# Hexadecimal digits kept of a photo's digest: among a million photos and a million strangers about one is confused.
KNOWN_DIGITS = 10


@dataclass(frozen=True)
class Metadata:
    """Everything that is stored with a classifier.

    Attributes:
        labels: in output order.
        input, nodes, network, head: of the classifier.
        split: of the photos; None for a network that was trained elsewhere.
        test: the final evaluation; None where no photo was kept for it.
        unknown: the reject option; None without one.
        cross_validation: None where there was none.
        files: SHA-256 of each exported file, by name.
        made_with: versions of what took part.
        options: how it was made; the names of classifiers that version f862d5e wrote are those of flags.
    """

    labels: list[str]
    input: InputInfo
    nodes: NodeNames
    network: NetworkInfo
    head: HeadInfo
    split: SplitInfo | None = None
    test: EvaluationInfo | None = None
    unknown: RejectOption | None = None
    cross_validation: CrossValidation | None = None
    files: dict[str, str] = field(default_factory=dict)
    made_with: dict[str, str] = field(default_factory=lambda: versions())
    options: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the metadata as indented JSON."""
        values = {"format": FORMAT, "schema_version": SCHEMA_VERSION, **asdict(self),
                  "network": self.network.to_dict(), "head": self.head.to_dict()}
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, source: str) -> Metadata:
        """Read and check metadata; `source` names it in messages.

        Raises:
            ModelError: it is not JSON, of another format, of a newer version, or a part of it is missing or malformed.
        """
        try:
            return _from_dict(json.loads(text), source)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"The metadata of {source} cannot be used: {one_line(error)}",
                             "Run retrain again to write the classifier anew.") from error

    @property
    def unknown_threshold(self) -> float | None:
        """Photos with a higher score are called unknown; None where the classifier has no such score."""
        return self.unknown.threshold if self.unknown else None

    def training_digest_mask(self, digests: Sequence[str]) -> list[bool]:
        """Return whether each photo (`photo_digest`) trained the classifier or helped to choose it."""
        known = self.split.trained_on if self.split else ""
        starts = {known[start:start + KNOWN_DIGITS] for start in range(0, len(known), KNOWN_DIGITS)}
        return [digest[:KNOWN_DIGITS] in starts for digest in digests]


def _from_dict(values: Any, source: str) -> Metadata:
    values = _upgraded(values, source)
    labels = values.get("labels")
    if not isinstance(labels, list) or len(labels) < 2 or not all(is_text(label) for label in labels):
        raise ValueError("its labels are not a list of at least two texts")

    def optional(section: type[Section], name: str) -> Any:
        return None if values.get(name) is None else section.from_dict(values[name])

    return Metadata(
        labels=labels, input=InputInfo.from_dict(values.get("input")), nodes=NodeNames.from_dict(values.get("nodes")),
        network=NetworkInfo.from_dict(values.get("network")), head=HeadInfo.from_dict(values.get("head")),
        split=optional(SplitInfo, "split"), test=optional(EvaluationInfo, "test"),
        unknown=optional(RejectOption, "unknown"),
        cross_validation=optional(CrossValidation, "cross_validation"),
        files=_texts("files", values.get("files", {})), made_with=_texts("made_with", values.get("made_with", {})),
        options=Fields("metadata", values).object("options") or {})


def _upgraded(values: Any, source: str) -> dict[str, Any]:
    """Return the sections of any version of the format as the current version has them.

    Sections that are not known are passed over: a later version may have added them.
    """
    if not isinstance(values, dict) or values.get("format") not in (FORMAT, OLD_FORMAT):
        raise ValueError(f"its format is not {FORMAT}")
    sections = {"options": {}, **values}
    version = sections.pop("schema_version", None)
    if sections.pop("format") == OLD_FORMAT:
        if "flags" in sections:
            sections["options"] = sections.pop("flags")
        if sections.get("split") == {}:  # of a network that was trained elsewhere
            sections["split"] = None
        return sections
    if not isinstance(version, int) or version < FIRST_VERSION:
        raise ValueError(f"its schema version is not a whole number of at least {FIRST_VERSION}")
    if version > SCHEMA_VERSION:
        raise ModelError(f"The metadata of {source} has schema version {version}, and this version of tfpoets reads "
                         f"versions up to {SCHEMA_VERSION}.", "Install a newer version of tfpoets.")
    return sections


def _texts(name: str, values: Any) -> dict[str, str]:
    section = Fields(name, values)
    return {key: section.text(key) for key in values}


def describe_classifier(extractor: Extractor, dataset: Dataset, head: HeadInfo,
                        final_tensor_name: str = "final_result", **sections: Any) -> Metadata:
    """Return the metadata of a classifier that is about to be exported.

    Args:
        extractor: what it looks through.
        dataset: what it was trained on and tested on.
        head: how its head was found.
        final_tensor_name: of the graph's result.
        sections: further sections of the metadata, or others instead of those that follow from the arguments above.
    """
    metadata = Metadata(list(dataset.labels), InputInfo(extractor.height, extractor.width),
                        NodeNames(INPUT_NODE, final_tensor_name),
                        NetworkInfo("frozen_features", extractor.handle, extractor.digest), head, split_info(dataset))
    return replace(metadata, **sections)


def split_info(dataset: Dataset, trained_on: Set[str] = frozenset()) -> SplitInfo:
    """Return the section about a dataset's split.

    Args:
        dataset: with its split.
        trained_on: digests of photos that trained or chose and are in the dataset no more.
    """
    split = dataset.split
    assert split is not None
    return SplitInfo(split.seed, split.digest, split.counts(), _joined(split.known(dataset.photos) | trained_on))


def evaluation_info(metrics: Metrics) -> EvaluationInfo:
    """Return the section about the final evaluation."""
    return EvaluationInfo(metrics.accuracy, metrics.interval, metrics.count, metrics.cross_entropy,
                       metrics.expected_calibration_error)


def _joined(digests: Iterable[str]) -> str:
    return "".join(sorted({digest[:KNOWN_DIGITS] for digest in digests}))


def versions() -> dict[str, str]:
    """Return the versions of the libraries that decide what a classifier answers."""
    import importlib.metadata  # here, because label_image starts without them
    import platform
    found = {"tfpoets": __version__, "python": platform.python_version()}
    for package in ("tensorflow", "ai-edge-litert", "numpy", "scipy", "pillow"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
