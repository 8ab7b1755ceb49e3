"""Training: the last layer on bottlenecks, or all layers of a network on photos."""
from .all_layers import (ARCHITECTURES, BATCH_NORMS, COLOR_MODES, CONVNETS, RESNET, WEIGHTS, FineTuningOptions,
                         NetworkOptions, build_from_scratch)
from .convnets import build_convnet
from .cross_validation import OutOfFoldPredictor, out_of_fold_probabilities
from .lbfgs import CLASS_WEIGHTS, L2_GRID, HeadFitted, HeadOptions, LBFGSFit, LBFGSTrainer, fit_head
from .linear_head import LinearHead
from .loop_options import CHECKPOINTS, MONITORS, OPTIMIZERS, SCHEDULES, LoopOptions
from .network_fit import EpochMetrics, NetworkFit
from .own_networks import is_own_network
from .own_training import StepModel, TrainStep, keras_callbacks
from .sgd import (IntermediateFit, SGDFit, SGDOptions, SGDTrainer, StepMetrics, check_batch_size, draw_balanced,
                  fit_head_sgd, make_rng)
from .summaries import write_summaries
from .train_classifier import (DEFAULT_AUGMENTED_VIEWS, AugmentedViewsExtracted, EventCallback, FineTuningComparison,
                               TrainingContext, TrainingOptions, TrainingResult, train)
from .trainers import HEAD_TRAINERS, Head, solver_names, trainer_for, trainer_named
from .training_loop import train_network
from .training_run import PixelData, TrainableModel
from .unknown_score import RejectingHead, UnknownScore, fit_unknown_score

__all__ = ["ARCHITECTURES", "BATCH_NORMS", "CHECKPOINTS", "CLASS_WEIGHTS", "COLOR_MODES", "CONVNETS",
           "DEFAULT_AUGMENTED_VIEWS", "HEAD_TRAINERS", "L2_GRID", "MONITORS", "OPTIMIZERS", "RESNET", "SCHEDULES",
           "WEIGHTS", "AugmentedViewsExtracted", "EpochMetrics", "EventCallback", "FineTuningComparison",
           "FineTuningOptions", "Head", "HeadFitted", "HeadOptions", "IntermediateFit", "LBFGSFit", "LBFGSTrainer",
           "LinearHead", "LoopOptions", "NetworkFit", "NetworkOptions", "OutOfFoldPredictor", "PixelData",
           "RejectingHead", "SGDFit", "SGDOptions", "SGDTrainer", "StepMetrics", "StepModel", "TrainStep",
           "TrainableModel", "TrainingContext", "TrainingOptions", "TrainingResult", "UnknownScore", "build_convnet",
           "build_from_scratch", "check_batch_size", "draw_balanced", "fit_head", "fit_head_sgd", "fit_unknown_score",
           "is_own_network", "keras_callbacks", "make_rng", "out_of_fold_probabilities", "solver_names", "train",
           "train_network",
           "trainer_for", "trainer_named", "write_summaries"]
