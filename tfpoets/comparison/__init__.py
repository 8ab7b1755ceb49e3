"""Compare pretrained networks, or the classifiers of earlier runs, on the same photos."""
from .choice import Choice, choose
from .networks import CompareOptions, compare_networks
from .result import ComparedClassifier, Comparison, Pair
from .runs import CompareRunsOptions, compare_runs

__all__ = ["Choice", "CompareOptions", "CompareRunsOptions", "ComparedClassifier", "Comparison", "Pair", "choose",
           "compare_networks", "compare_runs"]
