"""Photos with their labels, and what is found out about each of them, as one table."""
from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from tfpoets.errors import DataError

from .decode import read_photo
from .local_files import LOCAL_FILES, FileReader

if TYPE_CHECKING:
    from .split import Split


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo of a dataset.

    Attributes:
        uri: where it is; the path of a local file, or whatever its source calls it.
        label: its class.
        digest: BLAKE2b-128 of the file's bytes as 32 hexadecimal digits; empty until the file has been read.
        group: photos with the same group never part in a split; empty for none.
        part: "test" for a photo that is kept for the final test; empty where the split decides.
        source: what reads it.
    """

    uri: str
    label: str
    digest: str = ""
    group: str = ""
    part: str = ""
    source: FileReader = field(default=LOCAL_FILES, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The last part of the URI: the name of the file."""
        return os.path.basename(self.uri)

    @property
    def folder(self) -> str:
        """The URI without the name."""
        return os.path.dirname(self.uri)

    def open(self) -> BinaryIO:
        """Open the photo's file for reading; raise PhotoError where that is not possible."""
        return self.source.open(self.uri)

    def read(self) -> bytes:
        """Return the bytes of the photo's file; raise PhotoError where that is not possible."""
        with self.open() as file:
            return read_photo(file)


@dataclass(frozen=True, eq=False)
class Examples:
    """What a head is fitted to or tested on.

    Attributes:
        X: float32 [n, depth], bottlenecks; of depth 0 where there are none.
        y: int64 [n], the true classes, 0 to n_classes - 1.
        n_classes: the number of classes.
        photos: those that the rows belong to; empty for arrays from elsewhere.
        augmented: float32 [n, count, depth], bottlenecks of augmented views of each photo, or None.
    """

    X: np.ndarray
    y: np.ndarray
    n_classes: int
    photos: tuple[Photo, ...] = ()
    augmented: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    def select(self, mask: np.ndarray) -> Examples:
        """Return the rows where bool [n] is true."""
        return replace(self, X=self.X[mask], y=self.y[mask],
                       photos=tuple(photo for photo, keep in zip(self.photos, mask) if keep),
                       augmented=None if self.augmented is None else self.augmented[mask])


@dataclass(frozen=True, eq=False)
class Dataset:
    """Photos with their labels, ordered by label and then by file name: a table with one row for each photo.

    Reading the photos fills in `hashes`, extraction `X`, and `split_photos` `split`. `only` takes rows out of all of
    them together.

    Attributes:
        location: where the photos come from, as it was given.
        labels: the classes in sorted order: the order of every classifier's outputs.
        photos: all photos.
        hashes: uint8 [n, HASH_BYTES], perceptual hashes; None before the photos have been read.
        X: float32 [n, depth], bottlenecks; None before they have been extracted.
        split: the part that each photo plays; None before it is decided.
        measures: float64 [n] for each `Measure` that has been taken, by name.
    """

    location: str
    labels: tuple[str, ...]
    photos: tuple[Photo, ...]
    hashes: np.ndarray | None = None
    X: np.ndarray | None = None
    split: Split | None = None
    measures: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.photos)

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return len(self.labels)

    @property
    def targets(self) -> np.ndarray:
        """The photos' classes as indices into `labels`: int64 [n]."""
        index = {label: i for i, label in enumerate(self.labels)}
        return np.array([index[photo.label] for photo in self.photos], np.int64)

    def examples(self) -> Examples:
        """Return all photos, with bottlenecks and classes."""
        X = np.empty((len(self), 0), np.float32) if self.X is None else self.X
        return Examples(X, self.targets, self.n_classes, self.photos)

    def part(self, part: int) -> Examples:
        """Return the photos of a part of the split (TRAINING, VALIDATION or TEST), with bottlenecks and classes."""
        rows, everything = self.rows(part), self.examples()
        return Examples(everything.X[rows], everything.y[rows], self.n_classes,
                        tuple(self.photos[row] for row in rows))

    def rows(self, part: int) -> np.ndarray:
        """Return the rows of a part of the split: int64 [photos of the part]."""
        if self.split is None:
            raise ValueError("the photos have not been split")
        return self.split.rows(part)

    def select(self, mask: np.ndarray) -> Dataset:
        """Return the rows where bool [n] is true; the labels stay."""
        return replace(self, photos=tuple(photo for photo, keep in zip(self.photos, mask) if keep),
                       hashes=None if self.hashes is None else self.hashes[mask],
                       X=None if self.X is None else self.X[mask],
                       split=self.split and self.split.select(self.photos, mask),
                       measures={name: values[mask] for name, values in self.measures.items()})

    def counts(self) -> dict[str, int]:
        """Return how many photos each label has, in label order."""
        counted = Counter(photo.label for photo in self.photos)
        return {label: counted[label] for label in self.labels}


def photo_digest(data: bytes) -> str:
    """Return the identity of a photo: BLAKE2b-128 (RFC 7693) of its file's bytes, as 32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def with_test_photos(dataset: Dataset, tests: Dataset) -> Dataset:
    """Return a dataset with the photos of another one, which make the final test, behind its own.

    Raises:
        DataError: the two hold different classes.
    """
    for having, lacking in ((dataset, tests), (tests, dataset)):
        missing = sorted(set(having.labels) - set(lacking.labels))
        if missing:
            raise DataError(f"{lacking.location} has no photos of {', '.join(missing[:10])}; training and test must "
                            "hold the same classes.", "Add a folder for each, or take the other away.")
    return replace(dataset, photos=(*dataset.photos, *(replace(photo, part="test") for photo in tests.photos)))
