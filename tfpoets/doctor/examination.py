"""The whole examination: every kind of finding, ranked."""
from __future__ import annotations

import logging
from collections.abc import Iterator

from tfpoets.data import Dataset, Split
from tfpoets.extractors import Bottlenecks

from .duplicates import find_duplicates
from .files import find_imbalance, find_odd_files, find_unreadable
from .findings import Finding, ranked
from .neighbours import find_neighbours
from .outliers import find_outliers
from .wrong_labels import Suspicion, suspect_labels

log = logging.getLogger(__name__)


def examine(bottlenecks: Bottlenecks, split: Split, side: int) -> list[Finding]:
    """Looks at every photo, by its file and by its bottleneck; changes nothing.

    Args:
        bottlenecks: of at least two classes.
        split: of the same photos.
        side: of the input of the network that labels such photos, in pixels.

    Returns:
        Findings in the order in which a person should look at them.
    """
    dataset = bottlenecks.dataset
    neighbours = find_neighbours(bottlenecks.features)
    suspicion = suspect_labels(bottlenecks.features, dataset.targets, split.groups, neighbours)
    return ranked([*find_unreadable(bottlenecks.unreadable), *find_odd_files(dataset, side),
                   *find_imbalance(dataset), *find_duplicates(dataset, bottlenecks.hashes, neighbours, split),
                   *_wrong_labels(dataset, suspicion), *find_outliers(dataset, bottlenecks.features)])


def _wrong_labels(dataset: Dataset, suspicion: Suspicion) -> Iterator[Finding]:
    if not suspicion.able:
        log.warning("Wrong labels cannot be found: on these photos the network tells the classes apart too badly.")
    for row in suspicion.listed.nonzero()[0]:
        suggested = suspicion.suggested[row]
        yield Finding("likely_wrong_label", dataset.photos[row].path, float(suspicion.scores[row]),
                      f"looks like {dataset.labels[suggested]} ({suspicion.probabilities[row, suggested]:.0%})")
