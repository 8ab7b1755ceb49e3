"""Training: the last layer on bottlenecks, or all layers of a network on photos."""
from .all_layers import BATCH_NORMS, COLOR_MODES, WEIGHTS, FineTuningOptions, NetworkOptions, fit_network
from .cross_validation import OutOfFoldPredictor, out_of_fold_probabilities
from .fine_tuning_comparison import FineTuningComparison
from .held_out import predict_held_out
from .initial_network import InitialNetwork, log_summary, seed_weights
from .lbfgs import CLASS_WEIGHTS, L2_GRID, HeadFitted, HeadOptions, LBFGSFit, LBFGSTrainer, fit_head
from .learning_curve import (MIN_TEST_PHOTOS, QUICK_CURVE, ClassGain, CurveOptions, LearningCurve,
                             explain_missing_curve, measure_learning_curve)
from .linear_head import LinearHead
from .loop_options import CHECKPOINTS, MONITORS, OPTIMIZERS, SCHEDULES, LoopOptions
from .network_fit import EpochMetrics, NetworkFit
from .own_training import StepModel, TrainableNetwork, TrainStep, keras_callbacks
from .sgd import (IntermediateFit, SGDFit, SGDOptions, SGDTrainer, StepMetrics, check_batch_size, draw_balanced,
                  fit_head_sgd, make_rng)
from .summaries import write_summaries
from .train_classifier import (DEFAULT_AUGMENTED_VIEWS, AugmentedViewsExtracted, EventCallback,
                               TrainingContext, TrainingOptions, TrainingResult, train)
from .trainers import HEAD_TRAINERS, Head, head_outputs, solver_names, trainer_for, trainer_named
from .training_loop import train_network
from .training_run import PixelData, TrainableModel
from .unknown_score import RejectingHead, UnknownScore, fit_unknown_score

__all__ = ["BATCH_NORMS", "CHECKPOINTS", "CLASS_WEIGHTS", "COLOR_MODES", "DEFAULT_AUGMENTED_VIEWS", "HEAD_TRAINERS",
           "L2_GRID", "MIN_TEST_PHOTOS", "MONITORS", "OPTIMIZERS", "QUICK_CURVE", "SCHEDULES", "WEIGHTS",
           "AugmentedViewsExtracted", "ClassGain", "CurveOptions", "EpochMetrics", "EventCallback",
           "FineTuningComparison", "FineTuningOptions", "Head", "HeadFitted", "HeadOptions", "InitialNetwork",
           "IntermediateFit", "LBFGSFit", "LBFGSTrainer", "LearningCurve", "LinearHead", "LoopOptions", "NetworkFit",
           "NetworkOptions", "OutOfFoldPredictor", "PixelData", "RejectingHead", "SGDFit", "SGDOptions", "SGDTrainer",
           "StepMetrics", "StepModel", "TrainStep", "TrainableModel", "TrainableNetwork", "TrainingContext",
           "TrainingOptions", "TrainingResult", "UnknownScore", "check_batch_size", "draw_balanced",
           "explain_missing_curve", "fit_head", "fit_head_sgd", "fit_network", "fit_unknown_score", "head_outputs",
           "keras_callbacks", "log_summary", "make_rng", "measure_learning_curve", "out_of_fold_probabilities",
           "predict_held_out", "seed_weights", "solver_names", "train", "train_network", "trainer_for",
           "trainer_named", "write_summaries"]
