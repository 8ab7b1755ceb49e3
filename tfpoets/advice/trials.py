"""Try other features on photos that are not test photos: larger input sizes, and more views."""
from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tfpoets.data import TEST, Dataset, Examples, can_cross_validate, group_numbers, spread_over_folds
from tfpoets.errors import ExtractorError
from tfpoets.evaluation import PairedDifference, choose_classes, paired_difference
from tfpoets.events import stage_events
from tfpoets.extractors import ExecutionOptions, Extractor, ExtractorOptions, extract_bottlenecks, open_extractor
from tfpoets.retrain_options import RetrainOptions
from tfpoets.training import EventCallback, HeadOptions, fit_head, out_of_fold_probabilities

log = logging.getLogger(__name__)

# At most this many photos are used. Two cores compute the features of both trials in about five minutes.
MAX_PHOTOS = 2000
N_FOLDS = 5
# With fewer photos, differences would be noise; with fewer per class, some folds would lack the class.
MIN_PHOTOS, MIN_PHOTOS_PER_CLASS = 60, 6
# The larger size: twice the pixels, as a multiple that networks can halve five times.
SIZE_FACTOR, SIZE_STEP = 1.4, 32
VIEWS = 4


@dataclass(frozen=True)
class Trial:
    """The accuracy with other features, compared by cross-validation on the same photos and folds.

    Attributes:
        option: The option that was changed: "image_size" or "views".
        value: Its value.
        difference: The accuracy with this value, compared with that of the run.
        count: The number of photos.
        time_ratio: How many times as long each photo takes.
    """

    option: str
    value: int
    difference: PairedDifference
    count: int
    time_ratio: float


def run_trials(dataset: Dataset, extractor: Extractor, costs: np.ndarray | None, options: RetrainOptions,
               on_event: EventCallback) -> tuple[Trial, ...]:
    """Measure what larger photos and more views gain, on some of the photos that are not test photos.

    The features are stored in the cache, so a run that uses the option need not compute them again.

    Args:
        dataset: The photos, with their split and the bottlenecks of the extractor.
        extractor: The extractor of the run.
        costs: The costs of the answers, float64 [n_classes, n_classes], or None.
        options: The options of the run.
        on_event: Receives the events of the stage.

    Returns:
        The trials; none if there are too few photos, if a class has too few independent ones, or if the network takes
        only one size and the run uses views.
    """
    with stage_events("trials", on_event):
        photos = _draw_photos(dataset)
        if photos is None:
            return ()
        assert photos.split is not None
        examples = photos.examples()
        folds = spread_over_folds(examples.y, photos.split.groups, N_FOLDS)
        if not can_cross_validate(examples.y, folds, examples.n_classes):
            return ()
        trials = []
        for name, value, cost, candidate in _candidates(extractor, options.extractor):
            extracted = extract_bottlenecks(photos, candidate, options.bottleneck_dir,
                                            execution=ExecutionOptions(ray_address=options.ray_address))
            remaining = {photo.uri for photo in extracted.dataset.photos}  # without those deleted meanwhile
            is_there = np.array([photo.uri in remaining for photo in photos.photos], bool)
            difference = compare_features(examples.select(is_there), extracted.features, folds[is_there],
                                          options.training.head, costs)
            trials.append(Trial(name, value, difference, int(is_there.sum()), cost))
        return tuple(trials)


def _draw_photos(dataset: Dataset) -> Dataset | None:
    """Return at most about MAX_PHOTOS photos that are not test photos, or None if there are too few."""
    assert dataset.split is not None
    rows = np.flatnonzero(dataset.split.parts != TEST)
    y = dataset.targets[rows]
    if len(rows) < MIN_PHOTOS or np.bincount(y, minlength=len(dataset.labels)).min() < MIN_PHOTOS_PER_CLASS:
        return None
    parts = spread_over_folds(y, dataset.split.groups[rows], -(-len(rows) // MAX_PHOTOS))
    mask = np.zeros(len(dataset), bool)
    mask[rows[parts == 0]] = True
    return dataset.select(mask)


def compare_features(examples: Examples, features: np.ndarray, folds: np.ndarray,
                     head_options: HeadOptions = HeadOptions(), costs: np.ndarray | None = None) -> PairedDifference:
    """Return the accuracy with other features minus that with those of the examples, by cross-validation.

    Args:
        examples: The photos.
        features: float32 [n, depth], their other features.
        folds: int64 [n], the fold of each photo.
        head_options: How the heads are trained.
        costs: The costs of the answers, float64 [n_classes, n_classes], or None.
    """
    changed = replace(examples, X=features)
    return paired_difference(_classify(changed, folds, head_options, costs),
                             _classify(examples, folds, head_options, costs), group_numbers(examples.photos))


def _classify(examples: Examples, folds: np.ndarray, head_options: HeadOptions, costs: np.ndarray | None
              ) -> np.ndarray:
    """Return which photos are classified correctly by heads that were trained on other folds: bool [n]."""
    probabilities = out_of_fold_probabilities(
        examples, folds, lambda train, validation: fit_head(train, validation, head_options))
    return choose_classes(probabilities, costs) == examples.y


def _candidates(extractor: Extractor, options: ExtractorOptions) -> Iterator[tuple[str, int, float, Extractor]]:
    """Yield the option, its value, the cost and the extractor of each trial that the network supports."""
    size = round(extractor.height * SIZE_FACTOR / SIZE_STEP) * SIZE_STEP
    candidates = [("image_size", size, (size / extractor.height) ** 2, replace(options, image_size=size))]
    if options.views == 1:
        candidates.append(("views", VIEWS, float(VIEWS), replace(options, views=VIEWS)))
    for name, value, cost, changed in candidates:
        try:
            candidate = open_extractor(changed)
        except ExtractorError as error:  # most networks from TF Hub take one size only
            log.debug("Not tried: %s=%d. %s", name, value, error.problem)
            continue
        yield name, value, cost, candidate
