"""The training room: bottlenecks in, the weights of a new last layer out."""
from .head import L2_GRID, Head, HeadFit, PathStep, fit_head
from .summaries import write_summaries

__all__ = ["Head", "HeadFit", "L2_GRID", "PathStep", "fit_head", "write_summaries"]
