"""Compare the accuracies of several classifiers on the same photos."""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .intervals import standard_error

# All combinations of signs are tried if at most this many groups differ; otherwise, combinations are drawn.
MAX_ENUMERATED_GROUPS = 14
N_DRAWS = 20_000
N_RESAMPLES = 1_000
# The number of combinations or samples that are computed at a time, which limits the memory.
CHUNK = 1_000


@dataclass(frozen=True)
class PairedDifference:
    """The difference in accuracy between two classifiers on the same photos.

    Attributes:
        difference: The accuracy of the first one minus that of the second one, -1 to 1.
        standard_error: The standard error of the difference, which is clustered if the photos are in groups; NaN for
            a single photo or group.
        p_value: The two-sided p-value of `paired_p_value`.
        only_first: The number of photos that only the first one classifies correctly.
        only_second: The number of photos that only the second one classifies correctly.
    """

    difference: float
    standard_error: float
    p_value: float
    only_first: int
    only_second: int

    def format_points(self) -> str:
        """Return the difference with its standard error, in percentage points."""
        error = "?" if math.isnan(self.standard_error) else f"{100 * self.standard_error:.1f}"
        return f"{100 * self.difference:.1f} ± {error}"


def paired_difference(first: np.ndarray, second: np.ndarray, groups: np.ndarray | None = None) -> PairedDifference:
    """Return the difference in accuracy between two classifiers on the same photos.

    Args:
        first: bool [n], whether each prediction of the first classifier is correct.
        second: bool [n], the same for the second one.
        groups: int64 [n], the number of each photo's group, or None for independent photos.
    """
    differences = first.astype(np.int64) - second
    return PairedDifference(float(differences.mean()), standard_error(differences.astype(float), groups),
                            paired_p_value(differences, groups), int((differences > 0).sum()),
                            int((differences < 0).sum()))


def paired_p_value(differences: np.ndarray, groups: np.ndarray | None = None) -> float:
    """Return the p-value of the hypothesis that two classifiers are equally accurate.

    For independent photos, this is McNemar's exact test. With groups, it is the same test for whole groups: under the
    hypothesis, the two classifiers could be exchanged in any group, which changes the sign of the group's sum of
    differences. The p-value is the fraction of all combinations of signs whose total is at least as far from 0 as the
    observed one (Fisher's randomization test). Without groups, every photo is its own group, and the two tests are
    the same.

    Args:
        differences: int64 [n]; 1 if only the first classifier is right, -1 if only the second one is, otherwise 0.
        groups: int64 [n], the number of each photo's group, or None for independent photos.

    Returns:
        A number from 0 (exclusive) to 1.
    """
    if groups is None:
        from scipy.stats import binomtest  # imported here, because label_image starts without SciPy
        only_first, only_second = int((differences > 0).sum()), int((differences < 0).sum())
        if not only_first + only_second:
            return 1.0
        return float(binomtest(only_first, only_first + only_second).pvalue)
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], differences)
    return _sign_flip_p_value(sums[sums != 0])


def _sign_flip_p_value(sums: np.ndarray) -> float:
    """Return the fraction of the combinations of signs of `sums` whose total is at least as far from 0."""
    limit = abs(sums.sum()) - 1e-9
    if len(sums) <= MAX_ENUMERATED_GROUPS:
        combinations = np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums)) & 1
        return float((np.abs((2 * combinations - 1) @ sums) >= limit).mean())
    rng, count = np.random.default_rng(0), 0
    for _ in range(N_DRAWS // CHUNK):
        signs = 2.0 * rng.integers(0, 2, (CHUNK, len(sums))) - 1
        count += int((np.abs(signs @ sums) >= limit).sum())
    return (1 + count) / (1 + N_DRAWS)  # the observed signs are one of the combinations


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for multiple tests (Holm 1979, https://www.jstor.org/stable/4615733).

    Rejecting the hypotheses whose adjusted p-value is below 5% rejects any true one with a probability of at most 5%,
    however the tests depend on each other.

    Args:
        p_values: The p-values of the tests.

    Returns:
        The adjusted p-values in the same order, at most 1.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(order), 0, -1)
    adjusted = np.minimum(np.maximum.accumulate(np.asarray(p_values, float)[order] * factors), 1.0)
    result = np.empty(len(order))
    result[order] = adjusted
    return result.tolist()


def accuracy_after_choice(correct: np.ndarray, groups: np.ndarray | None = None) -> float:
    """Estimate the accuracy, on new photos, of the classifier that is the best one on these photos.

    The observed accuracy of the best of several classifiers is too high on average, because some of them are better
    on these photos by chance. This is the bootstrap estimate of Tsamardinos et al. 2018 (BBC-CV, doi
    10.1007/s10994-018-5714-4): the best one is chosen on a sample of the photos, drawn with replacement, and measured
    on the photos that were not drawn; the result is the mean over N_RESAMPLES samples.

    Args:
        correct: bool [classifiers, n], whether each prediction is correct.
        groups: int64 [n], the number of each photo's group, or None for independent photos. Whole groups are drawn.

    Returns:
        An accuracy from 0 to 1, at most the observed accuracy of the best one. That of a single group is not
        corrected.
    """
    best = float(correct.mean(axis=1).max())
    numbers = np.arange(correct.shape[1]) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_groups = int(numbers.max()) + 1
    sizes = np.bincount(numbers).astype(float)
    sums = np.stack([np.bincount(numbers, row, n_groups) for row in correct.astype(float)])
    rng, accuracies = np.random.default_rng(0), []
    for _ in range(N_RESAMPLES):
        weights = np.bincount(rng.integers(0, n_groups, n_groups), minlength=n_groups)
        others = weights == 0
        if others.any():
            chosen = int((sums @ weights).argmax())
            accuracies.append(sums[chosen, others].sum() / sizes[others].sum())
    return min(best, float(np.mean(accuracies))) if accuracies else best
