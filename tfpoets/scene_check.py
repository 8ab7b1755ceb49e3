"""Check whether the test photos show the same scenes as the training photos."""
from __future__ import annotations

from dataclasses import replace

import numpy as np

from tfpoets.data import Dataset, find_scene_matches, suggest_group_pattern
from tfpoets.events import Evaluated, stage_events
from tfpoets.exporting import RepeatedScenes
from tfpoets.training import EventCallback


def with_repeated_scenes(evaluated: Evaluated, dataset: Dataset, on_event: EventCallback) -> Evaluated:
    """Return the evaluation, with `repeated_scenes` if many test photos show the same scene as a training photo.

    Args:
        evaluated: The evaluation on the test photos.
        dataset: The photos with their split, and with the bottlenecks of the frozen network. Without bottlenecks (a
            network that is trained from scratch without the doctor), nothing is compared.
        on_event: Receives the events of the stage.
    """
    with stage_events("scenes", on_event):
        matches = find_scene_matches(dataset)
    if not matches or not matches.are_frequent or evaluated.metrics is None:
        return evaluated
    photos, metrics = dataset.photos, evaluated.metrics
    repeated = {photos[row].uri: bool(repeats) for row, repeats in zip(matches.rows, matches.repeated)}
    is_new = np.array([repeated.get(photo.uri) is False for photo in evaluated.photos], bool)
    pairs = [(photos[row].name, photos[nearest].name) for row, nearest, repeats
             in zip(matches.rows, matches.nearest, matches.repeated) if repeats]
    pattern = "" if metrics.groups is not None else suggest_group_pattern(pairs, {photo.name for photo in photos})
    return replace(evaluated, repeated_scenes=RepeatedScenes(len(repeated), sum(repeated.values()),
                                                             *metrics.accuracy_among(is_new), pattern))
