"""Predictions for photos that a classifier was not trained on, from which thresholds are chosen."""
from __future__ import annotations

import numpy as np

from tfpoets.data import TEST, TRAINING, VALIDATION, Examples, can_cross_validate, spread_over_folds
from tfpoets.evaluation import MIN_PROBABILITY, log_softmax
from tfpoets.graphs import PROBABILITIES

from .cross_validation import OutOfFoldPredictor, out_of_fold_probabilities
from .l2_path import PATH_TOLERANCE
from .lbfgs import HeadOptions, LBFGSFit, fit_head
from .network_fit import NetworkFit
from .sgd import SGDFit
from .train_classifier import TrainingOptions, TrainingResult
from .trainers import head_outputs, trainer_for

N_FOLDS = 5
# The temperature is applied to this many rows at a time.
BLOCK_ROWS = 1024


def predict_held_out(training: TrainingResult, options: TrainingOptions) -> tuple[np.ndarray, Examples, np.ndarray]:
    """Return probabilities for photos that are not test photos, each from a head that was not trained on the photo.

    If only the last layer was trained, by L-BFGS or by a custom solver, these are all training and validation photos,
    predicted in five folds by heads that are trained on the other folds, without augmented views. Otherwise,
    they are the validation photos, on which the epoch and the temperature were also chosen, so that their accuracy is
    slightly too high.

    Args:
        training: The trained classifier.
        options: The options that it was trained with.

    Returns:
        float [n, n_classes]; the photos; and the group of each photo, int64 [n], which near duplicates share.
    """
    dataset, fit = training.dataset, training.fit
    assert dataset.split is not None
    rows = dataset.split.parts != TEST
    examples, groups = dataset.examples().select(rows), dataset.split.groups[rows]
    folds = spread_over_folds(examples.y, groups, N_FOLDS)
    is_lbfgs = isinstance(fit, LBFGSFit)
    if isinstance(fit, NetworkFit | SGDFit) or not (is_lbfgs or can_cross_validate(examples.y, folds,
                                                                                   examples.n_classes)):
        validation, groups = dataset.part(VALIDATION), dataset.split.groups[dataset.split.parts == VALIDATION]
        if isinstance(fit, NetworkFit) and fit.head_fit is not None:  # that head was also fitted to these photos
            head_options = HeadOptions(options.head.class_weight, refit=False)
            head = fit_head(dataset.part(TRAINING), validation, head_options).head
            return head_outputs(head, validation.X)[PROBABILITIES], validation, groups
        return head_outputs(training.head, validation.X)[PROBABILITIES], validation, groups
    if not isinstance(fit, LBFGSFit):
        trainer = trainer_for(options.head)
        return out_of_fold_probabilities(
            examples, folds, lambda train, validation: trainer.fit(train, validation, options.head, lambda event: None)
            ), examples, groups
    predictor = OutOfFoldPredictor(examples, folds, fit.l2, options.head.balanced, PATH_TOLERANCE)
    probabilities = predictor.probabilities(np.ones(len(examples), bool))
    for start in range(0, len(probabilities), BLOCK_ROWS):  # in place, since the table may take gigabytes
        block = probabilities[start:start + BLOCK_ROWS]
        block[:] = np.exp(log_softmax(np.log(np.maximum(block, MIN_PROBABILITY)) / fit.head.temperature))
    return probabilities, examples, groups
