"""Compute metrics, intervals and calibration from arrays; independent of models and files."""
from .calibration import fit_temperature
from .cross_entropy import MIN_PROBABILITY, cross_entropy, log_softmax
from .intervals import proportion_interval, standard_error, wilson_interval
from .metrics import (AverageMetrics, CalibrationBin, ClassMetrics, Metrics, calibration_bins, calibration_error,
                      evaluate)
from .paired import (PairedDifference, accuracy_after_choice, holm_adjusted, paired_difference,
                     paired_p_value)
from .rejection import Rejection, evaluate_rejection

__all__ = ["MIN_PROBABILITY", "AverageMetrics", "CalibrationBin", "ClassMetrics", "Metrics", "PairedDifference",
           "Rejection", "accuracy_after_choice", "calibration_bins", "calibration_error", "cross_entropy", "evaluate",
           "evaluate_rejection", "fit_temperature", "holm_adjusted", "log_softmax", "paired_difference",
           "paired_p_value", "proportion_interval", "standard_error", "wilson_interval"]
