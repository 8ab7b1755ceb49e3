"""The evaluation room: arrays in, figures out; it knows no model and no file."""
from .calibration import fit_temperature
from .metrics import (CalibrationBin, ClassMetrics, Metrics, calibration_bins, calibration_error, evaluate,
                      wilson_interval)

__all__ = ["CalibrationBin", "ClassMetrics", "Metrics", "calibration_bins", "calibration_error", "evaluate",
           "fit_temperature", "wilson_interval"]
