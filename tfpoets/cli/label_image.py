"""The command `tfpoets label_image`: label photos. TensorFlow is not imported for a .tflite file."""
from __future__ import annotations

import contextlib
import csv
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tfpoets.data import STANDARD_INPUT, InputSources, is_url, read_photo_header, suffixes_for
from tfpoets.errors import ExportError, PhotoError, check_range
from tfpoets.escaping import escape_for_csv
from tfpoets.exporting import UNKNOWN_LABEL, UNSURE_LABEL
from tfpoets.inference import LegacyGraphOptions, Prediction, load_classifier

from .invocation import command_line
from .messages import print_json, print_lines, print_message
from .parser import Flag, Group, option_values, parse_flags, path
from .paths import default_graph
from .percentages import fraction
from .run_command import UsageError, run_command
from .shared_flags import CLASSIFIER_HELP, GRAPH_FLAGS, TRUST_FLAG, legacy_options

# The labels to show for a photo, with their scores.
TopLabels = Sequence[tuple[str, float]]
# A function that writes the source of a photo, its top labels, and the details of its prediction.
Writer = Callable[[str, TopLabels, Prediction], None]

DESCRIPTION = "Label photos with a classifier made by retrain or TensorFlow for Poets."
FLAGS = (
    Group("photos", (
        Flag("sources", "files, folders, glob patterns (*.jpg), http(s) URLs, or files and folders at s3://, gs:// or "
             "az://; - reads standard input: a photo, or a list, one per line", metavar="PHOTO", nargs="*"),
        Flag("image", "photo to label, as in TensorFlow for Poets; may be repeated", metavar="PHOTO",
             repeatable=True))),
    Group("classifier", (Flag("graph", CLASSIFIER_HELP, "graph", path, "FILE"), TRUST_FLAG)),
    Group("output", (
        Flag("top_k", "number of labels to show: the answer, then the most likely others (default: 5)", "top_k", int,
             "K"),
        Flag("min_score", "lowest score of the labels to show, from 0 to 1 (default: 0)", "min_score", fraction, "S"),
        Flag("format", "text (default), csv, or jsonl with one JSON object per photo", "format",
             choices=("text", "csv", "jsonl")),
        Flag("sort_into", "copy each photo into the subfolder of DIR named after its label; no file is "
             "overwritten", "sort_into", path, "DIR"))),
    GRAPH_FLAGS)


@dataclass(frozen=True)
class LabelOptions:
    """The options of `label_image`, documented by the flags of the same names."""

    sources: tuple[str, ...]
    graph: Path = field(default_factory=default_graph)
    legacy: LegacyGraphOptions = LegacyGraphOptions()
    top_k: int = 5
    min_score: float = 0.0
    format: str = "text"
    sort_into: Path | None = None
    trust_model: bool = False

    def __post_init__(self) -> None:
        check_range("top_k", self.top_k, minimum=1, integer=True)
        check_range("min_score", self.min_score, minimum=0, maximum=1)


def main(argv: list[str] | None = None) -> int:
    """Run the command with the given arguments (default: `sys.argv[1:]`) and return its exit code."""
    return run_command(lambda argv: label(options_from(parse_flags("label_image", DESCRIPTION, FLAGS, argv))), argv)


def options_from(args: dict[str, Any]) -> LabelOptions:
    """Convert the values of the flags to options."""
    sources = (*args.get("image", ()), *args.get("sources", ()))
    if not sources:
        raise UsageError("No photo was given.", f"For example: {command_line('label_image', '--image=photo.jpg')}")
    return LabelOptions(sources, **{**option_values(args, FLAGS), "legacy": legacy_options(args)})


def label(options: LabelOptions) -> int:
    """Label the photos, print the labels, and sort the photos if requested.

    Returns:
        The exit code: 1 if any photo could not be labelled, 0 otherwise.
    """
    classifier = load_classifier(options.graph, options.legacy, options.trust_model)
    write = _create_writer(options)
    sources = InputSources(options.sources)
    failed = False
    for source, prediction in classifier.predict_photos(sources, sources.read):
        top_labels = classifier.top_labels(prediction, options.top_k)
        if top_labels and top_labels[0][1] < options.min_score:  # with costs, other labels may have higher scores
            top_labels = []
        top_labels = [(name, score) for name, score in top_labels if score >= options.min_score]
        write(source, top_labels, prediction)
        failed = failed or bool(prediction.reason)
        if options.sort_into and (top_labels or prediction.unknown or prediction.unsure):
            label_name = classifier.predicted_label(prediction)
            try:
                _copy_photo(source, sources.read(source), label_name, options.sort_into)
            except PhotoError as error:  # it was deleted, or a second download has failed
                print_message(f"{source} is not copied: {error}.")
                failed = True
    return 1 if failed else 0


def _create_writer(options: LabelOptions) -> Writer:
    if options.format == "jsonl":
        return _write_json
    if options.format == "csv":
        return _CSVWriter(options.top_k)
    return _TextWriter(options.sources)


class _TextWriter:
    """A writer in the format of TensorFlow for Poets, with the source above the labels if there are several photos.

    Args:
        sources: The sources on the command line. A folder, pattern or list may stand for several photos.
    """

    def __init__(self, sources: Sequence[str]):
        self._single_source = os.path.expanduser(sources[0]) if len(sources) == 1 else None

    def __call__(self, source: str, labels: TopLabels, prediction: Prediction) -> None:
        if prediction.reason:
            print_lines(f"{source}: {prediction.reason}", stream=sys.stderr)
            return
        indent = ""
        if source != self._single_source:
            print_lines(source)
            indent = "  "
        if prediction.unknown:
            print_lines(f"{indent}{UNKNOWN_LABEL} (unlike the training photos; the most similar classes:)")
            indent += "  "
        elif prediction.unsure:
            print_lines(f"{indent}{UNSURE_LABEL} (too uncertain for the accuracy target; the classes:)")
            indent += "  "
        for name, score in labels:
            print_lines(f"{indent}{name} (score={score:.5f})")
        if not labels:
            print_lines(f"{indent}(no label reaches the minimum score)")


def _write_json(source: str, labels: TopLabels, prediction: Prediction) -> None:
    values: dict[str, Any] = {"error": prediction.reason} if prediction.reason else {
        "labels": [{"label": name, "score": score} for name, score in labels]}
    if prediction.unknown_score is not None:
        values.update(unknown=prediction.unknown, unknown_score=prediction.unknown_score)
    if prediction.unsure is not None:
        values.update(unsure=prediction.unsure)
    print_json({"image": source, **values})


class _CSVWriter:
    """A writer of CSV: a header, and a row for each label of each photo."""

    def __init__(self, top_k: int):
        self._top_k = top_k
        self._rows = csv.writer(sys.stdout, lineterminator="\n")
        self._rows.writerow(["image", "rank", "label", "score", "error"])

    def __call__(self, source: str, labels: TopLabels, prediction: Prediction) -> None:
        image = escape_for_csv(source)
        no_answer = UNKNOWN_LABEL if prediction.unknown else UNSURE_LABEL if prediction.unsure else ""
        if prediction.reason or not (labels or no_answer):
            self._rows.writerow([image, "", "", "", escape_for_csv(prediction.reason)])
        if no_answer:
            self._rows.writerow([image, 1, no_answer, "", ""])
        # The row for `unknown` or `unsure` counts towards --top_k, so that --top_k=1 always gives one row per photo.
        first_rank = 2 if no_answer else 1
        for rank, (name, score) in enumerate(labels[:self._top_k + 1 - first_rank], first_rank):
            self._rows.writerow([image, rank, escape_for_csv(name), f"{score:.5f}", ""])
        sys.stdout.flush()


def _copy_photo(source: str, content: bytes, label: str, folder: Path) -> None:
    """Copy a photo into the folder of its label, under an unused name, unless an identical copy is already there."""
    if not _is_folder_name(label):
        raise ExportError(f"The label {label!r} cannot be the name of a folder.", "Omit --sort_into.")
    file_name = Path(unquote(urlsplit(source).path) if is_url(source) else source).name or "photo"
    if source == STANDARD_INPUT:
        header = read_photo_header(content)
        file_name = "photo" + (suffixes_for(header.format)[0] if header else "")
    target = folder / label / file_name
    target.parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        try:
            with target.open("xb") as file:  # neither replaces a file nor follows a link
                file.write(content)
            break
        except FileExistsError:
            if target.is_file() and target.read_bytes() == content:
                return
            number += 1
            target = target.with_name(f"{Path(file_name).stem}-{number}{Path(file_name).suffix}")
    if not (is_url(source) or source == STANDARD_INPUT):
        with contextlib.suppress(OSError):  # the time of the photo is not essential
            shutil.copystat(source, target)


def _is_folder_name(label: str) -> bool:
    """Return whether a label can be the name of a folder on every system, and stays inside the folder it is in."""
    # A colon separates a drive or a stream on Windows, where some names stand for devices.
    is_device = re.fullmatch(r"(con|prn|aux|nul|com\d|lpt\d)", label.split(".")[0].strip(), re.IGNORECASE)
    return bool(label.strip(" .")) and not is_device and not any(character in label for character in "/\\:\0")
