"""Bottlenecks in, the weights of a new last layer out."""
from .all_layers import (ARCHITECTURES, BATCH_NORMS, COLOR_MODES, CONVNETS, RESNET, WEIGHTS, FineTuningOptions,
                         NetworkOptions, from_scratch)
from .convnets import build_convnet
from .cross_validation import out_of_fold_at_l2, out_of_fold_probabilities
from .lbfgs import CLASS_WEIGHTS, L2_GRID, HeadFitted, HeadOptions, LBFGSFit, LBFGSTrainer, fit_head
from .linear_head import LinearHead
from .sgd import (IntermediateFit, SGDFit, SGDOptions, SGDTrainer, Step, balanced_draw, check_batch_size, fit_head_sgd,
                  generator)
from .summaries import write_summaries
from .train_classifier import (DEFAULT_VIEWS, AugmentedExtracted, Listener, NetworksCompared, Training,
                               TrainingOptions, TrainingResult, train)
from .trainers import HEAD_TRAINERS, Head, HeadFit, solver_names, trainer_for, trainer_named
from .training_loop import CHECKPOINTS, MONITORS, OPTIMIZERS, Epoch, LoopOptions, NetworkFit, train_network
from .unknown_score import RejectingHead, UnknownScore, fit_unknown_score

__all__ = ["ARCHITECTURES", "BATCH_NORMS", "CHECKPOINTS", "CLASS_WEIGHTS", "COLOR_MODES", "CONVNETS", "DEFAULT_VIEWS",
           "HEAD_TRAINERS", "L2_GRID", "MONITORS", "OPTIMIZERS", "RESNET", "WEIGHTS", "AugmentedExtracted", "Epoch",
           "FineTuningOptions", "Head", "HeadFit", "HeadFitted", "HeadOptions", "IntermediateFit", "LBFGSFit",
           "LBFGSTrainer", "LinearHead", "Listener", "LoopOptions", "NetworkFit", "NetworkOptions", "NetworksCompared",
           "RejectingHead", "SGDFit", "SGDOptions", "SGDTrainer", "Step", "Training", "TrainingOptions",
           "TrainingResult", "UnknownScore", "balanced_draw", "build_convnet", "check_batch_size", "fit_head",
           "fit_head_sgd", "fit_unknown_score", "from_scratch", "generator", "out_of_fold_at_l2",
           "out_of_fold_probabilities", "solver_names", "train", "train_network", "trainer_for", "trainer_named",
           "write_summaries"]
