"""Bottlenecks in, the weights of a new last layer out."""
from .cross_validation import out_of_fold_at_strength, out_of_fold_probabilities
from .lbfgs import CLASS_WEIGHTS, L2_GRID, HeadFit, HeadOptions, HeadSolved, LBFGSTrainer, fit_head
from .linear_head import LinearHead
from .loop import CHECKPOINTS, MONITORS, OPTIMIZERS, Epoch, LoopOptions, NetworkFit, train_network
from .networks import build_convnet
from .plan import (USUAL_VIEWS, AugmentedExtracted, Listener, NetworksCompared, Training, TrainingOptions,
                   TrainingResult, train)
from .sgd import (SGDOptions, SGDTrainer, Step, StepsFit, StepsStored, balanced_draw, check_batch_size,
                  fit_head_by_steps, generator)
from .summaries import write_summaries
from .trainers import HEAD_TRAINERS, Fit, Head, solver_names, trainer_for, trainer_named
from .unknown import RejectingHead, UnknownScore, fit_unknown_score
from .whole_network import (ARCHITECTURES, BATCH_NORMS, COLOR_MODES, CONVNETS, RESNET, WEIGHTS, FineTuningOptions,
                            NetworkOptions, from_scratch)

__all__ = ["ARCHITECTURES", "BATCH_NORMS", "CHECKPOINTS", "CLASS_WEIGHTS", "COLOR_MODES", "CONVNETS", "HEAD_TRAINERS",
           "L2_GRID", "MONITORS", "OPTIMIZERS", "RESNET", "USUAL_VIEWS", "WEIGHTS", "AugmentedExtracted", "Epoch",
           "FineTuningOptions", "Fit", "Head", "HeadFit", "HeadOptions", "HeadSolved", "LBFGSTrainer", "LinearHead",
           "Listener", "LoopOptions", "NetworkFit", "NetworkOptions", "NetworksCompared", "RejectingHead",
           "SGDOptions", "SGDTrainer", "Step", "StepsFit", "StepsStored", "Training", "TrainingOptions",
           "TrainingResult", "UnknownScore", "balanced_draw", "build_convnet", "check_batch_size", "fit_head",
           "fit_head_by_steps", "fit_unknown_score", "from_scratch", "generator", "out_of_fold_at_strength",
           "out_of_fold_probabilities", "solver_names", "train", "train_network", "trainer_for", "trainer_named",
           "write_summaries"]
