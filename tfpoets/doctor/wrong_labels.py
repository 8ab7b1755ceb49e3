"""Photos whose label is likely wrong: confident learning on answers that never saw the photo.

Northcutt, Jiang & Chuang 2021 (arXiv 1911.00068): a photo counts as mislabelled when the out-of-fold probability of
another class is at least what that class's own photos get on average. Here it is done twice: what the first round
suspects does not train in the second, so that wrong labels do not vouch for one another. The probabilities are those
of a head, held back more strongly than a classifier's, mixed with what the nearest photos say.
"""
from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tfpoets.data import Examples
from tfpoets.evaluation import MIN_PROBABILITY, cross_entropy
from tfpoets.training import out_of_fold_at_l2

from .detector import Evidence
from .findings import Finding
from .neighbours import Neighbours

log = logging.getLogger(__name__)

# Chosen on 20 random draws of flipped labels that the figures in RESULTS.md do not use.
FOLDS = 10
L2 = 0.4
HEAD_WEIGHT = 0.7
NEIGHBOURS = 20
# How much faster a neighbour's vote fades than its cosine.
SHARPNESS = 10.0
# What a class gets without any neighbour of it.
FLOOR = 0.01
# Photos that a class needs before the others can be measured by it, or it by the others.
MIN_PHOTOS = 5
# Where more than this share of all labels seem wrong, the network cannot tell the classes apart: nothing is listed.
MAX_FRACTION = 0.25


@dataclass(frozen=True, eq=False)
class LabelIssues:
    """What is thought of every label.

    Attributes:
        able: whether the network tells the classes apart well enough to suspect any label; if not, none is listed.
        listed: bool [photos]: likely wrong.
        scores: float64 [photos]: -log of the label's probability; larger is more suspicious.
        suggested: int64 [photos]: the most probable class.
        probabilities: float64 [photos, classes].
    """

    able: bool
    listed: np.ndarray
    scores: np.ndarray
    suggested: np.ndarray
    probabilities: np.ndarray


class WrongLabelDetector:
    """Finds photos whose label the other photos contradict."""

    kinds = {"likely_wrong_label": 30}
    measure = None

    def find(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield findings from the bottlenecks."""
        dataset = evidence.dataset
        assert dataset.split is not None
        suspicion = find_label_issues(evidence.X, dataset.targets, dataset.split.groups, evidence.neighbours)
        if not suspicion.able:
            log.warning("Wrong labels cannot be found: on these photos the network tells the classes apart too badly.")
        for row in suspicion.listed.nonzero()[0]:
            suggested = suspicion.suggested[row]
            yield Finding("likely_wrong_label", dataset.photos[row], float(suspicion.scores[row]),
                          f"looks like {dataset.labels[suggested]} ({suspicion.probabilities[row, suggested]:.0%})")


def find_label_issues(bottlenecks: np.ndarray, classes: np.ndarray, groups: np.ndarray, neighbours: Neighbours
                   ) -> LabelIssues:
    """Looks for labels that the other photos contradict.

    Args:
        bottlenecks: float32 [photos, depth].
        classes: int64 [photos], the labels as they are.
        groups: int64 [photos]: look-alikes have the same number; they never vouch for one another.
        neighbours: of the same photos.
    """
    width = int(classes.max()) + 1
    examples = Examples(bottlenecks, classes, width)
    folds = np.unique(groups, return_inverse=True)[1] % FOLDS
    kept = np.ones(len(classes), bool)
    for _ in range(2):
        head = out_of_fold_at_l2(examples, folds, L2, kept)
        votes = _votes(classes, groups, neighbours, kept, width)
        probabilities = head ** HEAD_WEIGHT * votes ** (1 - HEAD_WEIGHT)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        listed = _confidently_other(probabilities, classes)
        kept = ~listed
    able = bool(listed.mean() <= MAX_FRACTION)
    losses = cross_entropy(np.log(np.maximum(probabilities, MIN_PROBABILITY)), classes)
    return LabelIssues(able, listed & able, losses, probabilities.argmax(axis=1), probabilities)


def _votes(classes: np.ndarray, groups: np.ndarray, neighbours: Neighbours, kept: np.ndarray, width: int
           ) -> np.ndarray:
    """What the nearest photos that are trusted say: float64 [photos, classes], rows summing to 1."""
    weights = np.exp(SHARPNESS * neighbours.similarities.astype(np.float64))
    usable = kept[neighbours.rows] & (groups[neighbours.rows] != groups[:, None])
    weights *= usable & (np.cumsum(usable, axis=1) <= NEIGHBOURS)
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    votes = np.full((len(classes), width), FLOOR)
    labels = classes[neighbours.rows]
    for label in range(width):
        votes[:, label] += (weights * (labels == label)).sum(axis=1) / total[:, 0]
    return votes / votes.sum(axis=1, keepdims=True)


def _confidently_other(probabilities: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Whether a photo belongs off the diagonal of the confident joint (section 3.1 of the paper): bool [photos]."""
    own = probabilities[np.arange(len(classes)), classes]
    counts = np.bincount(classes, minlength=probabilities.shape[1])
    thresholds = np.bincount(classes, own, minlength=probabilities.shape[1]) / np.maximum(counts, 1)
    thresholds[counts < MIN_PHOTOS] = np.inf
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    other = (confident.max(axis=1) >= 0) & (confident.argmax(axis=1) != classes)
    # A label that is the likeliest all the same is not suspected.
    return other & (probabilities.argmax(axis=1) != classes) & (counts[classes] >= MIN_PHOTOS)
