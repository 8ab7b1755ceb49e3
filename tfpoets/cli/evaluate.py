"""The command `tfpoets evaluate`: measure the accuracy of a classifier on labelled photos."""
from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import DatasetOptions, Photo, group_numbers
from tfpoets.errors import DataError
from tfpoets.evaluation import (Metrics, Rejection, evaluate, evaluate_answered, evaluate_costs,
                                evaluate_rejection)
from tfpoets.exporting import training_photo_mask
from tfpoets.files import check_output_file
from tfpoets.inference import Classifier, LegacyGraphOptions, Prediction, load_classifier
from tfpoets.report import EvaluatedPhotos, describe_evaluation, write_report

from .invocation import command_line
from .labelled_photos import predict_labelled, read_labelled_photos
from .messages import print_json, print_lines
from .min_accuracy import MIN_ACCURACY, accuracy_exit_code, check_min_accuracy
from .parser import Flag, Group, is_photo_folder, location, option_values, parse_flags, path
from .paths import TF_FILES, default_graph
from .run_command import UsageError, run_command
from .shared_flags import (CLASSIFIER_HELP, DATASET_FLAGS, GRAPH_FLAGS, IMAGE_DIR_HELP, TRUST_FLAG, dataset_options,
                           legacy_options)
from .text import accuracy_lines, class_lines, cost_lines, target_lines, unknown_lines

log = logging.getLogger(__name__)

DEFAULT_PHOTOS = TF_FILES / "flower_photos"
TOP_K = 5
# With fewer photos than this, the calibration error is mostly noise, even if the probabilities are perfect.
MIN_PHOTOS_FOR_CALIBRATION = 200
ONLY_TRAINING_PHOTOS = ("The classifier was trained on all of these photos, so this accuracy is not an "
                        "estimate for new photos. Use the final test accuracy that was reported after training "
                        "instead.")

DESCRIPTION = ("Measure the accuracy of a classifier on labelled photos. Photos that it was trained on are left out, "
               "unless there are no others.")
FLAGS = (
    Group("", (
        Flag("positional", "same as --graph, as in TensorFlow for Poets", parse=path, metavar="GRAPH", nargs="?"),
        Flag("graph", CLASSIFIER_HELP, parse=path, metavar="FILE"),
        TRUST_FLAG,
        Flag("image_dir", f"{IMAGE_DIR_HELP} (default: {DEFAULT_PHOTOS})", "image_dir", location, "DIR",
             bare=lambda text: is_photo_folder(text) and not _is_saved_model(text)),
        *DATASET_FLAGS,
        Flag("format", "text (default), or json to print all metrics as one object", "format",
             choices=("text", "json")),
        Flag("report", "also write an HTML page that shows the misclassified photos", "report", path, "FILE"),
        replace(MIN_ACCURACY, option="min_accuracy"))),
    GRAPH_FLAGS)


@dataclass(frozen=True)
class EvaluateOptions:
    """The options of `evaluate`, documented by the flags of the same names."""

    graph: Path
    legacy: LegacyGraphOptions = LegacyGraphOptions()
    image_dir: Path | str | None = None
    dataset: DatasetOptions = DatasetOptions()
    format: str = "text"
    report: Path | None = None
    min_accuracy: float | None = None
    trust_model: bool = False

    def __post_init__(self) -> None:
        check_min_accuracy(self.min_accuracy)


def _is_saved_model(folder: str) -> bool:
    """Return whether a folder is a SavedModel, or contains numbered versions of one."""
    return any(True for pattern in ("saved_model.pb", "*/saved_model.pb") for _ in Path(folder).glob(pattern))


def main(argv: list[str] | None = None) -> int:
    """Run the command with the given arguments (default: `sys.argv[1:]`) and return its exit code."""
    return run_command(lambda argv: evaluate_classifier(options_from(parse_flags(
        "evaluate", DESCRIPTION, FLAGS, argv))), argv)


def options_from(args: dict[str, Any]) -> EvaluateOptions:
    """Convert the values of the flags to options."""
    graph, positional = args.get("graph"), args.get("positional")
    if graph and positional and graph != positional:
        raise UsageError(f"Two graphs were given: {positional} and {graph}.", "Use one of them.")
    values = {**option_values(args, FLAGS), "legacy": legacy_options(args), "dataset": dataset_options(args)}
    if not values["dataset"].manifest:
        values.setdefault("image_dir", DEFAULT_PHOTOS)
    options = EvaluateOptions(graph or positional or default_graph(), **values)
    if options.report:
        if options.report.suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"--report={options.report} must end in .html.")
        check_output_file(options.report, "report", options.image_dir)
    return options


def evaluate_classifier(options: EvaluateOptions) -> int:
    """Evaluate the classifier on the photos, print its metrics, and write the report if requested.

    Returns:
        The exit code: 3 if the accuracy is below `min_accuracy`, 0 otherwise.
    """
    classifier = load_classifier(options.graph, options.legacy, options.trust_model)
    labelled = read_labelled_photos(classifier, options.graph, options.image_dir, options.dataset)
    photos, notes = _exclude_training_photos(classifier, labelled.photos)
    if options.min_accuracy is not None and ONLY_TRAINING_PHOTOS in notes:
        raise DataError("`min_accuracy` needs photos that the classifier was not trained on.",
                        "Use another `image_dir`.")
    photos, predictions = predict_labelled(classifier, photos)
    if not predictions:
        raise DataError("None of the photos could be read.")
    probabilities = np.stack([prediction.probabilities for prediction in predictions
                              if prediction.probabilities is not None])
    y = np.array([labelled.class_indices[photo.label] for photo in photos])
    metrics = evaluate(probabilities, y, group_numbers(photos), classifier.costs)
    decisions = _evaluate_decisions(classifier, probabilities, predictions, metrics)
    rejection = _evaluate_rejection(classifier, predictions, metrics, labelled.unknown_photos)
    if options.report:
        command = f"{command_line('label_image', f'--graph={options.graph}')} --image=PHOTO"
        write_report(options.report, describe_evaluation(
            classifier, options.graph, EvaluatedPhotos(photos, y, probabilities, metrics, rejection, **decisions),
            labelled.dataset.location, notes, command))
    if options.format == "json":
        selective, costs = decisions["selective"], decisions["costs"]
        print_json({**metrics.to_dict(classifier.labels), "unknown": rejection and rejection.to_dict(),
                    "unsure": selective and {**selective.to_dict(), "accuracy_target": decisions["accuracy_target"]},
                    "costs": costs and costs.to_dict()}, allow_nan=False)
    else:
        _print_metrics(classifier, metrics, rejection, decisions)
        if options.report:
            print_lines(f"Report: {options.report}")
    return accuracy_exit_code(metrics, options.min_accuracy, "accuracy")


def _print_metrics(classifier: Classifier, metrics: Metrics, rejection: Rejection | None, decisions: dict[str, Any]
                   ) -> None:
    """Print the metrics as text."""
    print_lines(*accuracy_lines(metrics, classifier.labels, "Accuracy"))
    if rejection:
        print_lines(*unknown_lines(rejection, "photos"))
    if decisions["selective"]:
        print_lines(*target_lines(decisions["selective"], decisions["accuracy_target"], "photos"))
    if decisions["costs"]:
        print_lines(*cost_lines(decisions["costs"]))
    print_lines(f"Cross entropy = {metrics.cross_entropy:.4f} ± {metrics.cross_entropy_standard_error:.4f}")
    caution = " (few photos: mostly noise)" if metrics.count < MIN_PHOTOS_FOR_CALIBRATION else ""
    print_lines(f"Expected calibration error = {metrics.expected_calibration_error:.1%}{caution}")
    if len(classifier.labels) > TOP_K:
        print_lines(f"Top-{TOP_K} accuracy = {metrics.top_k(TOP_K):.1%}")
    print_lines(*class_lines(metrics, classifier.labels))


def _evaluate_decisions(classifier: Classifier, probabilities: np.ndarray, predictions: list[Prediction],
                        metrics: Metrics) -> dict[str, Any]:
    """Return the metrics of the accuracy target and of the costs, each None if the classifier has none."""
    metadata, selective, costs = classifier.metadata, None, None
    if metadata and metadata.unsure:
        is_answered = np.array([not (prediction.unsure or prediction.unknown) for prediction in predictions])
        selective = evaluate_answered(is_answered, metrics.predicted == metrics.y, metrics.groups)
    if classifier.costs is not None:
        costs = evaluate_costs(probabilities, metrics.y, classifier.costs, metrics.groups)
    return {"selective": selective, "costs": costs,
            "accuracy_target": metadata.unsure.accuracy_target if metadata and metadata.unsure else None}


def _evaluate_rejection(classifier: Classifier, predictions: list[Prediction], metrics: Metrics,
                        unknown_photos: list[Photo]) -> Rejection | None:
    """Return the metrics of the reject option, or None if the classifier has none."""
    if classifier.unknown_threshold is None:
        return None
    unknown_predictions = predict_labelled(classifier, unknown_photos)[1] if unknown_photos else []
    return evaluate_rejection(_unknown_scores(predictions), metrics.predicted == metrics.y,
                              classifier.unknown_threshold, _unknown_scores(unknown_predictions), metrics.groups)


def _unknown_scores(predictions: list[Prediction]) -> np.ndarray:
    return np.array([prediction.unknown_score for prediction in predictions], np.float64)


def _exclude_training_photos(classifier: Classifier, photos: list[Photo]) -> tuple[list[Photo], list[str]]:
    """Return the photos that were not used for training, and notes for the report.

    Photos are recognized by their content. If all of them were used for training, all are returned.
    """
    if classifier.metadata is None:
        return photos, []
    used = training_photo_mask(classifier.metadata, photos)
    new_photos = [photo for photo, was_used in zip(photos, used) if not was_used]
    if len(new_photos) == len(photos):
        return photos, []
    if not new_photos:
        log.warning(ONLY_TRAINING_PHOTOS)
        return photos, [ONLY_TRAINING_PHOTOS]
    note = (f"{len(photos) - len(new_photos)} of these photos were used for training; only the other "
            f"{len(new_photos)} are evaluated.")
    log.info(note)
    return new_photos, [note]
