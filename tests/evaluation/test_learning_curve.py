"""Forecasts of learning curves contain the truth, and are as uncertain as they claim."""
from __future__ import annotations

import numpy as np
import pytest

from tfpoets.evaluation import CurvePoint, PowerLaw

SIZES = (94, 133, 188, 265, 375, 530, 750, 1060)
N_TEST = 400


def error(size: float, exponent: float, floor: float) -> float:
    return floor + (0.08 - floor) * (size / SIZES[-1]) ** -exponent


def exact_curve(exponent: float, floor: float = 0.0) -> list[CurvePoint]:
    return [CurvePoint(size, (1 - error(size, exponent, floor),) * (1 if size == SIZES[-1] else 5)) for size in SIZES]


@pytest.mark.parametrize(("exponent", "floor"), [(0.1, 0.0), (0.3, 0.0), (0.6, 0.0), (0.5, 0.04)])
def test_the_forecast_of_a_power_law_without_noise_is_close_to_it(exponent: float, floor: float) -> None:
    forecast = PowerLaw(exact_curve(exponent, floor), N_TEST).forecast(2 * SIZES[-1])
    truth = 1 - error(2 * SIZES[-1], exponent, floor)
    assert forecast.size == 2 * SIZES[-1] and abs(forecast.accuracy - truth) < 0.005
    assert forecast.interval[0] < truth < forecast.interval[1]


def test_a_constant_accuracy_is_forecast_to_remain_constant() -> None:
    forecast = PowerLaw([CurvePoint(size, (0.9,)) for size in SIZES], N_TEST).forecast(2 * SIZES[-1])
    assert forecast.accuracy == pytest.approx(0.9, abs=0.004)


def test_the_interval_grows_with_the_distance_and_shrinks_with_the_number_of_test_photos() -> None:
    def width(n_test: int, factor: int) -> float:
        low, high = PowerLaw(exact_curve(0.3), n_test).forecast(factor * SIZES[-1]).interval
        return high - low
    assert width(50, 2) > 1.5 * width(400, 2) and width(400, 8) > 1.3 * width(400, 2)


def test_the_interval_contains_the_accuracy_of_most_simulated_classifiers() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        exponent, floor = rng.uniform(0.1, 0.6), rng.uniform(0, 0.05)
        # All training sets share the photos of the largest, and each differs by as much as real ones do.
        deviation = 0.02 * rng.normal() / SIZES[-1] ** 0.5 * 10
        points = []
        for size in SIZES:
            expected = error(size, exponent, floor)
            scatter = (0.5 * expected * (1 - expected) / N_TEST * (1 - size / SIZES[-1])) ** 0.5
            draws = expected + deviation + scatter * rng.normal(size=1 if size == SIZES[-1] else 5)
            points.append(CurvePoint(size, tuple(1 - draws)))
        expected = error(2 * SIZES[-1], exponent, floor)
        truth = 1 - (expected + deviation / 2 + (0.25 * expected * (1 - expected) / N_TEST) ** 0.5 * rng.normal())
        low, high = PowerLaw(points, N_TEST).forecast(2 * SIZES[-1]).interval
        inside += low <= truth <= high
    assert inside >= 180


def test_a_curve_that_reaches_100_percent_gives_intervals_within_0_and_1() -> None:
    accuracies = (0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0, 1.0)
    points = [CurvePoint(size, (accuracy,)) for size, accuracy in zip(SIZES, accuracies)]
    forecast = PowerLaw(points, 60).forecast(9999)
    assert 0 <= forecast.interval[0] <= forecast.accuracy <= forecast.interval[1] <= 1
