"""Compare the classifiers of earlier runs of retrain on the test photos that all of them have in common."""
from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import (PARTS, TEST, Dataset, DatasetOptions, Photo, group_numbers, photo_digest, read_dataset,
                          reading_ahead)
from tfpoets.errors import DataError, ModelError, OptionError, PhotoError, join_names
from tfpoets.evaluation import evaluate
from tfpoets.exporting import Metadata
from tfpoets.files import convert_to_locations
from tfpoets.inference import Classifier, load_classifier
from tfpoets.parallel import core_count, map_in_order
from tfpoets.progress import progress_bar

from .result import ComparedClassifier, Comparison, rank
from .speed import measure_milliseconds

log = logging.getLogger(__name__)

METADATA_SUFFIX, TFLITE_SUFFIX, GRAPH_SUFFIX = ".json", ".tflite", ".pb"


@dataclass(frozen=True, kw_only=True)
class CompareRunsOptions:
    """The options of a comparison of earlier runs.

    Attributes:
        runs: The metadata files (.json) that the runs wrote next to their graphs, or the .tflite or .pb files.
        image_dir: The photos, as in RetrainOptions; None: where they were when the classifiers were trained.
        dataset: Where the labels and groups of the photos are, if `image_dir` or a manifest is given.
        trust_model: Whether the classifiers are used without checking what they do (docs/security.md).
    """

    runs: tuple[Path, ...]
    image_dir: Path | str | None = None
    dataset: DatasetOptions = DatasetOptions()
    trust_model: bool = False

    def __post_init__(self) -> None:
        convert_to_locations(self, "image_dir")
        if len(self.runs) < 2:
            raise OptionError("Only one run is given.", "Give the metadata files (.json) of two runs.")
        if len({os.path.realpath(path) for path in self.runs}) < len(self.runs):
            raise OptionError("The same run is given twice.", "Give the metadata files (.json) of different runs.")


@dataclass(frozen=True, eq=False)
class _Run:
    """An earlier run: the path that the user gave, the file of its classifier, and the classifier."""

    path: Path
    file: Path
    classifier: Classifier
    metadata: Metadata

    @property
    def is_tflite(self) -> bool:
        """Whether the file is a .tflite, whose size and time can be compared with those of another one."""
        return self.file.suffix.lower() == TFLITE_SUFFIX


def compare_runs(options: CompareRunsOptions) -> Comparison:
    """Compare the classifiers of earlier runs on the test photos that all of them have in common.

    These are the photos in the datasets of all runs that none of the runs used for training or validation. They are
    recognized by their content, so they may have been moved or renamed.

    Args:
        options: The options.

    Raises:
        ModelError: A classifier is missing or damaged, or does not state which photos it was trained on.
        DataError: The photos cannot be found, or the runs have no test photos in common.
    """
    runs = [_open_run(path, options.trust_model) for path in options.runs]
    photos, notes = _find_common_photos(runs, options)
    photos, probabilities = _predict(runs, photos)
    labels = [label for label in runs[0].classifier.labels if any(photo.label == label for photo in photos)]
    times = iter(measure_milliseconds([run.file for run in runs if run.is_tflite]))
    classifiers = []
    for run, rows in zip(runs, probabilities):
        y = np.array([run.classifier.labels.index(photo.label) for photo in photos], np.int64)
        classifiers.append(ComparedClassifier(
            str(run.path), str(run.file), run.classifier.input.height, run.classifier.input.width,
            evaluate(rows, y, group_numbers(photos), run.classifier.costs),
            run.file.stat().st_size if run.is_tflite else None, next(times) if run.is_tflite else np.empty(0),
            _stored_views(run.metadata)))
    return Comparison(rank(classifiers), tuple(labels), tuple(notes))


def _open_run(path: Path, trust_model: bool) -> _Run:
    """Load the classifier of a run; raise a ModelError if it cannot be used."""
    if not path.is_file():
        raise ModelError(f"There is no file {path}.", "Give the metadata file (.json) that `tfpoets retrain` wrote "
                         "next to the graph.")
    file, metadata = path, None
    if path.suffix.lower() == METADATA_SUFFIX:
        metadata = Metadata.from_file(path)
        file = _classifier_file(path, metadata)
    classifier = load_classifier(file, trust_model=trust_model)
    metadata = metadata or classifier.metadata
    if metadata is None or metadata.split is None or not metadata.split.states_photos:
        raise ModelError(f"{path} does not state which photos it was trained on, so its test photos are not known.",
                         "Use `tfpoets evaluate` to test it on photos that are new to it.")
    return _Run(path, file, classifier, metadata)


def _classifier_file(path: Path, metadata: Metadata) -> Path:
    """Return the .tflite or .pb that belongs to a metadata file; raise a ModelError if neither is there."""
    candidates = [file for suffix in (TFLITE_SUFFIX, GRAPH_SUFFIX) if (file := path.with_suffix(suffix)).is_file()]
    hashes = set(metadata.files.values())
    for file in candidates:
        if not hashes or hashlib.sha256(file.read_bytes()).hexdigest() in hashes:
            return file
    if candidates:
        raise ModelError(f"{candidates[0]} is not the file that was written with {path}.",
                         "Keep the files of a run together: a later run with the same `output_graph` replaces them.")
    names = " nor ".join(path.with_suffix(suffix).name for suffix in (TFLITE_SUFFIX, GRAPH_SUFFIX))
    raise ModelError(f"The classifier of {path} is missing: there is neither {names} next to it.",
                     "Copy it there, or run `tfpoets retrain` again.")


def _stored_views(metadata: Metadata) -> int | None:
    extractor = metadata.options.get("extractor")
    views = extractor.get("views") if isinstance(extractor, dict) else None
    return views if isinstance(views, int) else None


def _find_common_photos(runs: Sequence[_Run], options: CompareRunsOptions) -> tuple[list[Photo], list[str]]:
    """Return the common test photos whose labels all classifiers have, and notes about photos that are missing."""
    if options.image_dir is not None or options.dataset.manifest:
        given = read_dataset(options.image_dir, 1, options.dataset)
        photos_of_runs = [list(given.photos)] * len(runs)
    else:
        photos_of_runs = [_read_own_photos(run) for run in runs]
    by_uri = {photo.uri: photo for photos in photos_of_runs for photo in photos}
    digests = _read_digests(list(by_uri.values()))
    tested, notes = [], []
    for run, photos in zip(runs, photos_of_runs):
        known = [photo for photo in photos if digests[photo.uri]]
        is_seen = run.metadata.training_digest_mask([digests[photo.uri] for photo in known])
        unseen = [photo for photo, seen in zip(known, is_seen) if not seen]
        # If a copy of a photo is reserved for the test, retrain uses only the reserved copy.
        reserved = {digests[photo.uri] for photo in unseen if photo.part == PARTS[TEST]}
        unseen = [photo for photo in unseen if photo.part == PARTS[TEST] or digests[photo.uri] not in reserved]
        notes += _count_note(run, len(unseen))
        tested.append(unseen)
    labels = [{digests[photo.uri]: photo.label for photo in photos} for photos in tested]
    in_all = set.intersection(*(set(known) for known in labels))
    relabelled = {digest for digest in in_all if len({known[digest] for known in labels}) > 1}
    if relabelled:
        notes.append(f"Photos whose labels were changed between the runs are left out: {len(relabelled)}.")
    common = [photo for photo in tested[0] if digests[photo.uri] in in_all - relabelled]
    if not common:
        raise DataError(_no_common_photos(runs, [len(photos) for photos in tested]),
                        "Train all of them with the same photos, `seed` and `testing_percentage`; or set `image_dir` "
                        "to labelled photos that are new to all of them.")
    return _with_known_labels(runs, common), notes


def _read_own_photos(run: _Run) -> list[Photo]:
    """List the photos of a run at the locations that its metadata states."""
    stored = run.metadata.options
    group = stored.get("dataset") if isinstance(stored.get("dataset"), dict) else {}
    assert isinstance(group, dict)
    manifest = group.get("manifest", ())
    try:
        options = DatasetOptions(tuple(Path(path) for path in manifest), group.get("label_pattern", ""),
                                 group.get("group_pattern", ""))
        locations: list[tuple[Any, DatasetOptions]] = [(_location(stored, "image_dir"), options)]
        test_dir = _location(stored, "test_dir")
        if test_dir is not None:
            locations.append((test_dir, DatasetOptions((), options.label_pattern, options.group_pattern)))
        photos = list(_list(*locations[0]).photos)
        return photos + [replace(photo, part=PARTS[TEST]) for location in locations[1:]
                         for photo in _list(*location).photos]
    except (DataError, OptionError, TypeError, OSError) as error:
        problem = error.problem if isinstance(error, DataError | OptionError) else "its options are damaged."
        raise DataError(f"The photos of {run.path} cannot be listed: {problem}",
                        "Run the command in the folder in which `tfpoets retrain` was run, or set `image_dir` to "
                        "where the photos are now.") from None


def _list(location: Any, options: DatasetOptions) -> Dataset:
    return read_dataset(location, 1, options, groups_required=False)


def _location(options: dict[str, Any], name: str) -> Path | str | None:
    value = options.get(name)
    if not isinstance(value, str) or not value:
        return None
    return value if "://" in value else Path(value)


def _read_digests(photos: Sequence[Photo]) -> dict[str, str]:
    """Return the digest of each photo by its URI; an empty one for a photo that cannot be read."""
    def digest(photo: Photo) -> str:
        try:
            return photo_digest(photo.read())
        except PhotoError:
            return ""
    with reading_ahead(photos):
        return dict(zip([photo.uri for photo in photos], map_in_order(digest, photos, core_count())))


def _count_note(run: _Run, n_found: int) -> list[str]:
    """Return a note if there are fewer or more photos than a run was tested on; otherwise an empty list."""
    assert run.metadata.split is not None
    n_tested = run.metadata.split.counts.get("test", 0)
    if n_found != n_tested:
        return [f"{run.path} was tested on {n_tested} photos; {n_found} of the photos here were not used to train it."]
    return []


def _no_common_photos(runs: Sequence[_Run], n_tested: Sequence[int]) -> str:
    if not any(n_tested):
        return "None of the test photos of the runs can be found, or the runs had none."
    counts = ", ".join(f"{run.path} {count}" for run, count in zip(runs, n_tested))
    return (f"The runs have no test photos in common ({counts}): those of one run were used to train another, or are "
            "not among its photos.")


def _with_known_labels(runs: Sequence[_Run], photos: Sequence[Photo]) -> list[Photo]:
    """Return the photos whose labels all classifiers have, and log the other labels."""
    known = set.intersection(*(set(run.classifier.labels) for run in runs))
    unknown = sorted({photo.label for photo in photos} - known)
    remaining = [photo for photo in photos if photo.label in known]
    if not remaining:
        raise DataError(f"None of the photos has a label that all classifiers know ({join_names(unknown)}).",
                        "Compare runs with the same labels.")
    if unknown:
        log.warning("Left out, because not all classifiers have a label of that name: %s.", join_names(unknown))
    return remaining


def _predict(runs: Sequence[_Run], photos: Sequence[Photo]) -> tuple[list[Photo], list[np.ndarray]]:
    """Return the photos that could be decoded, and the probabilities of each classifier for them, float32 [n, k]."""
    rows: list[list[np.ndarray | None]] = []
    with progress_bar(len(runs) * len(photos), "Labelling", "photo") as bar:
        for run in runs:
            rows.append([])
            for photo, prediction in run.classifier.predict_photos(photos, Photo.read):
                bar.update()
                rows[-1].append(prediction.probabilities)
    decoded = [all(probabilities is not None for probabilities in columns) for columns in zip(*rows)]
    if not all(decoded):
        log.warning("Photos that could not be read: %d.", decoded.count(False))
    if not any(decoded):
        raise DataError("None of the photos could be read.")
    return [photo for photo, is_decoded in zip(photos, decoded) if is_decoded], [
        np.stack([row for row, is_decoded in zip(column, decoded) if is_decoded and row is not None])
        for column in rows]
