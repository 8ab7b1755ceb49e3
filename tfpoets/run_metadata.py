"""The metadata of the classifier that a run has trained."""
from __future__ import annotations

from tfpoets.data import Dataset
from tfpoets.events import Evaluated
from tfpoets.exporting import (CrossValidation, HeadInfo, Metadata, NetworkInfo, RejectOption, describe_classifier,
                               evaluation_info, split_info)
from tfpoets.final_test import unknown_score
from tfpoets.retrain_options import RetrainOptions
from tfpoets.training import NetworkFit, TrainingResult


def build_metadata(training: TrainingResult, dataset: Dataset, evaluated: Evaluated,
                    cross_validation: CrossValidation | None, options: RetrainOptions) -> Metadata:
    """Return the metadata of the classifier.

    Args:
        training: The trained classifier. Its dataset lacks photos that were deleted or changed during training.
        dataset: The dataset before training. All its training and validation photos are recorded as seen, because
            training may have used those that are missing now.
        evaluated: The final evaluation.
        cross_validation: The results of the cross-validation, if there was one.
        options: The options of the run.
    """
    extractor, unknown, rejection = training.extractor, unknown_score(training), evaluated.rejection
    kind = training.fit.kind if isinstance(training.fit, NetworkFit) else "frozen_features"
    assert dataset.split is not None
    return describe_classifier(
        extractor, training.dataset, HeadInfo.from_dict(training.fit.description()), options.files.final_tensor_name,
        network=NetworkInfo(kind, extractor.handle, extractor.digest,
                            training.comparison.summary() if training.comparison else ""),
        split=split_info(training.dataset, dataset.split.seen_digests(dataset.photos)),
        test=evaluated.metrics and evaluation_info(evaluated.metrics, evaluated.repeated_scenes),
        unknown=unknown and RejectOption(unknown.threshold, unknown.coverage, len(unknown.references),
                                         rejection.to_dict() if rejection else None),
        cross_validation=cross_validation, options=options.to_dict(), flags=dict(options.flags or {}))
