"""Bottlenecks in, the weights of a new last layer out."""
from .cross_validation import out_of_fold_at_strength, out_of_fold_probabilities
from .head import CLASS_WEIGHTS, L2_GRID, Head, HeadFit, HeadOptions, Variations, fit_head
from .loop import CHECKPOINTS, MONITORS, OPTIMIZERS, Epoch, LoopOptions, NetworkFit, train_network
from .networks import build_convnet
from .plan import (USUAL_COPIES, CopiesExtracted, Fit, HeadSolved, Listener, NetworksCompared, Trained, Training,
                   TrainingOptions, train)
from .steps import SGDOptions, Step, StepsFit, balanced_draw, check_batch_size, fit_head_by_steps, generator
from .summaries import write_summaries
from .unknown import UnknownScore, fit_unknown_score
from .whole_network import (ARCHITECTURES, BATCH_NORMS, COLOR_MODES, CONVNETS, RESNET, WEIGHTS, FineTuningOptions,
                            NetworkOptions, from_scratch)

__all__ = ["ARCHITECTURES", "BATCH_NORMS", "CHECKPOINTS", "CLASS_WEIGHTS", "COLOR_MODES", "CONVNETS", "L2_GRID",
           "MONITORS", "OPTIMIZERS", "RESNET", "USUAL_COPIES", "WEIGHTS", "CopiesExtracted", "Epoch",
           "FineTuningOptions", "Fit", "Head", "HeadFit", "HeadOptions", "HeadSolved", "Listener", "LoopOptions",
           "NetworkFit", "NetworkOptions", "NetworksCompared", "SGDOptions", "Step", "StepsFit", "Trained", "Training",
           "TrainingOptions", "UnknownScore", "Variations", "balanced_draw", "build_convnet", "check_batch_size",
           "fit_head", "fit_head_by_steps", "fit_unknown_score", "from_scratch", "generator",
           "out_of_fold_at_strength", "out_of_fold_probabilities", "train", "train_network", "write_summaries"]
