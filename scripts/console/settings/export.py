"""The command line of export, and the forms that it knows."""
from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from ..errors import nearest
from ..files import check_is_apart, check_output_folder
from ..flags import CommandParser, path
from ..logging import configure_logging
from .places import DEFAULT_GRAPH, TF_FILES

EXPORT_FORMATS = ("tflite", "tflite_float16", "tflite_dynamic", "tflite_int8", "tfjs", "saved_model", "onnx")


@dataclass(frozen=True)
class ExportSettings:
    """What `export` was asked; the flags of the same names say what each means."""

    graph: Path
    output_dir: Path
    image_dir: Path | None
    formats: tuple[str, ...]


def formats(text: str) -> tuple[str, ...]:
    """A flag's value as names of forms, separated by commas, each once."""
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in EXPORT_FORMATS:
            guess = nearest(name, EXPORT_FORMATS)
            raise argparse.ArgumentTypeError(f"there is no form {name!r}" + (f"; did you mean {guess}?" if guess else
                                             f"; there are {', '.join(EXPORT_FORMATS)}."))
    if not names:
        raise argparse.ArgumentTypeError(f"name some of {', '.join(EXPORT_FORMATS)}.")
    return tuple(dict.fromkeys(names))


def export_settings(arguments: list[str] | None) -> ExportSettings:
    """Reads export's command line (None: the process's own); raises UserError with exit code 2 for a wrong one."""
    parser = CommandParser(prog="scripts.export", description="Converts a retrained graph for phones, browsers and "
                           "servers, and proves each file on photos that the classifier was not trained on.")
    parser.add_argument("--graph", type=path, default=DEFAULT_GRAPH, metavar="FILE",
                        help=f"the .pb that retrain wrote (default {DEFAULT_GRAPH})")
    parser.add_argument("--to", type=formats, required=True, metavar="FORM[,FORM...]",
                        help=", ".join(EXPORT_FORMATS))
    parser.add_argument("--output_dir", type=path, default=TF_FILES / "exported", metavar="DIR",
                        help="where the files go (default tf_files/exported)")
    parser.add_argument("--image_dir", type=path, metavar="DIR", help="photos to prove the files on, and to see the "
                        "range of every number for tflite_int8: one folder per class (default: those of its training)")
    flags = parser.parse(arguments)
    configure_logging(flags.logging_verbosity)
    if flags.image_dir:
        check_is_apart(flags.output_dir, "--output_dir", flags.image_dir, flags.output_dir)
    check_output_folder(flags.output_dir)
    return ExportSettings(flags.graph, flags.output_dir, flags.image_dir, flags.to)
