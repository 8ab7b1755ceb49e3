"""The command `tfpoets show_image`, which shows photos of each class, and a function of that name for notebooks."""
from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tfpoets.data import DatasetOptions, Photo, load_full_size, read_dataset
from tfpoets.errors import DataError, check_range
from tfpoets.exporting import training_photo_mask
from tfpoets.files import check_output_file, real_path
from tfpoets.inference import Classifier, LegacyGraphOptions, Prediction, load_classifier
from tfpoets.report import Answer, answer_grid, sample_grid

from .labelled_photos import predict_labelled, read_labelled_photos
from .messages import print_lines
from .parser import Flag, Group, location, option_values, parse_flags, path
from .paths import TF_FILES
from .run_command import UsageError, run_command
from .shared_flags import DATASET_FLAGS, GRAPH_FLAGS, IMAGE_DIR_HELP, TRUST_FLAG, dataset_options, legacy_options

log = logging.getLogger(__name__)

# A row with more photos would not fit on most screens.
MAX_PHOTOS_PER_CLASS = 20
# The number of photos with answers, unless there are more classes, and the maximum numbers with and without --photos.
DEFAULT_ANSWERS, MAX_DEFAULT_ANSWERS, MAX_ANSWERS = 25, 100, 400
DESCRIPTION = ("Show some photos of each class in one image, to check the training data; or, with --graph, photos "
               "with the answers of a classifier.")
ANSWER_FLAGS = Group("answers of a classifier", (
    Flag("graph", "classifier whose answers to show: a .tflite, .pb or SavedModel folder written by retrain, or a "
         "graph of TensorFlow for Poets. The photos are drawn at random, evenly from the classes; those that it was "
         "trained on are left out, unless there are no others", "graph", path, "FILE"),
    TRUST_FLAG,
    Flag("photos", f"number of photos, at most {MAX_ANSWERS} (default: {DEFAULT_ANSWERS}, or one for each class if "
         f"there are more classes, up to {MAX_DEFAULT_ANSWERS})", "photos", int, "N"),
    Flag("seed", "random seed; another one shows other photos (default: 0)", "seed", int, "N")))
FLAGS = (Group("", (
    Flag("image_dir", IMAGE_DIR_HELP, "image_dir", location, "FOLDER", nargs="?"),
    *DATASET_FLAGS,
    Flag("output", "picture to write, .png or .jpg (default: tf_files/photos.png; with --graph, "
         "tf_files/answers.png)", "output", path, "FILE"),
    Flag("photos_per_class", f"number of photos per class, at most {MAX_PHOTOS_PER_CLASS} (default: 8)",
         "photos_per_class", int, "N"))), ANSWER_FLAGS, GRAPH_FLAGS)


@dataclass(frozen=True, kw_only=True)
class ShowOptions:
    """The options of `show_image`, documented by the flags of the same names."""

    image_dir: Path | str | None = None
    output: Path
    photos_per_class: int = 8
    dataset: DatasetOptions = DatasetOptions()
    graph: Path | None = None
    legacy: LegacyGraphOptions = LegacyGraphOptions()
    photos: int | None = None
    seed: int = 0
    trust_model: bool = False

    def __post_init__(self) -> None:
        check_range("photos_per_class", self.photos_per_class, minimum=1, integer=True)
        check_range("photos", self.photos, minimum=1, maximum=MAX_ANSWERS, integer=True)


def main(argv: list[str] | None = None) -> int:
    """Run the command with the given arguments (default: `sys.argv[1:]`) and return its exit code."""
    return run_command(lambda argv: write_picture(options_from(parse_flags(
        "show_image", DESCRIPTION, FLAGS, argv))), argv)


def options_from(args: dict[str, Any]) -> ShowOptions:
    """Convert the values of the flags to options."""
    _check_flags(args)
    values = {"output": TF_FILES / ("answers.png" if "graph" in args else "photos.png"), **option_values(args, FLAGS)}
    options = ShowOptions(**{**values, "dataset": dataset_options(args), "legacy": legacy_options(args)})
    if options.output.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UsageError(f"--output={options.output} must end in .png or .jpg.")
    check_output_file(options.output, "output", None if options.dataset.manifest else options.image_dir)
    return options


def _check_flags(args: dict[str, Any]) -> None:
    """Raise a UsageError for a flag that does not apply to the requested kind of picture."""
    if "graph" in args and "photos_per_class" in args:
        raise UsageError("--photos_per_class is only for a picture without --graph.", "Use --photos.")
    given = [flag.name for flag in (*ANSWER_FLAGS.flags, *GRAPH_FLAGS.flags) if flag.name in args]
    if given and "graph" not in args:
        raise UsageError(f"--{given[0]} is only for a picture of the answers of a classifier.",
                         "Name the classifier with --graph, or omit it.")


def write_picture(options: ShowOptions) -> int:
    """Write the picture, print its path and size, and return 0."""
    result = ""
    if options.graph is None:
        picture = sample_grid(read_dataset(options.image_dir, 1, options.dataset),
                              min(options.photos_per_class, MAX_PHOTOS_PER_CLASS))
    else:
        answers = find_answers(options.graph, options)
        picture = answer_grid(answers)
        result = f", {sum(answer.is_correct for answer in answers)} of {len(answers)} right"
    picture.save(options.output)
    print_lines(f"{options.output}: {picture.width} x {picture.height} pixels{result}")
    return 0


def find_answers(graph: Path, options: ShowOptions) -> list[Answer]:
    """Draw photos at random, and return the answers of a classifier for them, ordered by true label.

    Raises:
        DataError: None of the photos has a label of the classifier, or none could be read.
    """
    classifier = load_classifier(graph, options.legacy, options.trust_model)
    labelled = read_labelled_photos(classifier, graph, options.image_dir, options.dataset)
    candidates = _exclude_training_photos(classifier, [*labelled.photos, *labelled.unknown_photos])
    count = options.photos or min(max(DEFAULT_ANSWERS, len(labelled.class_indices)), MAX_DEFAULT_ANSWERS)
    photos, predictions = predict_labelled(classifier, _draw(candidates, count, options.seed))
    if not predictions:
        raise DataError("None of the photos could be read.")
    return [_make_answer(classifier, photo, prediction, labelled.class_indices)
            for photo, prediction in zip(photos, predictions)]


def _exclude_training_photos(classifier: Classifier, photos: list[Photo]) -> list[Photo]:
    """Return the photos that the classifier was not trained on; all of them, with a message, if there are none."""
    if classifier.metadata is None:
        log.info("This graph does not state which photos it was trained on, so some of these may be among them.")
        return photos
    new_photos = [photo for photo, was_used in zip(photos, training_photo_mask(classifier.metadata, photos))
                  if not was_used]
    if not new_photos:
        log.warning("The classifier was trained on all of these photos, so it knows the answers.")
    return new_photos or photos


def _draw(photos: Sequence[Photo], count: int, seed: int) -> list[Photo]:
    """Draw photos without replacement, as evenly from the labels as possible, and order them by label."""
    order = np.random.default_rng(seed % 2 ** 63).permutation(len(photos))
    ranks, drawn_before = [], Counter[str]()  # the rank of a photo among those of its label, in random order
    for row in order:
        ranks.append(drawn_before[photos[row].label])
        drawn_before[photos[row].label] += 1
    drawn = order[np.argsort(ranks, kind="stable")[:count]]
    return sorted((photos[row] for row in drawn), key=lambda photo: photo.label)


def _make_answer(classifier: Classifier, photo: Photo, prediction: Prediction, class_indices: dict[str, int]
                 ) -> Answer:
    """Return the answer that a prediction gives.

    "unknown" is right for the photos whose label is no class, and "unsure" is never right.
    """
    if prediction.unknown or prediction.unsure:
        is_right = prediction.unknown and photo.label not in class_indices
        return Answer(photo, classifier.predicted_label(prediction), None, is_right)
    assert prediction.probabilities is not None
    index = classifier.answer(prediction.probabilities)
    return Answer(photo, classifier.labels[index], float(prediction.probabilities[index]),
                  class_indices.get(photo.label) == index)


def show_image(path: Path | str) -> Image.Image:
    """Return a photo, rotated upright, for display in a notebook, and print its credit if there is one.

    Args:
        path: A photo in a class folder. The credit is its line in a LICENSE.txt next to the class folder.

    Raises:
        PhotoError: The photo cannot be read.
    """
    path = Path(path)
    credit = _find_credit(path)
    if credit:
        print_lines(credit)
    return Image.fromarray(load_full_size(path))


def _find_credit(path: Path) -> str:
    """Return the line about a photo in the LICENSE.txt next to its class folder, as in TensorFlow's flower_photos."""
    licence = real_path(path).parent.parent / "LICENSE.txt"
    if not licence.is_file():
        return ""
    name = f"{real_path(path).parent.name}/{path.name}"
    return next((line for line in licence.read_text("utf-8", errors="replace").splitlines() if name in line), "")
