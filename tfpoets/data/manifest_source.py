"""Read the photos that a manifest lists."""
from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tfpoets.errors import DataError
from tfpoets.files import real_path

from .dataset import Dataset, Photo, count_photos
from .file_tree import list_photos, list_tree
from .folder_source import reserved_part, sort_photos
from .labels import label_of_text
from .local_files import LocalFiles
from .manifest import ManifestRow, read_manifest
from .part_names import PARTS, TEST, TRAINING, part_of_file

log = logging.getLogger(__name__)


class ManifestSource(LocalFiles):
    """The photos that one or more manifests list.

    A manifest names a photo by its path, relative to `folder`; or by its file name or the name without suffix, if only
    one photo in `folder` or below it has this name.

    Args:
        manifests: The manifests. If there are several, and they have no column with parts, their names or the names of
            their folders determine the parts: `train.csv`, or `valid/_classes.csv`.
        folder: The folder of the photos; None for the folder of each manifest.
    """

    def __init__(self, manifests: Sequence[Path], folder: Path | None = None):
        self._manifests, self._folder = tuple(manifests), folder

    def dataset(self, min_classes: int = 2) -> Dataset:
        """List the photos.

        Args:
            min_classes: The minimum number of classes.

        Raises:
            DataError: A manifest cannot be read, none of its photos exist, a photo has several labels, or there are
                fewer classes.
        """
        photos = _without_repeated([photo for manifest in self._manifests for photo in self._photos(manifest)])
        labels = sorted({photo.label for photo in photos})
        names = ", ".join(map(str, self._manifests))
        if len(labels) < min_classes:
            raise DataError(f"The manifest {names} has photos of one class only ({labels[0]}); a classifier needs at "
                            "least two." if labels else f"The manifest {names} has no rows with labels.",
                            "Check the column with the labels.")
        description = f"Read from {names}: {count_photos(photos)}."
        log.info(description)
        return Dataset(names, tuple(labels), tuple(sort_photos(photos)), layout=description)

    def _photos(self, manifest: Path) -> Iterator[Photo]:
        """Yield the photos of one manifest."""
        table = read_manifest(manifest)
        labelled = [row for row in table.rows if row.label]
        if len(labelled) < len(table.rows):
            log.warning("Rows of %s without a label, which are ignored: %d.", manifest,
                        len(table.rows) - len(labelled))
        if table.columns:
            log.info("Columns of %s: %s.", manifest, table.columns)
        file_part = part_of_file(real_path(manifest))
        default_part = file_part if len(self._manifests) > 1 else ""
        finder = _PhotoFinder(self._folder or manifest.parent)
        paths = [finder.find(row.path, row.part or file_part) for row in labelled]
        _check_paths(manifest, finder.folder, labelled, paths)
        _log_unlisted(manifest, paths)
        for row, path in zip(labelled, paths):
            yield Photo(path, label_of_text(row.label, f"{row.path} in {manifest}"), group=row.group,
                        part=reserved_part(row.part or default_part), source=self)


class _PhotoFinder:
    """Finds photos by their names in a manifest.

    The folder is listed only if a name is not a path.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._by_name: dict[str, list[str]] | None = None

    def find(self, name: str, part: str) -> str:
        """Return the path of a photo; if there is no such photo, the path that it would have in `folder`.

        Args:
            name: What the manifest calls the photo.
            part: The part that the photo belongs to, which selects one of several folders (`train/1.jpg` or
                `test/1.jpg`); empty if it is not known.

        Raises:
            DataError: Several photos have this name.
        """
        path = os.path.join(self.folder, os.path.expanduser(name.replace("\\", "/")))
        if os.path.isfile(path):
            return path
        found = self._index().get(os.path.basename(path).lower(), [])
        in_part = [path for path in found if part and part_of_file(Path(path).parent) == part]
        found = in_part or found
        if len(found) > 1:
            raise DataError(f"{len(found)} photos in {self.folder} are called {name}, such as {found[0]} and "
                            f"{found[1]}.", "Set `image_dir` to the folder of the photos, or write their paths into "
                            "the manifest.")
        return found[0] if found else path

    def _index(self) -> dict[str, list[str]]:
        """Return the paths of the photos below the folder by file name with and without suffix, in lower case."""
        if self._by_name is None:
            self._by_name = defaultdict(list)
            for path in list_tree(self.folder).photo_paths():
                for name in {path.name, path.stem}:
                    self._by_name[name.lower()].append(str(path))
        return self._by_name


def _check_paths(manifest: Path, folder: Path, rows: Sequence[ManifestRow], paths: Sequence[str]) -> None:
    """Raise a DataError if none of the photos exist; one that is missing is reported when it is read."""
    if rows and not any(os.path.isfile(path) for path in paths):
        raise DataError(f"None of the {len(rows)} photos in {manifest} (such as {rows[0].path}) are in {folder}.",
                        "Set `image_dir` to the folder of the photos.")


def _log_unlisted(manifest: Path, paths: Sequence[str]) -> None:
    """Log how many photos in the folders of the listed ones are not in the manifest."""
    listed = {os.path.abspath(path) for path in paths}
    folders = sorted({os.path.dirname(path) for path in listed})
    n_unlisted = sum(str(path) not in listed for folder in folders if os.path.isdir(folder)
                     for path in list_photos(Path(folder)))
    if n_unlisted:
        log.info("Photos next to the listed ones that are not in %s: %d.", manifest, n_unlisted)


def _without_repeated(photos: Sequence[Photo]) -> list[Photo]:
    """Return each photo once, in the last of the parts that it is listed with: the test part, if that is one of them.

    Raises:
        DataError: A photo is listed with several labels.
    """
    first: dict[str, Photo] = {}
    repeated = [(photo, other) for photo in photos if (other := first.setdefault(photo.uri, photo)) is not photo]
    conflicts = [(photo, other) for photo, other in repeated if photo.label != other.label]
    if conflicts:
        photo, other = conflicts[0]
        raise DataError(f"The manifest gives several labels to a photo: {photo.name} is {other.label} and "
                        f"{photo.label}. A classifier learns one label per photo.", "Leave one row for each photo.")
    if repeated:
        log.info("Rows that repeat a photo: %d; each photo is used once.", len(repeated))
    for photo, other in repeated:
        last = max(photo.part or PARTS[TRAINING], first[photo.uri].part or PARTS[TRAINING], key=PARTS.index)
        first[photo.uri] = replace(first[photo.uri], part=reserved_part(last))
    return list(first.values())


def is_test_manifest(manifest: Path) -> bool:
    """Return whether a manifest lists the test photos of a dataset that has a manifest for training as well."""
    if part_of_file(real_path(manifest)) != PARTS[TEST]:
        return False
    folder = real_path(manifest).parent
    others = [path for pattern in (f"*{manifest.suffix}", f"../*/*{manifest.suffix}") for path in folder.glob(pattern)]
    return any(part_of_file(path) == PARTS[TRAINING] for path in others)
