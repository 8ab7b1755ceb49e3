"""Labelled photos for a classifier: which of its classes they belong to, and its predictions for them."""
from __future__ import annotations

import logging
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from tfpoets.data import Dataset, DatasetOptions, Photo, read_dataset, reading_ahead
from tfpoets.errors import DataError, join_names
from tfpoets.exporting import UNKNOWN_LABEL
from tfpoets.inference import Classifier, Prediction
from tfpoets.progress import progress_bar

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LabelledPhotos:
    """The photos of a dataset whose labels a classifier knows.

    Attributes:
        dataset: All photos.
        photos: The photos whose label is a class of the classifier.
        class_indices: The index of the class of each of these labels.
        unknown_photos: The photos with the label "unknown", if the classifier has a reject option.
    """

    dataset: Dataset
    photos: list[Photo]
    class_indices: dict[str, int]
    unknown_photos: list[Photo]


def read_labelled_photos(classifier: Classifier, graph: Path, image_dir: Path | str | None, options: DatasetOptions
                         ) -> LabelledPhotos:
    """Read the photos of a dataset, and find the class of each. Log the labels that are not classes.

    Args:
        classifier: The classifier.
        graph: The file that it was loaded from, for the error.
        image_dir: The folder; None: that of the manifest.
        options: Where the labels of the photos are.

    Raises:
        DataError: None of the labels is a class of the classifier.
    """
    dataset = read_dataset(image_dir, 1, options)
    class_indices = _match_labels(classifier, dataset)
    if not class_indices:
        raise DataError(f"No photos in {dataset.location} have a label of {graph} "
                        f"({join_names(classifier.labels)}).",
                        "Change the labels of the photos (by default, the names of their folders) to those of the "
                        "classifier.")
    unknown_photos = _find_unknown_photos(classifier, dataset, class_indices)
    _log_unmatched(classifier, dataset, class_indices, {photo.label for photo in unknown_photos})
    photos = [photo for photo in dataset.photos if photo.label in class_indices]
    return LabelledPhotos(dataset, photos, class_indices, unknown_photos)


def _match_labels(classifier: Classifier, dataset: Dataset) -> dict[str, int]:
    """Return the index of the class that each label of the dataset names. Labels that match no class are omitted.

    For a graph of TensorFlow for Poets, a label also matches the class that `_legacy_label` derives from it.
    """
    indices = {label: index for index, label in enumerate(classifier.labels)}
    matches = {label: indices.get(label) for label in dataset.labels}
    if classifier.metadata is None:
        matches = {label: indices.get(_legacy_label(label)) if index is None else index
                   for label, index in matches.items()}
    return {label: index for label, index in matches.items() if index is not None}


def _legacy_label(label: str) -> str:
    """Convert a label as TensorFlow for Poets did: lower case, and a space for anything but a-z and 0-9."""
    return re.sub(r"[^a-z0-9]+", " ", label.lower()).strip() or " "


def _find_unknown_photos(classifier: Classifier, dataset: Dataset, class_indices: Collection[str]) -> list[Photo]:
    """Return the photos with the label "unknown", or an empty list if the classifier has no reject option."""
    if classifier.unknown_threshold is None:
        return []
    return [photo for photo in dataset.photos
            if photo.label.casefold() == UNKNOWN_LABEL and photo.label not in class_indices]


def _log_unmatched(classifier: Classifier, dataset: Dataset, class_indices: dict[str, int],
                   unknown_labels: set[str]) -> None:
    """Log the labels that are not classes and the classes without photos."""
    unmatched = [label for label in dataset.labels if label not in class_indices and label not in unknown_labels]
    if unmatched:
        log.warning("Left out, because the classifier has no label of that name: %s.", join_names(unmatched))
    missing = [label for index, label in enumerate(classifier.labels) if index not in class_indices.values()]
    if missing:
        log.warning("There are no photos of %s.", join_names(missing))


def predict_labelled(classifier: Classifier, photos: list[Photo]) -> tuple[list[Photo], list[Prediction]]:
    """Return the photos that could be read, and the predictions for them. Log those that could not be read."""
    readable_photos, predictions = [], []
    with progress_bar(len(photos), "Labelling", "photo") as bar, reading_ahead(photos):
        for photo, prediction in classifier.predict_photos(photos, Photo.read):
            bar.update()
            if prediction.probabilities is None:
                log.warning("%s is left out: %s.", photo.uri, prediction.reason)
            else:
                readable_photos.append(photo)
                predictions.append(prediction)
    return readable_photos, predictions
