"""Compute metrics, intervals and calibration from arrays; independent of models and files."""
from .calibration import fit_temperature
from .confusion import MAX_FULL_MATRIX_CLASSES, ConfusionMatrix, rows_by_class
from .costs import CostMetrics, choose_classes, evaluate_costs
from .cross_entropy import MIN_PROBABILITY, cross_entropy, log_softmax
from .intervals import Z_95, design_effect, proportion_interval, standard_error, wilson_interval
from .learning_curve import CurvePoint, Forecast, PowerLaw
from .metrics import (AverageMetrics, CalibrationBin, ClassMetrics, Metrics, calibration_bins, calibration_error,
                      evaluate)
from .paired import (PairedDifference, accuracy_after_choice, holm_adjusted, paired_difference,
                     paired_p_value)
from .rejection import Rejection, evaluate_rejection
from .selective import (COVERAGES, CoverageCurve, SelectiveMetrics, answered_at, coverage_curve, coverage_of,
                        evaluate_answered)

__all__ = ["COVERAGES", "MAX_FULL_MATRIX_CLASSES", "MIN_PROBABILITY", "Z_95", "AverageMetrics", "CalibrationBin",
           "ClassMetrics", "ConfusionMatrix", "CostMetrics", "CoverageCurve", "CurvePoint", "Forecast", "Metrics",
           "PairedDifference", "PowerLaw", "Rejection", "SelectiveMetrics", "accuracy_after_choice", "answered_at",
           "calibration_bins", "calibration_error", "choose_classes", "coverage_curve", "coverage_of", "cross_entropy",
           "design_effect", "evaluate", "evaluate_answered", "evaluate_costs", "evaluate_rejection", "fit_temperature",
           "holm_adjusted", "log_softmax", "paired_difference", "paired_p_value", "proportion_interval",
           "rows_by_class", "standard_error", "wilson_interval"]
