"""tfpoets label_image --image=PHOTO: label photos; needs no TensorFlow for a .tflite."""
from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tfpoets.data import expand_sources, is_address, read_source
from tfpoets.errors import ExportError, check_range
from tfpoets.exporting import UNKNOWN_LABEL
from tfpoets.inference import Classifier, LegacyGraphOptions, Prediction, load_classifier

from .invocation import command_line
from .parser import Flag, Group, option_values, parse_flags, path
from .paths import DEFAULT_TFLITE, default_graph
from .run_command import UsageError, run_command
from .shared_flags import GRAPH_FLAGS, legacy_options

# (source, labels with scores, what else the classifier said)
Writer = Callable[[str, list[tuple[str, float]], Prediction], None]


FLAGS = (
    Group("photos", (
        Flag("sources", "files, folders, patterns (*.jpg), http(s) addresses; - reads a list, one a line",
             metavar="PHOTO", nargs="*"),
        Flag("image", "the same, in the spelling of TensorFlow for Poets", metavar="PHOTO", repeated=True))),
    Group("classifier", (
        Flag("graph", f".tflite, .pb or SavedModel folder of a retrain (default {DEFAULT_TFLITE}); or a graph of "
             "TensorFlow for Poets", "graph", path, "FILE"),)),
    Group("answers", (
        Flag("top_k", "how many labels to show, the likeliest first (default 5)", "top_k", int, "K"),
        Flag("min_score", "show only labels with at least this score, 0 to 1", "min_score", float, "S"),
        Flag("format", "text (default), csv, or jsonl: one JSON object a photo", "format",
             choices=("text", "csv", "jsonl")),
        Flag("sort_into", "copy each photo into DIR/<its likeliest label>; nothing is overwritten", "sort_into", path,
             "DIR"))),
    GRAPH_FLAGS)


@dataclass(frozen=True)
class LabelOptions:
    """What `label_image` does; the flags of the same names say what each means."""

    sources: tuple[str, ...]
    graph: Path = field(default_factory=default_graph)
    legacy: LegacyGraphOptions = LegacyGraphOptions()
    top_k: int = 5
    min_score: float = 0.0
    format: str = "text"
    sort_into: Path | None = None

    def __post_init__(self) -> None:
        check_range("top_k", self.top_k, minimum=1, integer=True)
        check_range("min_score", self.min_score, minimum=0, maximum=1)


def main(arguments: list[str] | None = None) -> int:
    """Run the command: arguments without the program's name (None: the process's own) to exit code."""
    return run_command(lambda given: label(options_from(parse_flags(
        "label_image", "Label photos with a classifier of retrain or TensorFlow for Poets.", FLAGS, given))),
        arguments)


def options_from(given: dict[str, Any]) -> LabelOptions:
    """Return the options that the flags ask for."""
    sources = (*given.get("image", ()), *given.get("sources", ()))
    if not sources:
        raise UsageError("No photo was given.", f"For example: {command_line('label_image', '--image=photo.jpg')}")
    return LabelOptions(sources, **{**option_values(given, FLAGS), "legacy": legacy_options(given)})


def label(options: LabelOptions) -> int:
    """Label every photo and print the answers; return 1 if any photo had none, else 0."""
    classifier = load_classifier(options.graph, options.legacy)
    write = _writer(options, classifier)
    failed = 0
    for source, answer in classifier.label_photos(expand_sources(options.sources), read_source):
        labels = _best(answer, classifier, options)
        write(source, labels, answer)
        failed += bool(answer.reason)
        if options.sort_into and (labels or answer.unknown):
            _copy(source, options.sort_into, UNKNOWN_LABEL if answer.unknown else labels[0][0])
    return 1 if failed else 0


def _best(answer: Prediction, classifier: Classifier, options: LabelOptions) -> list[tuple[str, float]]:
    """The likeliest labels with their scores, best first."""
    if answer.probabilities is None:
        return []
    order = (-answer.probabilities).argsort(kind="stable")[:options.top_k]
    scored = [(classifier.labels[i], float(answer.probabilities[i])) for i in order]
    return [(name, score) for name, score in scored if score >= options.min_score]


def _writer(options: LabelOptions, classifier: Classifier) -> Writer:
    if options.format == "jsonl":
        return _write_json
    if options.format == "csv":
        return _csv_writer(options.top_k)
    alone = len(options.sources) == 1 and (is_address(options.sources[0]) or Path(options.sources[0]).is_file())
    return lambda source, labels, answer: _write_text(source, labels, answer, alone)


def _write_text(source: str, labels: list[tuple[str, float]], answer: Prediction, alone: bool) -> None:
    """Poets' lines; with several photos each under the photo's name, and of an unknown one what it is likest to."""
    if answer.reason:
        print(f"{source}: {answer.reason}", file=sys.stderr)
        return
    if not alone:
        print(source)
    indent = "" if alone else "  "
    if answer.unknown:
        print(f"{indent}{UNKNOWN_LABEL} (unlike the training photos; if it had to be one of the classes:)")
        indent += "  "
    for name, score in labels:
        print(f"{indent}{name} (score={score:.5f})", flush=True)
    if not labels:
        print(f"{indent}(no label with such a score)", flush=True)


def _write_json(source: str, labels: list[tuple[str, float]], answer: Prediction) -> None:
    found: dict[str, Any] = {"error": answer.reason} if answer.reason else {
        "labels": [{"label": name, "score": score} for name, score in labels]}
    if answer.unknown_score is not None:
        found.update(unknown=answer.unknown, unknown_score=answer.unknown_score)
    print(json.dumps({"image": source, **found}, ensure_ascii=False), flush=True)


def _csv_writer(top_k: int) -> Writer:
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow(["image", "rank", "label", "score", "error"])

    def write(source: str, labels: list[tuple[str, float]], answer: Prediction) -> None:
        if answer.reason or not (labels or answer.unknown):
            rows.writerow([source, "", "", "", answer.reason])
        if answer.unknown:
            rows.writerow([source, 1, UNKNOWN_LABEL, "", ""])
        # One row fewer below `unknown`, so that --top_k=1 is one row a photo.
        for rank, (name, score) in enumerate(labels[:top_k - answer.unknown], 1 + answer.unknown):
            rows.writerow([source, rank, name, f"{score:.5f}", ""])
        sys.stdout.flush()
    return write


def _copy(source: str, folder: Path, name: str) -> None:
    """Copies a photo into the folder of its label, under a free name; a copy that is already there is enough."""
    if name in (".", "..") or any(mark in name for mark in "/\\\0"):
        raise ExportError(f"The label {name!r} cannot be the name of a folder.", "Omit --sort_into.")
    content = read_source(source)
    file_name = Path(unquote(urlsplit(source).path) if is_address(source) else source).name or "photo"
    target = folder / name / file_name
    target.parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while target.exists():
        if target.read_bytes() == content:
            return
        number += 1
        target = target.with_name(f"{Path(file_name).stem}-{number}{Path(file_name).suffix}")
    if is_address(source):
        target.write_bytes(content)
    else:
        shutil.copy2(source, target)
