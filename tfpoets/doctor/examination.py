"""The whole examination: every kind of finding, ranked."""
from __future__ import annotations

import logging
from collections.abc import Iterator

from tfpoets.data import PhotoTree, Split
from tfpoets.extractors import Bottlenecks

from .duplicates import find_copies
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
    tree = bottlenecks.tree
    neighbours = find_neighbours(bottlenecks.matrix)
    suspicion = suspect_labels(bottlenecks.matrix, tree.classes(), split.groups, neighbours)
    return ranked([*find_unreadable(bottlenecks.unreadable), *find_odd_files(tree, side),
                   *find_imbalance(tree), *find_copies(tree, bottlenecks.looks, neighbours, split),
                   *_wrong_labels(tree, suspicion), *find_outliers(tree, bottlenecks.matrix)])


def _wrong_labels(tree: PhotoTree, suspicion: Suspicion) -> Iterator[Finding]:
    if not suspicion.able:
        log.warning("Wrong labels cannot be found: on these photos the network tells the classes apart too badly.")
    for row in suspicion.listed.nonzero()[0]:
        suggested = suspicion.suggested[row]
        yield Finding("likely_wrong_label", tree.photos[row].path, float(suspicion.scores[row]),
                      f"looks like {tree.labels[suggested]} ({suspicion.probabilities[row, suggested]:.0%})")
