"""Labelled photos and the data derived from them, as one table."""
from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from tfpoets.errors import DataError

from .local_files import LOCAL_FILES, FileReader
from .part_names import PARTS, TEST
from .photo_files import read_photo_bytes
from .stored_rows import take_rows

if TYPE_CHECKING:
    from .split import Split


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo of a dataset.

    Attributes:
        uri: The path of a local file, or the URI that the photo's source uses for it.
        label: The name of the class.
        digest: The BLAKE2b-128 hash of the file's bytes as 32 hexadecimal digits; empty until the file has been read.
        group: Photos with the same group are in the same part of a split, unless `part` is set; empty for no group.
        part: "validation" or "test" for a photo that is reserved for this part; empty if the split decides.
        source: The reader that opens the file.
    """

    uri: str
    label: str
    digest: str = ""
    group: str = ""
    part: str = ""
    source: FileReader = field(default=LOCAL_FILES, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The file name: the last component of the URI."""
        return os.path.basename(self.uri)

    @property
    def folder(self) -> str:
        """The URI without its last component."""
        return os.path.dirname(self.uri)

    def open(self) -> BinaryIO:
        """Open the photo's file for reading; raise PhotoError if that fails."""
        return self.source.open(self.uri)

    def read(self) -> bytes:
        """Return the bytes of the photo's file; raise PhotoError if it cannot be read."""
        with self.open() as file:
            return read_photo_bytes(file)


@dataclass(frozen=True, eq=False)
class Examples:
    """Bottlenecks and targets for fitting or testing a head.

    Attributes:
        X: float32 [n, depth], the bottlenecks; the depth is 0 if there are none. An array, or StoredRows of a file.
        y: int64 [n], the true classes, 0 to n_classes - 1.
        n_classes: The number of classes.
        photos: The photos that the rows belong to; empty for arrays that were not made from a dataset.
        augmented: float32 [n, n_views, depth], the bottlenecks of augmented views of each photo, or None.
    """

    X: np.ndarray
    y: np.ndarray
    n_classes: int
    photos: tuple[Photo, ...] = ()
    augmented: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    def select(self, mask: np.ndarray) -> Examples:
        """Return the rows for which `mask`, bool [n], is true."""
        return replace(self, X=take_rows(self.X, mask), y=self.y[mask],
                       photos=tuple(photo for photo, keep in zip(self.photos, mask) if keep),
                       augmented=None if self.augmented is None else self.augmented[mask])


@dataclass(frozen=True, eq=False)
class Dataset:
    """A table with one row for each photo.

    Reading the photos fills in `hashes`, extracting the bottlenecks fills in `X`, and `split_photos` fills in `split`.
    `select` selects rows of all columns together.

    Attributes:
        location: Where the photos come from, as the user gave it.
        labels: The names of the classes in sorted order, which is also the order of a classifier's outputs.
        photos: One photo per row. `read_dataset` sorts them by label and then by file name.
        hashes: uint8 [n, HASH_BYTES], the perceptual hashes; None until the photos have been read.
        X: float32 [n, depth], the bottlenecks; None until they have been extracted. An array, in memory or in a file,
            or StoredRows, so code for large datasets reads them in slices (`row_slices`).
        split: The assignment of the photos to training, validation and test; None until they have been split.
        measures: The values of each computed `Measure`, float64 [n], by the name of the measure.
        layout: A sentence about where the photos and their labels were found; empty for plain class folders.
    """

    location: str
    labels: tuple[str, ...]
    photos: tuple[Photo, ...]
    hashes: np.ndarray | None = None
    X: np.ndarray | None = None
    split: Split | None = None
    measures: Mapping[str, np.ndarray] = field(default_factory=dict)
    layout: str = ""

    def __len__(self) -> int:
        return len(self.photos)

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return len(self.labels)

    @property
    def targets(self) -> np.ndarray:
        """The classes of the photos as indices into `labels`: int64 [n]."""
        index = {label: i for i, label in enumerate(self.labels)}
        return np.array([index[photo.label] for photo in self.photos], np.int64)

    def examples(self) -> Examples:
        """Return the bottlenecks and targets of all photos."""
        X = np.empty((len(self), 0), np.float32) if self.X is None else self.X
        return Examples(X, self.targets, self.n_classes, self.photos)

    def part(self, part: int) -> Examples:
        """Return the bottlenecks and targets of one part of the split: TRAINING, VALIDATION or TEST."""
        rows, examples = self.rows(part), self.examples()
        return Examples(take_rows(examples.X, rows), examples.y[rows], self.n_classes,
                        tuple(self.photos[row] for row in rows))

    def rows(self, part: int) -> np.ndarray:
        """Return the row numbers of one part of the split: int64 [photos in the part]."""
        if self.split is None:
            raise ValueError("the photos have not been split")
        return self.split.rows(part)

    def select(self, mask: np.ndarray) -> Dataset:
        """Return the rows for which `mask`, bool [n], is true; `labels` is unchanged."""
        return replace(self, photos=tuple(photo for photo, keep in zip(self.photos, mask) if keep),
                       hashes=None if self.hashes is None else self.hashes[mask],
                       X=None if self.X is None else take_rows(self.X, mask),
                       split=self.split and self.split.select(self.photos, mask),
                       measures={name: values[mask] for name, values in self.measures.items()})

    def counts(self) -> dict[str, int]:
        """Return the number of photos of each label, in the order of `labels`."""
        counts = Counter(photo.label for photo in self.photos)
        return {label: counts[label] for label in self.labels}


def count_photos(photos: Sequence[Photo]) -> str:
    """Return the number of photos in each part, and the number of classes, as text."""
    counts = Counter(photo.part or "training" for photo in photos)
    n_classes = len({photo.label for photo in photos})
    if set(counts) == {"training"}:
        return f"{len(photos):,} photos, {n_classes} classes"
    parts = [f"{part} {counts[part]:,}" for part in PARTS if counts[part]]
    return ", ".join([f"{parts[0]} photos", *parts[1:], f"{n_classes} classes"])


def photo_digest(data: bytes) -> str:
    """Return the BLAKE2b-128 hash (RFC 7693) of a photo's bytes, which identifies it, as 32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def with_test_photos(dataset: Dataset, test_dataset: Dataset) -> Dataset:
    """Return a dataset with the photos of `test_dataset` appended and reserved for the final test.

    Args:
        dataset: The photos for training and validation.
        test_dataset: The photos for the final test. If some of them are reserved for the test, only these are used.

    Raises:
        DataError: The datasets have different classes, or the first one has test photos as well.
    """
    if any(photo.part == PARTS[TEST] for photo in dataset.photos):
        raise DataError(f"Both {dataset.location} and `test_dir` contain test photos.",
                        "Omit `test_dir`, or set `image_dir` to the folder of the training photos.")
    is_test = np.array([photo.part == PARTS[TEST] for photo in test_dataset.photos], bool)
    if is_test.any():
        test_dataset = test_dataset.select(is_test)
    for reference, checked in ((dataset, test_dataset), (test_dataset, dataset)):
        missing = sorted(set(reference.labels) - set(checked.labels))
        if missing:
            raise DataError(f"{checked.location} has no photos of {', '.join(missing[:10])}; the training and test "
                            "photos must have the same classes.",
                            "Add a folder for each missing class, or remove the class from the other folder.")
    return replace(dataset, photos=(*dataset.photos, *(replace(photo, part=PARTS[TEST])
                                                       for photo in test_dataset.photos)))
