"""The photos that a run uses, and the part of the split that each of them belongs to."""
from __future__ import annotations

import logging

from tfpoets.data import (Dataset, SplitOptions, check_class_sizes, read_dataset, reserved_for_test, split_photos,
                          with_test_photos)
from tfpoets.errors import DataError, OptionError
from tfpoets.events import PhotosListed, PhotosSplit, stage_events
from tfpoets.exporting import UNKNOWN_LABEL
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
        dataset = read_dataset(options.image_dir)
        check_class_sizes(dataset, _image_dir_split(options))
        if options.test_dir:
            dataset = with_test_photos(dataset, read_dataset(options.test_dir, min_classes=1))
        if options.training.unknown_coverage:
            _check_no_class_named_unknown(dataset)
    on_event(PhotosListed(dataset))
    return dataset


def _image_dir_split(options: RetrainOptions) -> SplitOptions:
    """Return how the photos of `image_dir` are split: without test photos if these come from `test_dir`."""
    if options.test_dir is None:
        return options.split
    return SplitOptions(0, options.split.validation_percentage, options.split.seed)


def _check_no_class_named_unknown(dataset: Dataset) -> None:
    for label in dataset.labels:
        if label.casefold() == UNKNOWN_LABEL:
            raise OptionError(f"With `unknown_coverage`, unknown photos are labelled {UNKNOWN_LABEL}, but the folder "
                              f"{label} is a class.",
                              "Move the folder elsewhere; evaluate can report how many of its photos are recognized "
                              "as unknown.")


def split_dataset(dataset: Dataset, options: RetrainOptions, on_event: EventCallback) -> Dataset:
    """Split the photos, without those of `image_dir` that are also in `test_dir`.

    Args:
        dataset: The readable photos, with their digests and perceptual hashes.
        options: The options of the run.
        on_event: Receives the event PhotosSplit.

    Raises:
        DataError: No photos remain to train on.
    """
    with stage_events("split", on_event):
        dataset = split_photos(_without_test_duplicates(dataset, options), options.split)
    on_event(PhotosSplit(dataset))
    return dataset


def _without_test_duplicates(dataset: Dataset, options: RetrainOptions) -> Dataset:
    """Return the dataset without the photos of `image_dir` that are also in `test_dir`."""
    is_test = reserved_for_test(dataset)
    test_digests = {photo.digest for photo, reserved in zip(dataset.photos, is_test) if reserved}
    remaining = is_test | [photo.digest not in test_digests for photo in dataset.photos]
    if not remaining[~is_test].any():
        raise DataError(f"All photos in {options.image_dir} are also in {options.test_dir}, so none remain to train "
                        "on.", "Choose a `test_dir` with different photos.")
    if not remaining.all():
        log.warning("Photos in %s that are also in %s are used only for testing: %d.", options.image_dir,
                    options.test_dir, (~remaining).sum())
    return dataset.select(remaining)
