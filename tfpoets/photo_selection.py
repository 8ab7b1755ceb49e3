"""The photos that a run uses, and the part of the split that each of them belongs to."""
from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfpoets.data import (PARTS, TEST, TRAINING, VALIDATION, Dataset, check_class_sizes, format_options,
                          is_test_address, is_test_folder, is_test_manifest, read_dataset, reserved_parts,
                          split_photos, with_test_photos)
from tfpoets.errors import DataError, OptionError, join_names
from tfpoets.events import PhotosListed, PhotosSplit, stage_events
from tfpoets.exporting import UNKNOWN_LABEL, UNSURE_LABEL
from tfpoets.retrain_options import RetrainOptions
from tfpoets.training import EventCallback

log = logging.getLogger(__name__)


def list_photos(options: RetrainOptions, on_event: EventCallback) -> Dataset:
    """List the photos of the class folders, and check that there are enough.

    Args:
        options: The options of the run.
        on_event: Receives the event PhotosListed.

    Raises:
        DataError: There are too few photos or classes.
        OptionError: A class has the name that unknown photos get.
    """
    with stage_events("list", on_event):
        _check_not_test_photos(options)
        dataset = read_dataset(options.image_dir, options=options.dataset)
        if options.test_dir:
            test_options = replace(options.dataset, manifest=())
            dataset = with_test_photos(dataset, read_dataset(options.test_dir, 1, test_options, groups_required=False))
        _check_parts(dataset)
        check_class_sizes(dataset, options.split)
        if options.training.unknown_coverage:
            _check_no_class_named_unknown(dataset)
        if options.accuracy_target:
            _check_no_class_named_unsure(dataset)
    on_event(PhotosListed(dataset))
    return dataset


def _check_not_test_photos(options: RetrainOptions) -> None:
    """Raise a DataError for the test folder or the test table of a dataset that has photos for training as well."""
    image_dir, manifest = options.image_dir, options.dataset.manifest
    if manifest:
        if len(manifest) == 1 and is_test_manifest(manifest[0]):
            raise DataError(f"{manifest[0]} lists the test photos of a dataset, which are never used for training.",
                            "Use its table for training; to use several tables, separate them by commas.")
    elif image_dir is not None and (whole := _dataset_of_test_folder(image_dir)):
        pattern = {"label_pattern": options.dataset.label_pattern} if options.dataset.label_pattern else {}
        raise DataError(f"{image_dir} contains the test photos of a dataset, which are never used for training.",
                        f"Use the whole dataset: {format_options(image_dir=whole, **pattern)}.")


def _dataset_of_test_folder(location: Path | str) -> Path | str:
    """Return the folder of the dataset whose test photos a folder contains; empty for other folders."""
    if isinstance(location, Path):
        return location.resolve().parent if is_test_folder(location) else ""
    return location.rstrip("/").rpartition("/")[0] if is_test_address(location) else ""


def _check_parts(dataset: Dataset) -> None:
    """Check that every class has photos for training; log the classes that a reserved part lacks."""
    reserved = reserved_parts(dataset)
    labels = {part: {dataset.photos[row].label for row in np.flatnonzero(reserved == part)}
              for part in range(len(PARTS))}
    if not labels[TRAINING]:
        raise DataError(f"All photos in {dataset.location} are reserved for validation or testing; none remain "
                        "to train on.", "Add photos for training.")
    for part in (VALIDATION, TEST):
        extra = sorted(labels[part] - labels[TRAINING])
        if extra:
            raise DataError(f"There are {PARTS[part]} photos of {join_names(extra)}, but no training photos.",
                            "Add training photos, or remove these classes.")
        missing = sorted(labels[TRAINING] - labels[part])
        if labels[part] and missing:
            log.warning("There are no %s photos of %s.", PARTS[part], join_names(missing))


def _check_no_class_named_unknown(dataset: Dataset) -> None:
    for label in dataset.labels:
        if label.casefold() == UNKNOWN_LABEL:
            raise OptionError(f"With `unknown_coverage`, unknown photos are labelled {UNKNOWN_LABEL}, but there is "
                              f"also a class named {label}.",
                              "Remove this class from the dataset; evaluate can report how many of its photos are "
                              "recognized as unknown.")


def _check_no_class_named_unsure(dataset: Dataset) -> None:
    for label in dataset.labels:
        if label.casefold() == UNSURE_LABEL:
            raise OptionError(f"With `accuracy_target`, photos without an answer are labelled {UNSURE_LABEL}, but "
                              f"there is also a class named {label}.", "Rename this class.")


def split_dataset(dataset: Dataset, options: RetrainOptions, on_event: EventCallback) -> Dataset:
    """Split the photos, leaving out those with a duplicate that is reserved for a later part.

    Args:
        dataset: The readable photos, with their digests and perceptual hashes.
        options: The options of the run.
        on_event: Receives the event PhotosSplit.

    Raises:
        DataError: No photos remain to train on.
    """
    with stage_events("split", on_event):
        dataset = split_photos(_without_reserved_duplicates(dataset), options.split)
    on_event(PhotosSplit(dataset))
    return dataset


def _without_reserved_duplicates(dataset: Dataset) -> Dataset:
    """Return the dataset, keeping photos with the same content in only one part.

    Test photos take precedence over validation photos, and validation photos over training photos.
    """
    reserved = reserved_parts(dataset)
    last_part: dict[str, int] = {}
    for photo, part in zip(dataset.photos, reserved):
        last_part[photo.digest] = max(int(part), last_part.get(photo.digest, TRAINING))
    remaining = np.array([last_part[photo.digest] == part for photo, part in zip(dataset.photos, reserved)], bool)
    if not (remaining & (reserved == TRAINING)).any():
        raise DataError(f"All photos in {dataset.location} are also validation or test photos, so none remain to "
                        "train on.", "Choose different photos for the test.")
    if not remaining.all():
        log.warning("Photos that are also among the validation or test photos are used only there: %d.",
                    (~remaining).sum())
    return dataset.select(remaining)
