"""The command line of evaluate."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..files import check_output_file
from ..flags import CommandParser, path
from ..logging import configure_logging
from .label_image import GraphSettings, add_graph_flags, stated_by
from .places import DEFAULT_TFLITE, TF_FILES, default_graph


@dataclass(frozen=True)
class EvaluateSettings:
    """What `evaluate` was asked; the flags of the same names say what each means."""

    graph: Path
    stated: GraphSettings
    image_dir: Path
    format: str
    report: Path | None


def evaluate_settings(arguments: list[str] | None) -> EvaluateSettings:
    """Reads evaluate's command line (None: the process's); raises UserError with exit code 2 for a wrong one."""
    parser = CommandParser(prog="scripts.evaluate", description="Says how good a classifier is on photos that it was "
                           "not trained on: one folder per class, in one folder.")
    parser.add_argument("positional", nargs="?", type=path, metavar="GRAPH", help="the same as --graph, Poets' way")
    parser.add_argument("--graph", type=path, metavar="FILE",
                        help=f".tflite, .pb or SavedModel folder of a retrain (default {DEFAULT_TFLITE}); or a graph "
                        "that Poets made")
    photos = TF_FILES / "flower_photos"
    parser.add_argument("--image_dir", type=path, default=photos, metavar="DIR",
                        help=f"folder that holds one folder of photos per class (default {photos})")
    parser.add_argument("--format", choices=["text", "json"], default="text",
                        help="text (default), or json: one object with all figures")
    parser.add_argument("--report", type=path, metavar="FILE", help="also write a page (.html) with the wrong answers "
                        "as pictures")
    add_graph_flags(parser)
    flags = parser.parse(arguments)
    configure_logging(flags.logging_verbosity)
    if flags.graph and flags.positional and flags.graph != flags.positional:
        raise UserError(f"Two graphs were given: {flags.positional} and {flags.graph}.", exit_code=2)
    if flags.report:
        if flags.report.suffix.lower() not in (".html", ".htm"):
            raise UserError(f"--report={flags.report} must end in .html.", exit_code=2)
        check_output_file(flags.report, "--report", flags.image_dir)
    return EvaluateSettings(graph=flags.graph or flags.positional or default_graph(), stated=stated_by(flags),
                            image_dir=flags.image_dir, format=flags.format, report=flags.report)
