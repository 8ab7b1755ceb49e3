"""Labelled photos for a classifier: which of its classes they belong to, and its predictions for them."""
from __future__ import annotations

import logging
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfpoets.data import Dataset, DatasetOptions, Photo, read_dataset
from tfpoets.errors import DataError
from tfpoets.exporting import UNKNOWN_LABEL
from tfpoets.inference import Classifier, Prediction
from tfpoets.progress import progress_bar

log = logging.getLogger(__name__)

MAX_NAMED_LABELS = 10


@dataclass(frozen=True, eq=False)
class LabelledPhotos:
    """The photos in a folder whose labels a classifier knows.

    Attributes:
        dataset: All photos in the folder.
        photos: The photos whose label is a class of the classifier.
        class_indices: The index of the class of each of these labels.
        unknown_photos: The photos in a folder named "unknown", if the classifier has a reject option.
    """

    dataset: Dataset
    photos: list[Photo]
    class_indices: dict[str, int]
    unknown_photos: list[Photo]


def read_labelled_photos(classifier: Classifier, graph: Path, image_dir: Path | str | None, options: DatasetOptions
                         ) -> LabelledPhotos:
    """Read the photos in a folder, and find the class of each. Log the folders that match no class.

    Args:
        classifier: The classifier.
        graph: The file that it was loaded from, for the error.
        image_dir: The folder; None: that of the manifest.
        options: Where the labels of the photos are.

    Raises:
        DataError: None of the labels is a class of the classifier.
    """
    dataset = read_dataset(image_dir, 1, options)
    class_indices = _match_folders(classifier, dataset)
    if not class_indices:
        raise DataError(f"No photos in {dataset.location} have a label of {graph} "
                        f"({_join_labels(classifier.labels)}).", "Rename the folders to match the labels.")
    unknown_photos = _find_unknown_photos(classifier, dataset, class_indices)
    _log_unmatched(classifier, dataset, class_indices, {photo.label for photo in unknown_photos})
    photos = [photo for photo in dataset.photos if photo.label in class_indices]
    return LabelledPhotos(dataset, photos, class_indices, unknown_photos)


def _match_folders(classifier: Classifier, dataset: Dataset) -> dict[str, int]:
    """Return the index of the class that each folder is named after. Folders that match no class are omitted.

    For a graph of TensorFlow for Poets, a folder also matches the label that `_legacy_label` derives from its name.
    """
    indices = {label: index for index, label in enumerate(classifier.labels)}
    matches = {label: indices.get(label) for label in dataset.labels}
    if classifier.metadata is None:
        matches = {label: indices.get(_legacy_label(label)) if index is None else index
                   for label, index in matches.items()}
    return {label: index for label, index in matches.items() if index is not None}


def _legacy_label(folder_name: str) -> str:
    """Convert a folder name as TensorFlow for Poets did: lower case, and a space for anything but a-z and 0-9."""
    return re.sub(r"[^a-z0-9]+", " ", folder_name.lower()).strip() or " "


def _find_unknown_photos(classifier: Classifier, dataset: Dataset, class_indices: Collection[str]) -> list[Photo]:
    """Return the photos in a folder named "unknown", or an empty list if the classifier has no reject option."""
    if classifier.unknown_threshold is None:
        return []
    return [photo for photo in dataset.photos
            if photo.label.casefold() == UNKNOWN_LABEL and photo.label not in class_indices]


def _log_unmatched(classifier: Classifier, dataset: Dataset, class_indices: dict[str, int],
                   unknown_folders: set[str]) -> None:
    """Log the folders without a class and the classes without a folder."""
    folders = [label for label in dataset.labels if label not in class_indices and label not in unknown_folders]
    if folders:
        log.warning("Left out, because the classifier has no label of that name: %s.", _join_labels(folders))
    missing = [label for index, label in enumerate(classifier.labels) if index not in class_indices.values()]
    if missing:
        log.warning("There are no photos of %s.", _join_labels(missing))


def _join_labels(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - MAX_NAMED_LABELS} more" if len(labels) > MAX_NAMED_LABELS else ""
    return ", ".join(labels[:MAX_NAMED_LABELS]) + more


def predict_labelled(classifier: Classifier, photos: list[Photo]) -> tuple[list[Photo], list[Prediction]]:
    """Return the photos that could be read, and the predictions for them. Log those that could not be read."""
    readable_photos, predictions = [], []
    with progress_bar(len(photos), "Labelling", "photo") as bar:
        for photo, prediction in classifier.predict_photos(photos, Photo.read):
            bar.update()
            if prediction.probabilities is None:
                log.warning("%s is left out: %s.", photo.uri, prediction.reason)
            else:
                readable_photos.append(photo)
                predictions.append(prediction)
    return readable_photos, predictions
