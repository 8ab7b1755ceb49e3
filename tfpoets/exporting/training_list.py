"""The section of the metadata about the split, and the list of the photos that a classifier was trained on.

The list is part of the section, or a file beside the classifier if there are many photos.
"""
from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfpoets.errors import ModelError
from tfpoets.graphs import read_model_file
from tfpoets.publication import pending_path, published_folder

from .metadata_sections import FieldReader

if TYPE_CHECKING:
    from .metadata import Metadata

# The number of hexadecimal digits of each photo's digest that are stored. With 10 digits and a million training
# photos, about one in a million new photos is mistaken for a training photo.
DIGEST_PREFIX_LENGTH = 10
# More digests are stored in a file of their own. Inside the metadata, this many have 200 kB, in each of its copies.
MAX_DIGESTS_IN_METADATA = 20_000
TRAINING_LIST_SUFFIX = ".trained_on.txt"
# A list of 90 million photos.
MAX_LIST_BYTES = 1 << 30


@dataclass(frozen=True)
class TrainingList:
    """The field of the metadata about the file with the list.

    The file is in the same folder as the classifier. It has one line for each training or validation photo, the first
    DIGEST_PREFIX_LENGTH digits of its digest, in ascending order.

    Attributes:
        name: The name of the file.
        sha256: The SHA-256 of its content.
    """

    name: str
    sha256: str

    @classmethod
    def from_dict(cls, values: Any) -> TrainingList:
        """Read the field "split.trained_on_file"."""
        if not isinstance(values, dict) or not all(isinstance(values.get(key), str) for key in ("name", "sha256")):
            raise ValueError("its split.trained_on_file has no name and hash")
        name = values["name"]
        if Path(name).name != name or "\0" in name or not name.endswith(TRAINING_LIST_SUFFIX):  # of another person
            raise ValueError("its split.trained_on_file is not the name of a list of photos")
        return cls(name, values["sha256"])


@dataclass(frozen=True)
class SplitInfo:
    """The section about the split of the photos.

    Attributes:
        seed: The seed of the split.
        digest: The digest of the photos and their parts.
        counts: The number of photos in each part, by name.
        trained_on: The first DIGEST_PREFIX_LENGTH digits of the digests of all training and validation photos, joined;
            "" if they are in a file.
        trained_on_file: The file that contains them instead, or None.
    """

    seed: int
    digest: str
    counts: dict[str, int]
    trained_on: str = ""
    trained_on_file: TrainingList | None = None

    @property
    def states_photos(self) -> bool:
        """Whether it is known which photos the classifier was trained on."""
        return bool(self.trained_on or self.trained_on_file)

    def to_dict(self) -> dict[str, Any]:
        """Return the section "split", without `trained_on_file` if there is none."""
        return {name: value for name, value in asdict(self).items() if name != "trained_on_file" or value}

    @classmethod
    def from_dict(cls, values: Any) -> SplitInfo:
        """Read the section "split"."""
        fields = FieldReader("split", values)
        counts = FieldReader("split.counts", fields.object("counts"))
        file = values.get("trained_on_file")
        return cls(fields.integer("seed", -math.inf), fields.text("digest"),
                   {name: counts.integer(name) for name in values["counts"]},
                   fields.text("trained_on") if "trained_on" in values else "",
                   None if file is None else TrainingList.from_dict(file))


def separate_list(metadata: Metadata, stem: str) -> tuple[Metadata, bytes | None]:
    """Return metadata for a classifier with the name `stem`, and the content of the file with the list.

    If there are at most MAX_DIGESTS_IN_METADATA photos, the metadata is returned unchanged, without a file.

    Raises:
        ModelError: The list is in a file already, which is missing or damaged.
    """
    split = metadata.split
    if split is None:
        return metadata, None
    if split.trained_on_file is not None:
        content = read_list(split.trained_on_file, metadata.folder)
    elif len(split.trained_on) > MAX_DIGESTS_IN_METADATA * DIGEST_PREFIX_LENGTH:
        content = _to_lines(split.trained_on)
    else:
        return metadata, None
    name = f"{stem}{TRAINING_LIST_SUFFIX}"
    reference = TrainingList(name, hashlib.sha256(content).hexdigest())
    return replace(metadata, split=replace(split, trained_on="", trained_on_file=reference)), content


def training_mask(metadata: Metadata, digests: Sequence[str]) -> list[bool]:
    """Return for each digest (see `photo_digest`) whether its photo was used for training or validation.

    Raises:
        ModelError: The file with the list is missing or damaged.
    """
    split = metadata.split
    if split is None or not digests:
        return [False] * len(digests)
    content = (read_list(split.trained_on_file, metadata.folder) if split.trained_on_file
               else _to_lines(split.trained_on))
    stored = np.frombuffer(content, f"S{DIGEST_PREFIX_LENGTH + 1}")
    lines = np.array([f"{digest[:DIGEST_PREFIX_LENGTH]}\n" for digest in digests], stored.dtype)
    positions = np.searchsorted(stored, lines)
    return [bool(position < len(stored) and stored[position] == line) for position, line in zip(positions, lines)]


def read_list(reference: TrainingList, folder: Path | None) -> bytes:
    """Return the content of the file with the list.

    Args:
        reference: The name and hash of the file.
        folder: The folder of the classifier, or a staging folder in it; None stands for the current folder.

    Raises:
        ModelError: The file is missing, or is not the one that was written with the classifier.
    """
    path = published_folder(folder or Path()) / reference.name
    # While the files of a classifier are replaced, the new list can still be in the staging folder.
    candidates = [file for file in (pending_path(path), path) if file is not None and file.is_file()]
    for file in candidates:
        content = read_model_file(file, MAX_LIST_BYTES)
        if hashlib.sha256(content).hexdigest() == reference.sha256 and not len(content) % (DIGEST_PREFIX_LENGTH + 1):
            return content
    if candidates:
        raise ModelError(f"{path} is not the list of training photos that was written with this classifier.",
                         "Keep the files of a run together: a later run with the same `output_graph` replaces them.")
    raise ModelError(f"The list of the photos that the classifier was trained on is missing: there is no {path}.",
                     "Copy it from the folder in which the classifier was written.")


def _to_lines(digests: str) -> bytes:
    """Return joined prefixes of digests as lines; a damaged end is ignored."""
    content = digests.encode("ascii", "replace")
    digits = np.frombuffer(content[:len(content) // DIGEST_PREFIX_LENGTH * DIGEST_PREFIX_LENGTH], np.uint8)
    rows = np.sort(digits.reshape(-1, DIGEST_PREFIX_LENGTH).view(f"S{DIGEST_PREFIX_LENGTH}"), axis=0)
    rows = rows.view(np.uint8).reshape(-1, DIGEST_PREFIX_LENGTH)
    return np.pad(rows, ((0, 0), (0, 1)), constant_values=ord("\n")).tobytes()
