"""Predictions for the photos that programs pass to a classifier: paths, or the contents of files."""
from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tfpoets.data import Photo
from tfpoets.errors import OptionError, PhotoError
from tfpoets.inference import Classifier

# A photo to label: its path, or the content of its file.
UnlabelledPhoto = str | os.PathLike[str] | bytes


def to_sources(photos: Any) -> list[Photo | bytes]:
    """Return the photos of a list of paths and contents; raise an OptionError for anything else."""
    if isinstance(photos, str | os.PathLike | bytes) or not isinstance(photos, Iterable):
        raise OptionError("`photos` is not a list.", "Use a list of paths, also for a single photo.", "photos")
    return [_to_source(photo) for photo in photos]


def _to_source(photo: Any) -> Photo | bytes:
    if isinstance(photo, bytes | bytearray | memoryview):
        return bytes(photo)
    if isinstance(photo, str | os.PathLike):
        return Photo(os.fspath(photo), "")
    raise OptionError(f"A photo is {type(photo).__name__}, but must be a path or the bytes of a file.",
                      "For pixels in memory, use `classifier.predict_array`.", "photos")


def to_contents(contents: Any) -> list[Photo | bytes]:
    """Return a list of contents of files; raise an OptionError for anything else."""
    is_list = isinstance(contents, Iterable) and not isinstance(contents, str | os.PathLike)
    listed = list(contents) if is_list else []
    if not is_list or not all(isinstance(content, bytes | bytearray | memoryview) for content in listed):
        raise OptionError("`contents` is neither bytes nor a list of bytes.",
                          "Use open(path, 'rb').read(), or `predict` for paths.", "contents")
    return [bytes(content) for content in listed]


def predict_probabilities(classifier: Classifier, photos: Sequence[Photo | bytes]) -> np.ndarray:
    """Return the probabilities of the labels: float32 [n, n_classes]; raise PhotoError if a photo cannot be read."""
    rows = []
    for photo, prediction in classifier.predict_photos(photos, _read):
        if prediction.probabilities is None:
            raise PhotoError(prediction.reason if isinstance(photo, bytes) else f"{photo.uri}: {prediction.reason}")
        rows.append(prediction.probabilities)
    return np.stack(rows) if rows else np.empty((0, len(classifier.labels)), np.float32)


def _read(photo: Photo | bytes) -> bytes:
    return photo if isinstance(photo, bytes) else photo.read()
