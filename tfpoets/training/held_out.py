"""Predictions for photos that a classifier was not trained on, from which thresholds are chosen."""
from __future__ import annotations

import numpy as np

from tfpoets.data import TEST, TRAINING, VALIDATION, Examples, spread_over_folds
from tfpoets.evaluation import MIN_PROBABILITY, log_softmax
from tfpoets.graphs import PROBABILITIES

from .cross_validation import OutOfFoldPredictor, out_of_fold_probabilities
from .l2_path import PATH_TOLERANCE
from .lbfgs import HeadOptions, LBFGSFit, fit_head
from .network_fit import NetworkFit
from .sgd import SGDFit
from .train_classifier import TrainingOptions, TrainingResult
from .trainers import trainer_for

N_FOLDS = 5


def predict_held_out(training: TrainingResult, options: TrainingOptions) -> tuple[np.ndarray, Examples]:
    """Return probabilities for photos that are not test photos, each predicted without having been trained on.

    If only the last layer was trained, by L-BFGS or a solver of the program, these are all training and validation
    photos, predicted in five folds by heads that are trained on the other folds, without augmented views. Otherwise
    they are the validation photos.

    Args:
        training: The trained classifier.
        options: The options that it was trained with.

    Returns:
        float [n, n_classes], and the photos.
    """
    dataset, fit = training.dataset, training.fit
    assert dataset.split is not None
    if isinstance(fit, NetworkFit) or isinstance(fit, SGDFit):
        validation = dataset.part(VALIDATION)
        if isinstance(fit, NetworkFit) and fit.head_fit is not None:  # that head was also fitted to these photos
            head_options = HeadOptions(options.head.class_weight, refit=False)
            head = fit_head(dataset.part(TRAINING), validation, head_options).head
            return head.probabilities(validation.X), validation
        return training.head.outputs(validation.X)[PROBABILITIES], validation
    rows = dataset.split.parts != TEST
    examples = dataset.examples().select(rows)
    folds = spread_over_folds(examples.y, dataset.split.groups[rows], N_FOLDS)
    if not isinstance(fit, LBFGSFit):
        trainer = trainer_for(options.head)
        return out_of_fold_probabilities(
            examples, folds, lambda train, validation: trainer.fit(train, validation, options.head, lambda event: None)
            ), examples
    predictor = OutOfFoldPredictor(examples, folds, fit.l2, options.head.balanced, PATH_TOLERANCE)
    probabilities = predictor.probabilities(np.ones(len(examples), bool))
    return np.exp(log_softmax(np.log(np.maximum(probabilities, MIN_PROBABILITY)) / fit.head.temperature)), examples
