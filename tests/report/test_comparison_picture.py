"""The picture of a comparison shows any accuracies, times and names."""
from __future__ import annotations

import warnings

import numpy as np

from tfpoets.report import ComparisonPoint, comparison_picture


def test_extreme_accuracies_and_unusual_names_are_drawn_without_a_warning() -> None:
    points = [ComparisonPoint("$x$_🌹\x1b[1m" + "long" * 30, 2.31, 1.0, (0.9, 1 - 1e-9), True),
              ComparisonPoint("b", 2.33, 0.0, (1e-9, 0.2), False)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = np.asarray(comparison_picture(points))
    assert picture.shape[2] == 3 and picture.shape[1] > picture.shape[0] > 300


def test_points_on_the_front_differ_from_others() -> None:
    pictures = [np.asarray(comparison_picture([ComparisonPoint("a", 20.0, 0.9, (0.8, 0.95), True),
                                               ComparisonPoint("b", 30.0, 0.8, (0.7, 0.9), on_front)]))
                for on_front in (False, True)]
    assert (pictures[0] != pictures[1]).any()
