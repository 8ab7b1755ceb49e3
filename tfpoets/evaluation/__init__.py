"""Arrays in, figures out; it knows no model and no file."""
from .calibration import fit_temperature
from .metrics import CalibrationBin, Metrics, calibration_bins, calibration_error, evaluate, wilson_interval
from .unknown import Rejection, evaluate_unknown

__all__ = ["CalibrationBin", "Metrics", "Rejection", "calibration_bins", "calibration_error", "evaluate",
           "evaluate_unknown", "fit_temperature", "wilson_interval"]
