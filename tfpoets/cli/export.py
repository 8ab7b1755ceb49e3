"""The command `tfpoets export`: convert a retrained graph to other formats, and verify each file."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfpoets.exporting import DEFAULT_GRAPH, ExportedFile, export, format_names

from .messages import print_lines
from .parser import Flag, Group, location, names, option_values, parse_flags, path
from .paths import TF_FILES
from .run_command import UsageError, run_command
from .shared_flags import IMAGE_DIR_HELP, TRUST_FLAG
from .text import conversion_header, conversion_notes, conversion_row

DESCRIPTION = ("Convert a retrained graph for phones, browsers and servers, and verify each file on photos that the "
               "classifier was not trained on.")
FLAGS = (Group("", (
    Flag("graph", f".pb file written by retrain (default: {DEFAULT_GRAPH})", "graph", path, "FILE"),
    TRUST_FLAG,
    Flag("to", lambda: f"formats to write: {', '.join(format_names())}", "formats", names, "FORMAT[,FORMAT...]",
         required=True),
    Flag("output_dir", "folder for the converted files (default: tf_files/exported)", "output_dir", path, "DIR"),
    Flag("image_dir", f"{IMAGE_DIR_HELP}, to verify the files and to calibrate tflite_int8 (default: the photos that "
         "retrain used)", "image_dir", location, "DIR"))),)


@dataclass(frozen=True)
class ConversionOptions:
    """The options of `export`, documented by the flags of the same names."""

    formats: tuple[str, ...]
    graph: Path = DEFAULT_GRAPH
    output_dir: Path = TF_FILES / "exported"
    image_dir: Path | str | None = None
    trust_model: bool = False

    def __post_init__(self) -> None:
        if not self.formats:
            raise UsageError("--to contains no format.", f"Choose from {', '.join(format_names())}.")


def main(argv: list[str] | None = None) -> int:
    """Run the command with the given arguments (default: `sys.argv[1:]`) and return its exit code."""
    return run_command(lambda argv: convert(options_from(parse_flags("export", DESCRIPTION, FLAGS, argv))), argv)


def options_from(args: dict[str, Any]) -> ConversionOptions:
    """Convert the values of the flags to options."""
    return ConversionOptions(**option_values(args, FLAGS))


def convert(options: ConversionOptions) -> int:
    """Write the files, print how each one compares with the graph, and return 0."""
    converted = export(options.graph, options.formats, options.output_dir, options.image_dir, _RowPrinter(),
                       options.trust_model)
    print_lines(*conversion_notes(converted))
    return 0


class _RowPrinter:
    """A callback that prints a row for each file as soon as it is written, with a header above the first row."""

    def __init__(self) -> None:
        self._header_printed = False

    def __call__(self, converted: ExportedFile) -> None:
        if not self._header_printed:
            print_lines(conversion_header())
        self._header_printed = True
        print_lines(conversion_row(converted))
