"""tfpoets export --to=tflite_int8,tfjs: convert a retrained graph, and prove each file on photos."""
from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfpoets.data import Photo, read_dataset
from tfpoets.errors import TfpoetsError
from tfpoets.exporting import (DEFAULT_GRAPH, FORMATS, Converted, Graph, check_format_names, check_formats, convert,
                               open_graph)
from tfpoets.files import check_is_apart, check_output_folder
from tfpoets.inference import were_trained_on

from .parser import Flag, Group, names, option_values, parse_flags, path
from .places import TF_FILES
from .running import UsageError, run_command
from .text import conversion_header, conversion_line, conversion_notes

log = logging.getLogger(__name__)


FLAGS = (Group("", (
    Flag("graph", f"the .pb that retrain wrote (default {DEFAULT_GRAPH})", "graph", path, "FILE"),
    Flag("to", ", ".join(FORMATS), "formats", names, "FORM[,FORM...]", required=True),
    Flag("output_dir", "where the files go (default tf_files/exported)", "output_dir", path, "DIR"),
    Flag("image_dir", "photos to prove the files on, and to see the range of every number for tflite_int8: one folder "
         "per class (default: those of its training)", "image_dir", path, "DIR"))),)


@dataclass(frozen=True)
class ConversionOptions:
    """What `export` does; the flags of the same names say what each means."""

    formats: tuple[str, ...]
    graph: Path = DEFAULT_GRAPH
    output_dir: Path = TF_FILES / "exported"
    image_dir: Path | None = None

    def __post_init__(self) -> None:
        if not self.formats:
            raise UsageError(f"--to: name some of {', '.join(FORMATS)}.")
        check_format_names(self.formats)


def main(arguments: list[str] | None = None) -> int:
    """Run the command: arguments without the program's name (None: the process's own) to exit code."""
    return run_command(lambda given: export(options_from(parse_flags(
        "export", "Convert a retrained graph for phones, browsers and servers, and prove each file on photos that the "
        "classifier was not trained on.", FLAGS, given))), arguments)


def options_from(given: dict[str, Any]) -> ConversionOptions:
    """Return the options that the flags ask for."""
    options = ConversionOptions(**option_values(given, FLAGS))
    if options.image_dir:
        check_is_apart(options.output_dir, "output_dir", options.image_dir, options.output_dir)
    check_output_folder(options.output_dir)
    return options


def export(options: ConversionOptions) -> int:
    """Write the files, print how each compares with the graph, and return 0."""
    check_formats(options.formats)
    graph = open_graph(options.graph)
    photos = _photos(graph, options.image_dir)
    known = were_trained_on(graph.metadata, photos)
    trained = [photo for photo, is_known in zip(photos, known) if is_known]
    new = [photo for photo, is_known in zip(photos, known) if not is_known]
    if not photos:
        log.warning("There are no photos to prove the files on: give some with --image_dir.")
    elif not new:
        log.warning("The classifier was trained on all of these photos: the files can be compared, but the accuracy "
                    "says nothing about new photos.")
    print(conversion_header(), flush=True)
    if "tflite_int8" in options.formats and not trained and new:
        log.warning("No photo that the classifier was trained on is here; tflite_int8 sees the range of its numbers "
                    "in the photos that prove it.")
    found = convert(graph, options.formats, options.output_dir, new or trained, trained or new, _print_row)
    print(*conversion_notes(found, graph.metadata.unknown is not None), sep="\n")
    return 0


def _photos(graph: Graph, image_dir: Path | None) -> list[Photo]:
    """Photos of the classifier's labels: of the folder that is given, else of those it was trained and tested on."""
    remembered = [graph.metadata.options.get(name) for name in ("image_dir", "test_dir")]
    folders = [image_dir] if image_dir else [Path(folder) for folder in remembered
                                                   if isinstance(folder, str) and folder and Path(folder).is_dir()]
    found: list[Photo] = []
    for folder in folders:
        try:
            found += read_dataset(folder, least_classes=1).photos
        except TfpoetsError:
            if image_dir:
                raise  # a folder that was only remembered may be empty by now
    return [photo for photo in found if photo.label in graph.metadata.labels]


def _print_row(converted: Converted) -> None:
    print(conversion_line(converted), flush=True)
