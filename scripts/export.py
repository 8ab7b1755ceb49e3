"""python -m scripts.export --to=tflite_int8,tfjs: converts a retrained graph, and proves each file on photos."""
from __future__ import annotations

import logging
import sys
from pathlib import Path

from scripts.classifier import Converted, Graph, check_formats, convert, open_graph, were_trained_on
from scripts.console import UserError, run_command
from scripts.console.settings import ExportSettings, export_settings
from scripts.photos import Photo, read_tree
from scripts.report import conversion_header, conversion_line, conversion_notes

log = logging.getLogger("scripts.export")


def main(arguments: list[str] | None = None) -> int:
    """The command: arguments without the program's name (None: the process's own) to exit code."""
    return run_command(lambda given: export(export_settings(given)), arguments)


def export(settings: ExportSettings) -> int:
    """Writes the files, prints how each compares with the graph, and returns 0."""
    check_formats(settings.formats)
    graph = open_graph(settings.graph)
    photos = _photos(graph, settings.image_dir)
    known = were_trained_on(graph.metadata, photos)
    trained = [photo for photo, is_known in zip(photos, known) if is_known]
    new = [photo for photo, is_known in zip(photos, known) if not is_known]
    if not photos:
        log.warning("There are no photos to prove the files on: give some with --image_dir.")
    elif not new:
        log.warning("The classifier was trained on all of these photos: the files can be compared, but the accuracy "
                    "says nothing about new photos.")
    print(conversion_header(), flush=True)
    if "tflite_int8" in settings.formats and not trained and new:
        log.warning("No photo that the classifier was trained on is here; tflite_int8 sees the range of its numbers "
                    "in the photos that prove it.")
    found = convert(graph, settings.formats, settings.output_dir, new or trained, trained or new, _say)
    print(*conversion_notes(found, graph.metadata.unknown is not None), sep="\n")
    return 0


def _photos(graph: Graph, image_dir: Path | None) -> list[Photo]:
    """Photos of the classifier's labels: of the folder that is given, else of those it was trained and tested on."""
    remembered = [graph.metadata.flags.get(name) for name in ("image_dir", "test_dir")]
    folders = [image_dir] if image_dir else [Path(folder) for folder in remembered if folder and Path(folder).is_dir()]
    found: list[Photo] = []
    for folder in folders:
        try:
            found += read_tree(folder, least_classes=1).photos
        except UserError:
            if image_dir:
                raise  # a folder that was only remembered may be empty by now
    return [photo for photo in found if photo.label in graph.metadata.labels]


def _say(converted: Converted) -> None:
    print(conversion_line(converted), flush=True)


if __name__ == "__main__":
    sys.exit(main())
