"""The evaluation room: arrays in, figures out; it knows no model and no file."""
from .metrics import Metrics, evaluate, wilson_interval

__all__ = ["Metrics", "evaluate", "wilson_interval"]
