"""Confidence intervals of proportions, for independent photos and for groups of photos that are alike."""
from __future__ import annotations

import math

import numpy as np

Z_95 = 1.959963984540054  # the 97.5% quantile of the normal distribution
UPPER_TAIL = 0.975


def wilson_interval(correct: float, count: float, z: float = Z_95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion (Wilson 1927), which is valid for small counts and near 0 and 1.

    Args:
        correct: The number of successes.
        count: The number of trials, above 0.
        z: The quantile of the normal distribution for the coverage; 1.96 for 95%.

    Returns:
        The lower and upper bound, within [0, 1].
    """
    proportion = correct / count
    centre = (proportion + z * z / (2 * count)) / (1 + z * z / count)
    half_width = (z / (1 + z * z / count)
                  * math.sqrt(proportion * (1 - proportion) / count + z * z / (4 * count * count)))
    return max(0.0, centre - half_width), min(1.0, centre + half_width)


def proportion_interval(successes: np.ndarray, groups: np.ndarray | None = None) -> tuple[float, float]:
    """Return the 95% interval of a proportion, which is clustered if the trials are in groups.

    Without groups, this is Wilson's interval. With groups, the number of trials is replaced by the effective number,
    which is the number of trials divided by the design effect (Rao & Scott 1992), and the normal quantile by that of
    Student's t with one fewer degree of freedom than there are groups (Korn & Graubard 1998; method "wilson" of
    `svyciprop` in the R package survey). Franco et al. 2019 (doi 10.1093/jssam/smy019) compare such intervals,
    recommend Wilson's, and show that all of them are too narrow if the variance is estimated from few groups. For this
    reason, half a group of successes and half a group of failures, each of mean size, are added before it is
    estimated, as Agresti & Coull 1998 do with trials. If all trials have the same outcome, a group then counts as
    about one trial. Groups of unequal size count as the square of the number of trials over the sum of the squared
    sizes (Kish 1965). The interval contains that of independent trials. `tests/evaluation/test_intervals.py` simulates
    its coverage.

    Args:
        successes: bool [n], the outcomes of at least one trial.
        groups: int64 [n], the number of each trial's group, or None for independent trials.

    Returns:
        The lower and upper bound, within [0, 1].
    """
    count, correct = len(successes), int(successes.sum())
    low, high = wilson_interval(correct, count)
    if groups is None:
        return low, high
    numbers = np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(numbers).astype(float)
    effective_groups = count ** 2 / float((sizes ** 2).sum())
    if effective_groups <= 1:  # a single group says nothing about others
        return 0.0, 1.0
    trials = _effective_trials(np.bincount(numbers, successes), sizes, effective_groups)
    from scipy.special import stdtrit  # imported here, because label_image starts without SciPy
    clustered_low, clustered_high = wilson_interval(correct / count * trials, trials,
                                                    float(stdtrit(effective_groups - 1, UPPER_TAIL)))
    return min(low, clustered_low), max(high, clustered_high)


def _effective_trials(correct: np.ndarray, sizes: np.ndarray, effective_groups: float) -> float:
    """Return the number of independent trials that would give a proportion of the same variance.

    Args:
        correct: float64 [groups], the number of successes in each group.
        sizes: float64 [groups], the number of trials in each group.
        effective_groups: The number of groups of equal size that would give the same variance if all trials of a
            group had the same outcome.
    """
    n_groups, count = len(sizes), float(sizes.sum())
    added = count / n_groups
    proportion = (correct.sum() + added / 2) / (count + added)
    squares = ((correct - proportion * sizes) ** 2).sum()
    squares += added ** 2 * (proportion ** 2 + (1 - proportion) ** 2) / 2
    variance = (n_groups + 1) / n_groups * squares / (count + added) ** 2
    return float(min(max(proportion * (1 - proportion) / variance, effective_groups), count))


def design_effect(successes: np.ndarray, groups: np.ndarray | None) -> float:
    """Return the number of grouped trials that are worth as much as one independent trial: at least 1.

    Args:
        successes: bool [n], the outcomes of at least one trial.
        groups: int64 [n], the number of each trial's group, or None for independent trials.
    """
    if groups is None:
        return 1.0
    numbers = np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(numbers).astype(float)
    effective_groups = len(successes) ** 2 / float((sizes ** 2).sum())
    return len(successes) / _effective_trials(np.bincount(numbers, successes), sizes, effective_groups)


def standard_error(values: np.ndarray, groups: np.ndarray | None = None) -> float:
    """Return the standard error of a mean; that of a cluster sample (Cochran 1977, chapter 9A.2) with groups.

    Args:
        values: float [n], at least one value.
        groups: int64 [n], the number of each value's group, or None if the values are independent.

    Returns:
        NaN for a single value or group.
    """
    if groups is not None:
        numbers = np.unique(groups, return_inverse=True)[1]
        values = (numbers.max() + 1) / len(values) * np.bincount(numbers, values - values.mean())
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else math.nan
