"""python -m scripts.label_image --image=PHOTO: says what photos show; needs no TensorFlow for a .tflite."""
from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from scripts.classifier import UNKNOWN_LABEL, Answer, Classifier, load_classifier
from scripts.console import UserError, run_command
from scripts.console.settings import LabelSettings, label_settings
from scripts.photos import expand_sources, is_address, read_source

# (source, labels with scores, what else the classifier said)
Writer = Callable[[str, list[tuple[str, float]], Answer], None]


def main(arguments: list[str] | None = None) -> int:
    """The command: arguments without the program's name (None: the process's own) to exit code."""
    return run_command(lambda given: label(label_settings(given)), arguments)


def label(settings: LabelSettings) -> int:
    """Labels every photo and prints the answers; returns 1 if any photo had none, else 0."""
    classifier = load_classifier(settings.graph, settings.stated)
    write = _writer(settings, classifier)
    failed = 0
    for source, answer in classifier.label_photos(expand_sources(settings.sources), read_source):
        labels = _best(answer, classifier, settings)
        write(source, labels, answer)
        failed += bool(answer.reason)
        if settings.sort_into and (labels or answer.unknown):
            _copy(source, settings.sort_into, UNKNOWN_LABEL if answer.unknown else labels[0][0])
    return 1 if failed else 0


def _best(answer: Answer, classifier: Classifier, settings: LabelSettings) -> list[tuple[str, float]]:
    """The likeliest labels with their scores, best first."""
    if answer.probabilities is None:
        return []
    order = (-answer.probabilities).argsort(kind="stable")[:settings.top_k]
    scored = [(classifier.labels[i], float(answer.probabilities[i])) for i in order]
    return [(name, score) for name, score in scored if score >= settings.min_score]


def _writer(settings: LabelSettings, classifier: Classifier) -> Writer:
    if settings.format == "jsonl":
        return _write_json
    if settings.format == "csv":
        return _csv_writer(settings.top_k)
    alone = len(settings.sources) == 1 and (is_address(settings.sources[0]) or Path(settings.sources[0]).is_file())
    return lambda source, labels, answer: _write_text(source, labels, answer, alone)


def _write_text(source: str, labels: list[tuple[str, float]], answer: Answer, alone: bool) -> None:
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


def _write_json(source: str, labels: list[tuple[str, float]], answer: Answer) -> None:
    found: dict[str, Any] = {"error": answer.reason} if answer.reason else {
        "labels": [{"label": name, "score": score} for name, score in labels]}
    if answer.unknown_score is not None:
        found.update(unknown=answer.unknown, unknown_score=answer.unknown_score)
    print(json.dumps({"image": source, **found}, ensure_ascii=False), flush=True)


def _csv_writer(top_k: int) -> Writer:
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow(["image", "rank", "label", "score", "error"])

    def write(source: str, labels: list[tuple[str, float]], answer: Answer) -> None:
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
        raise UserError(f"The label {name!r} cannot be the name of a folder.", "Leave --sort_into away.")
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


if __name__ == "__main__":
    sys.exit(main())
