"""Compute metrics, intervals and calibration from arrays; independent of models and files."""
from .calibration import fit_temperature
from .cross_entropy import MIN_PROBABILITY, cross_entropy, log_softmax
from .intervals import proportion_interval, standard_error, wilson_interval
from .metrics import (AverageMetrics, CalibrationBin, ClassMetrics, Metrics, calibration_bins, calibration_error,
                      evaluate)
from .rejection import Rejection, evaluate_rejection

__all__ = ["MIN_PROBABILITY", "AverageMetrics", "CalibrationBin", "ClassMetrics", "Metrics", "Rejection",
           "calibration_bins", "calibration_error", "cross_entropy", "evaluate", "evaluate_rejection",
           "fit_temperature", "log_softmax", "proportion_interval", "standard_error", "wilson_interval"]
