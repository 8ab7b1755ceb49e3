"""Compute metrics, intervals and calibration from arrays; independent of models and files."""
from .calibration import fit_temperature
from .costs import choose_classes, mean_cost
from .cross_entropy import MIN_PROBABILITY, cross_entropy, log_softmax
from .intervals import Z_95, proportion_interval, standard_error, wilson_interval
from .learning_curve import CurvePoint, Forecast, PowerLaw
from .metrics import (AverageMetrics, CalibrationBin, ClassMetrics, Metrics, calibration_bins, calibration_error,
                      evaluate)
from .rejection import Rejection, evaluate_rejection
from .selective import CoverageCurve, SelectiveMetrics, coverage_curve, evaluate_answered

__all__ = ["MIN_PROBABILITY", "Z_95", "AverageMetrics", "CalibrationBin", "ClassMetrics", "CoverageCurve",
           "CurvePoint", "Forecast", "Metrics", "PowerLaw", "Rejection", "SelectiveMetrics", "calibration_bins",
           "calibration_error", "choose_classes", "coverage_curve", "cross_entropy", "evaluate", "evaluate_answered",
           "evaluate_rejection", "fit_temperature", "log_softmax", "mean_cost", "proportion_interval",
           "standard_error", "wilson_interval"]
