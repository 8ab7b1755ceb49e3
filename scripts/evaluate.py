"""python -m scripts.evaluate GRAPH --image_dir=FOLDER: says how good a classifier is on a folder per class."""
from __future__ import annotations

import json
import logging
import re
import sys

import numpy as np

from scripts.classifier import UNKNOWN_LABEL, Answer, Classifier, load_classifier, were_trained_on
from scripts.console import UserError, progress_bar, run_command
from scripts.console.settings import EvaluateSettings, evaluate_settings
from scripts.evaluation import Metrics, Rejection, evaluate, evaluate_unknown
from scripts.photos import Photo, PhotoTree, read_photo, read_tree
from scripts.report import accuracy_lines, class_lines, describe_evaluation, unknown_lines, write_report

log = logging.getLogger("scripts.evaluate")

MOST_LISTED = 10
TOP_K = 5
# The calibration error of so few photos is mostly noise, even of perfect probabilities.
FEW_FOR_CALIBRATION = 200
TRAINED_ON = ("The classifier was trained on all of these photos, so this says nothing about new ones; the final test "
              "accuracy of its training does.")


def main(arguments: list[str] | None = None) -> int:
    """The command: arguments without the program's name (None: the process's own) to exit code."""
    return run_command(lambda given: evaluate_classifier(evaluate_settings(given)), arguments)


def evaluate_classifier(settings: EvaluateSettings) -> int:
    """Labels the photos of the folder, prints how many answers are right, and returns 0."""
    classifier = load_classifier(settings.graph, settings.stated)
    tree = read_tree(settings.image_dir, least_classes=1)
    classes = _classes_of_folders(classifier, tree)
    if not classes:
        raise UserError(f"No folder of {settings.image_dir} is called like a label of {settings.graph} "
                        f"({', '.join(classifier.labels[:10])}).", "Rename the folders as the labels are.")
    strangers = _strangers(classifier, tree, classes)
    _say_what_is_missing(classifier, tree, classes, {photo.label for photo in strangers})
    photos = [photo for photo in tree.photos if photo.label in classes]
    photos, notes = _without_trained_on(classifier, photos)
    answered, answers = _answers(classifier, photos)
    if not answers:
        raise UserError("None of the photos could be read.")
    probabilities = np.stack([answer.probabilities for answer in answers if answer.probabilities is not None])
    truth = np.array([classes[photo.label] for photo in answered])
    metrics = evaluate(probabilities, truth)
    rejection = _rejection(classifier, answers, probabilities.argmax(axis=1) == truth, strangers)
    if settings.report:
        write_report(settings.report, describe_evaluation(classifier, settings.graph, answered, truth, probabilities,
                                                          metrics, rejection, settings.image_dir, notes))
    if settings.format == "json":
        print(json.dumps({**metrics.to_dict(classifier.labels), "unknown": rejection and rejection.to_dict()},
                         ensure_ascii=False))
        return 0
    _say(classifier, metrics, rejection)
    if settings.report:
        print(f"Report: {settings.report}")
    return 0


def _say(classifier: Classifier, metrics: Metrics, rejection: Rejection | None) -> None:
    print(*accuracy_lines(metrics, classifier.labels, "Accuracy"), sep="\n")
    if rejection:
        print(*unknown_lines(rejection, "photos"), sep="\n")
    print(f"Cross entropy = {metrics.cross_entropy:.4f} ± {metrics.cross_entropy_error:.4f}")
    few = " (of few photos: mostly chance)" if metrics.count < FEW_FOR_CALIBRATION else ""
    print(f"Expected calibration error = {metrics.expected_calibration_error:.1%}{few}")
    if len(classifier.labels) > TOP_K:
        print(f"The right label is among the first {TOP_K} in {metrics.top_k(TOP_K):.1%}")
    print(*class_lines(metrics, classifier.labels), sep="\n")


def _classes_of_folders(classifier: Classifier, tree: PhotoTree) -> dict[str, int]:
    """The classifier's class for each folder that has one; Poets' labels are found in its spelling, too."""
    exact = {label: number for number, label in enumerate(classifier.labels)}
    spelt = {label: exact.get(label) for label in tree.labels}
    if classifier.metadata is None:
        spelt = {label: exact.get(_poets_spelling(label)) if number is None else number
                 for label, number in spelt.items()}
    return {label: number for label, number in spelt.items() if number is not None}


def _strangers(classifier: Classifier, tree: PhotoTree, classes: dict[str, int]) -> list[Photo]:
    """Photos in a folder named unknown, which a classifier that can say so should call that."""
    if classifier.unknown_threshold is None:
        return []
    return [photo for photo in tree.photos
            if photo.label.casefold() == UNKNOWN_LABEL and photo.label not in classes]


def _rejection(classifier: Classifier, answers: list[Answer], correct: np.ndarray, strangers: list[Photo]
               ) -> Rejection | None:
    """Figures of the reject option, or None where the classifier has none."""
    if classifier.unknown_threshold is None:
        return None
    of_strangers = _answers(classifier, strangers)[1] if strangers else []
    return evaluate_unknown(_scores(answers), correct, classifier.unknown_threshold, _scores(of_strangers))


def _scores(answers: list[Answer]) -> np.ndarray:
    return np.array([answer.unknown_score for answer in answers], np.float64)


def _say_what_is_missing(classifier: Classifier, tree: PhotoTree, classes: dict[str, int], strange: set[str]) -> None:
    unknown = [label for label in tree.labels if label not in classes and label not in strange]
    if unknown:
        log.warning("Left out, because the classifier has no label of that name: %s.", _listed(unknown))
    missing = [label for number, label in enumerate(classifier.labels) if number not in classes.values()]
    if missing:
        log.warning("There are no photos of %s.", _listed(missing))


def _listed(labels: list[str]) -> str:
    more = f" and {len(labels) - MOST_LISTED} more" if len(labels) > MOST_LISTED else ""
    return ", ".join(labels[:MOST_LISTED]) + more


def _poets_spelling(label: str) -> str:
    """A folder's name as Poets wrote it to its label file: lower case, everything but a-z and 0-9 a blank."""
    return re.sub(r"[^a-z0-9]+", " ", label.lower()).strip() or " "


def _without_trained_on(classifier: Classifier, photos: list[Photo]) -> tuple[list[Photo], list[str]]:
    """The photos that took no part in the training, by their content, and what is to be said of that."""
    if classifier.metadata is None:
        return photos, []
    known = were_trained_on(classifier.metadata, photos)
    new = [photo for photo, is_known in zip(photos, known) if not is_known]
    if len(new) == len(photos):
        return photos, []
    if not new:
        log.warning(TRAINED_ON)
        return photos, [TRAINED_ON]
    note = f"{len(photos) - len(new)} of these photos took part in the training; the other {len(new)} are evaluated."
    log.info(note)
    return new, [note]


def _answers(classifier: Classifier, photos: list[Photo]) -> tuple[list[Photo], list[Answer]]:
    """The photos that could be read, and the classifier's answers."""
    answered, answers = [], []
    with progress_bar(len(photos), "Labelling", "photo") as bar:
        for photo, answer in classifier.label_photos(photos, lambda photo: read_photo(photo.path)):
            bar.update()
            if answer.probabilities is None:
                log.warning("%s is left out: %s.", photo.path, answer.reason)
            else:
                answered.append(photo)
                answers.append(answer)
    return answered, answers


if __name__ == "__main__":
    sys.exit(main())
