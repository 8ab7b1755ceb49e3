"""Learning curves: the accuracy against the number of training photos, and forecasts for more photos."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

# The exponents, and the fractions of the error that no number of photos removes, of the power laws that are averaged.
EXPONENTS = np.geomspace(0.05, 1.2, 12)
FLOORS = np.linspace(0, 0.9, 10)
# The variance of the error rate e between training sets of n photos is typically e (1 - e) times
# TEST_FACTOR / n_test + TRAINING_FACTOR / n ** 1.5. This was measured with three networks on draws of 9 to 707 flower
# photos.
TEST_FACTOR, TRAINING_FACTOR = 0.6, 1.3
# The measured variance is averaged with the typical one, which counts as this many draws.
PRIOR_DRAWS = 12
# The variance that is added to each point, as a fraction of the variance between training sets of the largest size,
# because a power law is only an approximation.
MISFIT = 0.1


@dataclass(frozen=True)
class CurvePoint:
    """The accuracy of heads that were trained on a given number of photos.

    Attributes:
        size: The number of training photos.
        accuracies: For each draw of that many photos, the accuracy on the test photos, 0 to 1.
    """

    size: int
    accuracies: tuple[float, ...]

    @property
    def accuracy(self) -> float:
        """The mean accuracy over the draws."""
        return float(np.mean(self.accuracies))


@dataclass(frozen=True)
class Forecast:
    """The accuracy that a head is expected to reach on the same test photos if it is trained on more photos.

    Attributes:
        size: The number of training photos.
        accuracy: The expected accuracy, 0 to 1.
        interval: The 95% interval of the accuracy.
    """

    size: int
    accuracy: float
    interval: tuple[float, float]


class PowerLaw:
    """A power law fitted to a learning curve, which forecasts the accuracy with more photos and its uncertainty.

    With n training photos, the error rate is

        e(n) = level * (floor + (1 - floor) * (n / largest) ** -exponent).

    This form, with three parameters, describes most learning curves well (Viering & Loog 2021, arXiv 2103.10948). But
    with points over only a few doublings, a low exponent can hardly be distinguished from a high floor, and the best
    pair of exponent and floor alone would make forecasts look too certain. Forecasts are therefore averaged over all
    pairs, weighted by how well they fit: a Bayesian fit on a grid, in which the level has a normal distribution for
    each pair.

    Forecasts are for photos that include those of the largest point, and only the new photos add to the variance.

    Args:
        points: At least three points in ascending order of size. The last one is for all training photos.
        n_test: The number of test photos.
    """

    def __init__(self, points: Sequence[CurvePoint], n_test: int):
        self._largest = points[-1].size
        errors = np.array([1 - point.accuracy for point in points])
        variances, self._variance = _point_variances(points, n_test)
        shapes = self._shapes(np.array([point.size for point in points], float))
        self._level_variances = 1 / (shapes ** 2 / variances).sum(axis=-1)
        self._levels = self._level_variances * (shapes * errors / variances).sum(axis=-1)
        residuals = errors - self._levels[..., None] * shapes
        log_weights = 0.5 * np.log(self._level_variances) - 0.5 * (residuals ** 2 / variances).sum(axis=-1)
        weights = np.exp(log_weights - log_weights.max())
        self._weights = weights / weights.sum()

    def _shapes(self, sizes: np.ndarray) -> np.ndarray:
        """Return e(n) / level for all exponents, floors and sizes: float64 [exponents, floors, sizes]."""
        floors = FLOORS[:, None]
        return floors + (1 - floors) * (sizes / self._largest) ** -EXPONENTS[:, None, None]

    @cached_property
    def exponent(self) -> float:
        """The exponent of the power law without a floor that has the same slope at the largest point."""
        return float((self._weights * (1 - FLOORS) * EXPONENTS[:, None]).sum())

    def forecast(self, size: int) -> Forecast:
        """Return the forecast for a number of training photos of at least 1."""
        shapes = self._shapes(np.array([size], float))[..., 0]
        means = self._levels * shapes
        new_fraction = max(0.0, 1 - self._largest / size)
        variances = self._level_variances * shapes ** 2 + self._variance * (new_fraction + MISFIT)
        low, high = _mixture_quantiles(self._weights.ravel(), means.ravel(), np.sqrt(variances).ravel(),
                                       (0.025, 0.975))
        mean = float((self._weights * means).sum())
        accuracy, lowest, highest = (min(max(1 - error, 0.0), 1.0) for error in (mean, high, low))
        return Forecast(size, accuracy, (lowest, highest))


def _point_variances(points: Sequence[CurvePoint], n_test: int) -> tuple[np.ndarray, float]:
    """Return the variance of each point around the power law, and that between training sets of the largest size.

    Draws of n of the N photos have 1 - n / N times the variance of independent training sets of n photos.
    """
    sizes = np.array([point.size for point in points], float)
    n_draws = np.array([len(point.accuracies) for point in points])
    errors = np.clip([1 - point.accuracy for point in points], 0.5 / n_test, 1 - 0.5 / n_test)
    typical = errors * (1 - errors) * (TEST_FACTOR / n_test + TRAINING_FACTOR / sizes ** 1.5)
    independent = 1 - sizes / sizes[-1]
    ratio, degrees = float(PRIOR_DRAWS), PRIOR_DRAWS
    for point, variance, fraction in zip(points[:-1], typical, independent):
        ratio += len(point.accuracies) * float(np.var(point.accuracies)) / (variance * fraction)
        degrees += len(point.accuracies) - 1
    variances = ratio / degrees * typical
    return variances * independent / n_draws + MISFIT * variances[-1], float(variances[-1])


def _mixture_quantiles(weights: np.ndarray, means: np.ndarray, deviations: np.ndarray, probabilities: Sequence[float]
                       ) -> list[float]:
    """Return quantiles of a mixture of normal distributions; all arrays are float64 [components]."""
    from scipy.special import ndtr  # imported here because label_image starts without SciPy
    grid = np.linspace((means - 4 * deviations).min(), (means + 4 * deviations).max(), 500)
    cumulative = weights @ ndtr((grid - means[:, None]) / deviations[:, None])
    return [float(np.interp(probability, cumulative, grid)) for probability in probabilities]
