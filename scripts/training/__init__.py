"""The training room: bottlenecks in, the weights of a new last layer out."""
from .cross_validation import out_of_fold_at_strength, out_of_fold_probabilities
from .head import L2_GRID, Head, HeadFit, PathStep, Variations, fit_head
from .loop import Epoch, LoopSettings, NetworkFit, train_network
from .networks import PRESETS, TrainableNetwork, build_convnet
from .plan import Fit, Trained, train
from .steps import Step, StepsFit, balanced_draw, fit_head_by_steps, generator
from .summaries import write_summaries
from .unknown import UnknownScore, fit_unknown_score
from .whole_network import Untrained, from_scratch, to_fine_tune, train_whole_network

__all__ = ["Epoch", "Fit", "Head", "HeadFit", "L2_GRID", "LoopSettings", "NetworkFit", "PRESETS", "PathStep", "Step",
           "StepsFit", "TrainableNetwork", "Trained", "UnknownScore", "Untrained", "Variations", "balanced_draw",
           "build_convnet", "fit_head", "fit_head_by_steps", "fit_unknown_score", "from_scratch", "generator",
           "out_of_fold_at_strength", "out_of_fold_probabilities", "to_fine_tune", "train", "train_network",
           "train_whole_network", "write_summaries"]
