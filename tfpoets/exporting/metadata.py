"""Classifier metadata: labels, input, training and evaluation, as JSON next to or inside the classifier's files."""
from __future__ import annotations

import json
from collections.abc import Iterable, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfpoets import __version__
from tfpoets.errors import ModelError, one_line
from tfpoets.extractors import INPUT_NODE
from tfpoets.graphs import read_model_file

from .decision_sections import CostTable, UnsureOption
from .metadata_sections import (CrossValidation, EvaluationInfo, FieldReader, HeadInfo, InputInfo, NetworkInfo,
                                NodeNames, RejectOption, RepeatedScenes, Section, is_text)
from .training_list import DIGEST_PREFIX_LENGTH, SplitInfo, training_mask

if TYPE_CHECKING:
    from tfpoets.data import Dataset
    from tfpoets.evaluation import Metrics
    from tfpoets.extractors import Extractor

# The schema version is increased when an earlier version of tfpoets would misread a file, but not when a section is
# added.
FORMAT, MIN_SCHEMA_VERSION, SCHEMA_VERSION = "tfpoets-classifier", 2, 3
# Metadata without a file with the list of the training photos, which older versions would not look for.
SCHEMA_VERSION_WITHOUT_LIST = 2
# The format of schema version 1, which has no field for its version. Version f862d5e of tfpoets wrote "flags" instead
# of "options".
VERSION_1_FORMAT = "poets-classifier-1"
RETRAIN_REMEDY = "Run `tfpoets retrain` to write the classifier's files again."
# The label of photos that are unlike all training photos.
UNKNOWN_LABEL = "unknown"
# Earlier versions stored about 10 bytes for each training photo in the metadata, whatever their number.
MAX_METADATA_BYTES = 1 << 26


@dataclass(frozen=True)
class Metadata:
    """The metadata of a classifier.

    Attributes:
        labels: The labels in output order.
        input: The section about the input.
        nodes: The names of the graph's input and output nodes.
        network: The section about the network.
        head: The section about the head.
        split: The section about the split of the photos; None for a network that was trained elsewhere.
        test: The section about the evaluation on the test photos; None without test photos.
        unknown: The section about the reject option; None without one.
        unsure: The section about answers that are left to a person; None if every photo gets an answer.
        costs: The section about the costs of wrong answers; None if all of them cost the same.
        cross_validation: The section about the cross-validation; None without one.
        files: The SHA-256 of each exported file, by file name.
        made_with: The versions of Python and of the libraries.
        options: The options of the retrain run. Version f862d5e stored them under the names of flags.
        flags: The flags of the command that made the classifier: text, a list of texts, or true, by name. Only the
            .json next to the graph contains them; see `embedded_json`.
        folder: The folder of the file that the metadata was read from; not part of the JSON.
    """

    labels: list[str]
    input: InputInfo
    nodes: NodeNames
    network: NetworkInfo
    head: HeadInfo
    split: SplitInfo | None = None
    test: EvaluationInfo | None = None
    unknown: RejectOption | None = None
    unsure: UnsureOption | None = None
    costs: CostTable | None = None
    cross_validation: CrossValidation | None = None
    files: dict[str, str] = field(default_factory=dict)
    made_with: dict[str, str] = field(default_factory=lambda: library_versions())
    options: dict[str, Any] = field(default_factory=dict)
    flags: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = field(default=None, compare=False)

    def embedded_json(self) -> str:
        """Return the JSON for a file that contains the metadata itself, such as a .tflite; it has no flags."""
        return replace(self, flags={}).to_json()

    def to_json(self) -> str:
        """Return the metadata as indented JSON."""
        has_list = self.split is not None and self.split.trained_on_file is not None
        version = SCHEMA_VERSION if has_list else SCHEMA_VERSION_WITHOUT_LIST
        values = {"format": FORMAT, "schema_version": version, **asdict(self),
                  "network": self.network.to_dict(), "head": self.head.to_dict(),
                  "split": self.split and self.split.to_dict()}
        del values["folder"]
        if not self.flags:
            del values["flags"]
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_file(cls, path: Path, source: str = "") -> Metadata:
        """Read and check the metadata in a file; see `from_json`.

        Args:
            path: The path of the file.
            source: The name in messages, if not that of the file.
        """
        metadata = cls.from_json(read_model_file(path, MAX_METADATA_BYTES), source or str(path))
        return replace(metadata, folder=path.parent)

    @classmethod
    def from_json(cls, text: str | bytes, source: str) -> Metadata:
        """Read and check metadata.

        Args:
            text: The JSON text.
            source: The file that contains it, for messages.

        Raises:
            ModelError: The text is not JSON, has a different format or a newer version, or a part of it is missing or
                malformed.
        """
        try:
            return _from_dict(json.loads(text), source)
        except (ValueError, RecursionError) as error:
            from tfpoets.graphs import identify_file  # imported here because label_image does not need it
            kind = identify_file(text.encode() if isinstance(text, str) else text)
            if kind is not None and kind.is_placeholder:
                raise ModelError(f"{source} {kind.description}.", kind.classifier_remedy) from error
            raise ModelError(f"The metadata of {source} cannot be used: {one_line(error)}", RETRAIN_REMEDY) from error

    @property
    def unknown_threshold(self) -> float | None:
        """The score above which a photo is labelled unknown; None if the classifier has no such score."""
        return self.unknown.threshold if self.unknown else None

    @property
    def n_outputs(self) -> int:
        """The number of outputs for each photo: the probabilities, and the unknown score if there is one."""
        return len(self.labels) + (self.unknown is not None)

    def training_digest_mask(self, digests: Sequence[str]) -> list[bool]:
        """Return for each digest whether its photo was used for training or validation; see `training_mask`."""
        return training_mask(self, digests)


def _from_dict(values: Any, source: str) -> Metadata:
    """Return the metadata for parsed JSON; raise a ValueError if a field is missing or invalid."""
    values = _upgrade(values, source)
    labels = values.get("labels")
    if not isinstance(labels, list) or len(labels) < 2 or not all(is_text(label) for label in labels):
        raise ValueError("its labels are not a list of at least two strings")

    def optional(section: type[Section], name: str) -> Any:
        """Return a section, or None if it is missing or null."""
        return None if values.get(name) is None else section.from_dict(values[name])

    return Metadata(
        labels=labels, input=InputInfo.from_dict(values.get("input")), nodes=NodeNames.from_dict(values.get("nodes")),
        network=NetworkInfo.from_dict(values.get("network")), head=HeadInfo.from_dict(values.get("head")),
        split=optional(SplitInfo, "split"), test=optional(EvaluationInfo, "test"),
        unknown=optional(RejectOption, "unknown"), unsure=optional(UnsureOption, "unsure"),
        costs=None if values.get("costs") is None else CostTable.from_dict(values["costs"], len(labels)),
        cross_validation=optional(CrossValidation, "cross_validation"),
        files=_read_strings("files", values.get("files", {})),
        made_with=_read_strings("made_with", values.get("made_with", {})),
        options=FieldReader("metadata", values).object("options") or {},
        flags=FieldReader("metadata", {"flags": {}, **values}).object("flags") or {})


def _upgrade(values: Any, source: str) -> dict[str, Any]:
    """Convert metadata of any schema version to the current one, and check the version.

    Unknown sections are ignored, because a later version may have added them.
    """
    if not isinstance(values, dict) or values.get("format") not in (FORMAT, VERSION_1_FORMAT):
        raise ValueError(f"its format is not {FORMAT}")
    sections = {"options": {}, **values}
    version = sections.pop("schema_version", None)
    if sections.pop("format") == VERSION_1_FORMAT:
        if "flags" in sections:
            sections["options"] = sections.pop("flags")
        if sections.get("split") == {}:  # a network that was trained elsewhere
            sections["split"] = None
        return sections
    if not isinstance(version, int) or version < MIN_SCHEMA_VERSION:
        raise ValueError(f"its schema version is not a whole number of at least {MIN_SCHEMA_VERSION}")
    if version > SCHEMA_VERSION:
        raise ModelError(f"The metadata of {source} has schema version {version}, but this version of tfpoets "
                         f"supports at most version {SCHEMA_VERSION}.", "Install a newer version of tfpoets.")
    return sections


def _read_strings(section: str, values: Any) -> dict[str, str]:
    fields = FieldReader(section, values)
    return {name: fields.text(name) for name in values}


def describe_classifier(extractor: Extractor, dataset: Dataset, head: HeadInfo,
                        final_tensor_name: str = "final_result", **sections: Any) -> Metadata:
    """Return the metadata of a classifier to export.

    Args:
        extractor: The extractor of the bottlenecks.
        dataset: The dataset that the classifier was trained and tested on, with its split.
        head: The section about the head.
        final_tensor_name: The name of the graph's output node.
        sections: Additional sections, and sections that replace the ones derived from the other arguments.
    """
    metadata = Metadata(list(dataset.labels), InputInfo(extractor.height, extractor.width),
                        NodeNames(INPUT_NODE, final_tensor_name),
                        NetworkInfo("frozen_features", extractor.handle, extractor.digest), head, split_info(dataset))
    return replace(metadata, **sections)


def split_info(dataset: Dataset, trained_on: Set[str] = frozenset()) -> SplitInfo:
    """Return the section about the split of a dataset.

    Args:
        dataset: The dataset with its split.
        trained_on: Digests of training and validation photos that are no longer in the dataset.
    """
    split = dataset.split
    assert split is not None
    seen = split.seen_digests(dataset.photos)
    return SplitInfo(split.seed, split.digest, split.counts(), _join_prefixes(seen | trained_on))


def evaluation_info(metrics: Metrics, repeated_scenes: RepeatedScenes | None = None) -> EvaluationInfo:
    """Return the section about the evaluation on the test photos."""
    return EvaluationInfo(metrics.accuracy, metrics.interval, metrics.count, metrics.cross_entropy,
                          metrics.expected_calibration_error, metrics.n_groups, repeated_scenes)


def _join_prefixes(digests: Iterable[str]) -> str:
    return "".join(sorted({digest[:DIGEST_PREFIX_LENGTH] for digest in digests}))


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that affect a classifier's predictions."""
    import importlib.metadata  # imported here because label_image does not need them
    import platform
    versions = {"tfpoets": __version__, "python": platform.python_version()}
    for package in ("tensorflow", "ai-edge-litert", "numpy", "scipy", "pillow"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
