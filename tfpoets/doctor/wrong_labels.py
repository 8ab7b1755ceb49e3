"""A detector of wrong labels, by confident learning on out-of-fold probabilities.

Northcutt, Jiang & Chuang 2021 (arXiv 1911.00068): a photo counts as mislabeled if the probability of another class is
at least the mean probability of that class over the photos labeled with it. This is done in two rounds. The second
round does not train on the photos suspected in the first one, so that wrong labels do not support each other. The
probabilities are those of a head with a stronger penalty than a classifier's, combined with the votes of the nearest
photos. Large datasets are judged by label_votes.py.
"""
from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tfpoets.data import Examples
from tfpoets.evaluation import MIN_PROBABILITY, cross_entropy
from tfpoets.training import OutOfFoldPredictor

from .detector import Evidence
from .findings import Finding
from .label_votes import MAX_HEAD_PHOTOS, MAX_HEAD_SCORES, Candidates, LabelJudge, VoteRules
from .neighbours import Neighbours

log = logging.getLogger(__name__)

# The kind of the findings.
WRONG_LABEL = "likely_wrong_label"

# The following constants were chosen on 20 random draws of flipped labels other than those in RESULTS.md.
N_FOLDS = 10
L2 = 0.4
# The exponent of the head's probabilities; that of the votes is 1 minus this.
HEAD_WEIGHT = 0.7
MAX_VOTERS = 20
# A neighbour's vote has the weight exp(VOTE_SHARPNESS * cosine similarity).
VOTE_SHARPNESS = 10.0
# Added to the fraction of the votes for each class, so that none is 0.
VOTE_SMOOTHING = 0.01
# Labels of classes with fewer photos are neither suspected nor suggested.
MIN_PHOTOS = 5
VOTE_RULES = VoteRules(L2, HEAD_WEIGHT, MAX_VOTERS, VOTE_SHARPNESS, VOTE_SMOOTHING)
# If more than this fraction of the labels seems wrong, none is reported: the network cannot separate the classes.
MAX_FRACTION = 0.25


@dataclass(frozen=True, eq=False)
class LabelIssues:
    """The assessment of all labels.

    Attributes:
        is_reliable: Whether the network separates the classes well enough. If not, no label is an issue.
        is_issue: bool [n_photos], whether each label is probably wrong.
        scores: float64 [n_photos], the negative logarithm of each label's probability: higher is more suspicious.
        predicted: int64 [n_photos], the most probable classes.
        confidence: float64 [n_photos], the probabilities of these classes.
    """

    is_reliable: bool
    is_issue: np.ndarray
    scores: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray


class WrongLabelDetector:
    """Finds photos whose label contradicts the other photos."""

    kinds = {WRONG_LABEL: 30}
    measure = None

    def find(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield findings from the bottlenecks."""
        dataset = evidence.dataset
        assert dataset.split is not None
        issues = find_label_issues(evidence.X, dataset.targets, dataset.split.groups, evidence.neighbours)
        if not issues.is_reliable:
            log.warning("Wrong labels cannot be found: the network does not separate the classes well enough.")
        for row in issues.is_issue.nonzero()[0]:
            predicted = issues.predicted[row]
            yield Finding(WRONG_LABEL, dataset.photos[row], float(issues.scores[row]),
                          f"looks like {dataset.labels[predicted]} ({issues.confidence[row]:.0%})")


def find_label_issues(X: np.ndarray, y: np.ndarray, groups: np.ndarray, neighbours: Neighbours) -> LabelIssues:
    """Find labels that contradict the other photos.

    Args:
        X: float32 [n_photos, depth], the bottlenecks.
        y: int64 [n_photos], the targets, some of which may be wrong.
        groups: int64 [n_photos], equal for near duplicates, which do not vote on each other's labels.
        neighbours: The neighbours of the photos.
    """
    n_classes = int(y.max()) + 1
    if len(y) > MAX_HEAD_PHOTOS or len(y) * n_classes > MAX_HEAD_SCORES:
        return _find_in_large_dataset(LabelJudge(X, y, groups, neighbours, VOTE_RULES), y)
    predictor = OutOfFoldPredictor(Examples(X, y, n_classes), np.unique(groups, return_inverse=True)[1] % N_FOLDS, L2)
    trusted = np.ones(len(y), bool)
    for _ in range(2):
        head_probabilities = predictor.probabilities(trusted)
        votes = _count_votes(y, n_classes, groups, neighbours, trusted)
        probabilities = head_probabilities ** HEAD_WEIGHT * votes ** (1 - HEAD_WEIGHT)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        is_issue = _find_confident_disagreement(probabilities, y)
        trusted = ~is_issue
    is_reliable = bool(is_issue.mean() <= MAX_FRACTION)
    scores = cross_entropy(np.log(np.maximum(probabilities, MIN_PROBABILITY)), y)
    predicted = probabilities.argmax(axis=1)
    return LabelIssues(is_reliable, is_issue & is_reliable, scores, predicted,
                       probabilities[np.arange(len(y)), predicted])


def _find_in_large_dataset(judge: LabelJudge, y: np.ndarray) -> LabelIssues:
    """Find wrong labels like `find_label_issues`, among the candidates only."""
    if not judge.uses_heads:
        log.info("There are too many classes to train heads that judge the labels of all photos, so wrong labels are "
                 "searched for by comparing each photo with its %d most similar ones.", MAX_VOTERS)
    trusted = np.ones(len(y), bool)
    for _ in range(2):
        candidates = judge.judge(trusted)
        is_issue = _find_disagreeing_candidates(candidates, y)
        trusted = ~is_issue
    is_reliable = bool(is_issue.mean() <= MAX_FRACTION)
    column = candidates.probabilities.argmax(axis=1)[:, np.newaxis]
    predicted, confidence = (np.take_along_axis(values, column, axis=1)[:, 0]
                             for values in (candidates.classes, candidates.probabilities))
    scores = -np.log(np.maximum(candidates.probabilities[:, 0].astype(np.float64), MIN_PROBABILITY))
    return LabelIssues(is_reliable, is_issue & is_reliable, scores, predicted.astype(np.int64),
                       confidence.astype(np.float64))


def _count_votes(y: np.ndarray, n_classes: int, groups: np.ndarray, neighbours: Neighbours, trusted: np.ndarray
                 ) -> np.ndarray:
    """Return the votes of the nearest trusted photos of other groups: float64 [n_photos, n_classes], rows sum to 1."""
    weights = np.exp(VOTE_SHARPNESS * neighbours.similarities.astype(np.float64))
    may_vote = trusted[neighbours.rows] & (groups[neighbours.rows] != groups[:, None])
    weights *= may_vote & (np.cumsum(may_vote, axis=1) <= MAX_VOTERS)
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    votes = np.full((len(y), n_classes), VOTE_SMOOTHING)
    neighbour_y = y[neighbours.rows]
    for label in range(n_classes):
        votes[:, label] += (weights * (neighbour_y == label)).sum(axis=1) / total[:, 0]
    return votes / votes.sum(axis=1, keepdims=True)


def _find_confident_disagreement(probabilities: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return which photos are off the diagonal of the confident joint (section 3.1 of the paper): bool [n_photos]."""
    label_probabilities = probabilities[np.arange(len(y)), y]
    counts, thresholds = _class_thresholds(label_probabilities, y, probabilities.shape[1])
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    disagrees = (confident.max(axis=1) >= 0) & (confident.argmax(axis=1) != y)
    # A label that is still the most probable class is not suspected.
    return disagrees & (probabilities.argmax(axis=1) != y) & (counts[y] >= MIN_PHOTOS)


def _find_disagreeing_candidates(candidates: Candidates, y: np.ndarray) -> np.ndarray:
    """Return which photos `_find_confident_disagreement` would return, among the candidates: bool [n_photos]."""
    classes, probabilities = candidates.classes, candidates.probabilities
    counts, thresholds = _class_thresholds(probabilities[:, 0], y, int(y.max()) + 1)
    is_confident = (classes >= 0) & (probabilities >= thresholds[classes])
    column = np.where(is_confident, probabilities, -1).argmax(axis=1)
    disagrees = is_confident.any(axis=1) & (column != 0)
    return disagrees & (probabilities.argmax(axis=1) != 0) & (counts[y] >= MIN_PHOTOS)


def _class_thresholds(label_probabilities: np.ndarray, y: np.ndarray, n_classes: int
                      ) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of photos of each class, and the mean probability of their label; inf for too few photos."""
    counts = np.bincount(y, minlength=n_classes)
    thresholds = np.bincount(y, label_probabilities, minlength=n_classes) / np.maximum(counts, 1)
    thresholds[counts < MIN_PHOTOS] = np.inf
    return counts, thresholds
