"""tfpoets evaluate GRAPH --image_dir=FOLDER: measure a classifier on labelled photos."""
from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import Dataset, Photo, read_dataset
from tfpoets.errors import DataError
from tfpoets.evaluation import Metrics, Rejection, evaluate, evaluate_rejection
from tfpoets.exporting import UNKNOWN_LABEL, training_photo_mask
from tfpoets.files import check_output_file
from tfpoets.inference import Classifier, LegacyGraphOptions, Prediction, load_classifier
from tfpoets.progress import progress_bar
from tfpoets.report import EvaluatedPhotos, describe_evaluation, write_report

from .invocation import command_line
from .parser import Flag, Group, location, option_values, parse_flags, path
from .paths import DEFAULT_TFLITE, TF_FILES, default_graph
from .run_command import UsageError, run_command
from .shared_flags import GRAPH_FLAGS, legacy_options
from .text import accuracy_lines, class_lines, unknown_lines

log = logging.getLogger(__name__)

DEFAULT_PHOTOS = TF_FILES / "flower_photos"
MAX_LISTED = 10
TOP_K = 5
# The calibration error of so few photos is mostly noise, even of perfect probabilities.
FEW_FOR_CALIBRATION = 200
TRAINED_ON = ("The classifier was trained on all of these photos, so this says nothing about new ones; the final test "
              "accuracy of its training does.")


FLAGS = (
    Group("", (
        Flag("positional", "the same as --graph, as in TensorFlow for Poets", parse=path, metavar="GRAPH", nargs="?"),
        Flag("graph", f".tflite, .pb or SavedModel folder of a retrain (default {DEFAULT_TFLITE}); or a graph of "
             "TensorFlow for Poets", parse=path, metavar="FILE"),
        Flag("image_dir", f"folder that holds one folder of photos per class (default {DEFAULT_PHOTOS})", "image_dir",
             location, "DIR"),
        Flag("format", "text (default), or json: one object with all figures", "format", choices=("text", "json")),
        Flag("report", "also write a page (.html) with the wrong answers as pictures", "report", path, "FILE"))),
    GRAPH_FLAGS)


@dataclass(frozen=True)
class EvaluateOptions:
    """What `evaluate` does; the flags of the same names say what each means."""

    graph: Path
    legacy: LegacyGraphOptions = LegacyGraphOptions()
    image_dir: Path | str = DEFAULT_PHOTOS
    format: str = "text"
    report: Path | None = None


def main(arguments: list[str] | None = None) -> int:
    """Run the command: arguments without the program's name (None: the process's own) to exit code."""
    return run_command(lambda given: evaluate_classifier(options_from(parse_flags(
        "evaluate", "Measure a classifier on photos that it was not trained on: one folder per class, in one folder.",
        FLAGS, given))), arguments)


def options_from(given: dict[str, Any]) -> EvaluateOptions:
    """Return the options that the flags ask for."""
    graph, positional = given.get("graph"), given.get("positional")
    if graph and positional and graph != positional:
        raise UsageError(f"Two graphs were given: {positional} and {graph}.")
    values = {**option_values(given, FLAGS), "legacy": legacy_options(given)}
    options = EvaluateOptions(graph or positional or default_graph(), **values)
    if options.report:
        if options.report.suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"--report={options.report} must end in .html.")
        check_output_file(options.report, "report", options.image_dir)
    return options


def evaluate_classifier(options: EvaluateOptions) -> int:
    """Label the photos of the folder, print how many answers are right, and return 0."""
    classifier = load_classifier(options.graph, options.legacy)
    dataset = read_dataset(options.image_dir, min_classes=1)
    classes = _classes_of_folders(classifier, dataset)
    if not classes:
        raise DataError(f"No folder of {options.image_dir} is called like a label of {options.graph} "
                        f"({', '.join(classifier.labels[:10])}).", "Rename the folders as the labels are.")
    strangers = _strangers(classifier, dataset, classes)
    _log_what_is_missing(classifier, dataset, classes, {photo.label for photo in strangers})
    photos = [photo for photo in dataset.photos if photo.label in classes]
    photos, notes = _without_trained_on(classifier, photos)
    answered, answers = _answers(classifier, photos)
    if not answers:
        raise DataError("None of the photos could be read.")
    probabilities = np.stack([answer.probabilities for answer in answers if answer.probabilities is not None])
    truth = np.array([classes[photo.label] for photo in answered])
    metrics = evaluate(probabilities, truth)
    rejection = _rejection(classifier, answers, probabilities.argmax(axis=1) == truth, strangers)
    command = f"{command_line('label_image', f'--graph={options.graph}')} --image=PHOTO"
    if options.report:
        write_report(options.report, describe_evaluation(
            classifier, options.graph, EvaluatedPhotos(answered, truth, probabilities, metrics, rejection),
            options.image_dir, notes, command))
    if options.format == "json":
        print(json.dumps({**metrics.to_dict(classifier.labels), "unknown": rejection and rejection.to_dict()},
                         ensure_ascii=False))
        return 0
    _print_figures(classifier, metrics, rejection)
    if options.report:
        print(f"Report: {options.report}")
    return 0


def _print_figures(classifier: Classifier, metrics: Metrics, rejection: Rejection | None) -> None:
    print(*accuracy_lines(metrics, classifier.labels, "Accuracy"), sep="\n")
    if rejection:
        print(*unknown_lines(rejection, "photos"), sep="\n")
    print(f"Cross entropy = {metrics.cross_entropy:.4f} ± {metrics.cross_entropy_error:.4f}")
    few = " (of few photos: mostly chance)" if metrics.count < FEW_FOR_CALIBRATION else ""
    print(f"Expected calibration error = {metrics.expected_calibration_error:.1%}{few}")
    if len(classifier.labels) > TOP_K:
        print(f"The right label is among the first {TOP_K} in {metrics.top_k(TOP_K):.1%}")
    print(*class_lines(metrics, classifier.labels), sep="\n")


def _classes_of_folders(classifier: Classifier, dataset: Dataset) -> dict[str, int]:
    """The classifier's class for each folder that has one; Poets' labels are found in its spelling, too."""
    exact = {label: number for number, label in enumerate(classifier.labels)}
    spelt = {label: exact.get(label) for label in dataset.labels}
    if classifier.metadata is None:
        spelt = {label: exact.get(_poets_spelling(label)) if number is None else number
                 for label, number in spelt.items()}
    return {label: number for label, number in spelt.items() if number is not None}


def _strangers(classifier: Classifier, dataset: Dataset, classes: dict[str, int]) -> list[Photo]:
    """Photos in a folder named unknown, which a classifier that can say so should call that."""
    if classifier.unknown_threshold is None:
        return []
    return [photo for photo in dataset.photos
            if photo.label.casefold() == UNKNOWN_LABEL and photo.label not in classes]


def _rejection(classifier: Classifier, answers: list[Prediction], correct: np.ndarray, strangers: list[Photo]
               ) -> Rejection | None:
    """Figures of the reject option, or None where the classifier has none."""
    if classifier.unknown_threshold is None:
        return None
    of_strangers = _answers(classifier, strangers)[1] if strangers else []
    return evaluate_rejection(_scores(answers), correct, classifier.unknown_threshold, _scores(of_strangers))


def _scores(answers: list[Prediction]) -> np.ndarray:
    return np.array([answer.unknown_score for answer in answers], np.float64)


def _log_what_is_missing(classifier: Classifier, dataset: Dataset, classes: dict[str, int], strange: set[str]) -> None:
    unknown = [label for label in dataset.labels if label not in classes and label not in strange]
    if unknown:
        log.warning("Left out, because the classifier has no label of that name: %s.", _listed(unknown))
    missing = [label for number, label in enumerate(classifier.labels) if number not in classes.values()]
    if missing:
        log.warning("There are no photos of %s.", _listed(missing))


def _listed(labels: list[str]) -> str:
    more = f" and {len(labels) - MAX_LISTED} more" if len(labels) > MAX_LISTED else ""
    return ", ".join(labels[:MAX_LISTED]) + more


def _poets_spelling(label: str) -> str:
    """A folder's name as Poets wrote it to its label file: lower case, everything but a-z and 0-9 a blank."""
    return re.sub(r"[^a-z0-9]+", " ", label.lower()).strip() or " "


def _without_trained_on(classifier: Classifier, photos: list[Photo]) -> tuple[list[Photo], list[str]]:
    """The photos that took no part in the training, by their content, and what is to be said of that."""
    if classifier.metadata is None:
        return photos, []
    known = training_photo_mask(classifier.metadata, photos)
    new = [photo for photo, is_known in zip(photos, known) if not is_known]
    if len(new) == len(photos):
        return photos, []
    if not new:
        log.warning(TRAINED_ON)
        return photos, [TRAINED_ON]
    note = f"{len(photos) - len(new)} of these photos took part in the training; the other {len(new)} are evaluated."
    log.info(note)
    return new, [note]


def _answers(classifier: Classifier, photos: list[Photo]) -> tuple[list[Photo], list[Prediction]]:
    """The photos that could be read, and the classifier's answers."""
    answered, answers = [], []
    with progress_bar(len(photos), "Labelling", "photo") as bar:
        for photo, answer in classifier.predict_photos(photos, Photo.read):
            bar.update()
            if answer.probabilities is None:
                log.warning("%s is left out: %s.", photo.uri, answer.reason)
            else:
                answered.append(photo)
                answers.append(answer)
    return answered, answers
