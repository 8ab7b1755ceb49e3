"""Find out what would improve a classifier: measure it after training, and recommend it."""
from .advise import Measurements, advise, measure
from .rules import Evidence, recommend
from .trials import Trial, compare_features, run_trials

__all__ = ["Evidence", "Measurements", "Trial", "advise", "compare_features", "measure", "recommend", "run_trials"]
