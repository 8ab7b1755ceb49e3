"""The training room: bottlenecks in, the weights of a new last layer out."""
from .cross_validation import out_of_fold_at_strength, out_of_fold_probabilities
from .head import L2_GRID, Head, HeadFit, PathStep, fit_head
from .steps import Step, StepsFit, balanced_draw, fit_head_by_steps
from .summaries import write_summaries
from .unknown import UnknownScore, fit_unknown_score

__all__ = ["Head", "HeadFit", "L2_GRID", "PathStep", "Step", "StepsFit", "UnknownScore", "balanced_draw", "fit_head",
           "fit_head_by_steps", "fit_unknown_score", "out_of_fold_at_strength", "out_of_fold_probabilities",
           "write_summaries"]
