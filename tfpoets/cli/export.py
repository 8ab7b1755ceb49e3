"""tfpoets export --to=tflite_int8,tfjs: convert a retrained graph, and prove each file on photos."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfpoets.exporting import DEFAULT_GRAPH, ExportedFile, export, format_names

from .parser import Flag, Group, location, names, option_values, parse_flags, path
from .paths import TF_FILES
from .run_command import UsageError, run_command
from .text import conversion_header, conversion_line, conversion_notes

FLAGS = (Group("", (
    Flag("graph", f"the .pb that retrain wrote (default {DEFAULT_GRAPH})", "graph", path, "FILE"),
    Flag("to", lambda: ", ".join(format_names()), "formats", names, "FORMAT[,FORMAT...]", required=True),
    Flag("output_dir", "where the files go (default tf_files/exported)", "output_dir", path, "DIR"),
    Flag("image_dir", "photos to prove the files on, and to see the range of every number for tflite_int8: one folder "
         "per class (default: those of its training)", "image_dir", location, "DIR"))),)


@dataclass(frozen=True)
class ConversionOptions:
    """What `export` does; the flags of the same names say what each means."""

    formats: tuple[str, ...]
    graph: Path = DEFAULT_GRAPH
    output_dir: Path = TF_FILES / "exported"
    image_dir: Path | str | None = None

    def __post_init__(self) -> None:
        if not self.formats:
            raise UsageError(f"--to: name some of {', '.join(format_names())}.")


def main(arguments: list[str] | None = None) -> int:
    """Run the command: arguments without the program's name (None: the process's own) to exit code."""
    return run_command(lambda given: convert(options_from(parse_flags(
        "export", "Convert a retrained graph for phones, browsers and servers, and prove each file on photos that the "
        "classifier was not trained on.", FLAGS, given))), arguments)


def options_from(given: dict[str, Any]) -> ConversionOptions:
    """Return the options that the flags ask for."""
    return ConversionOptions(**option_values(given, FLAGS))


def convert(options: ConversionOptions) -> int:
    """Write the files, print how each compares with the graph, and return 0."""
    rows = export(options.graph, options.formats, options.output_dir, options.image_dir, _RowPrinter())
    print(*conversion_notes(rows), sep="\n")
    return 0


class _RowPrinter:
    """Prints each row as it comes, under a header."""

    def __init__(self) -> None:
        self._header = True

    def __call__(self, row: ExportedFile) -> None:
        if self._header:
            print(conversion_header())
        self._header = False
        print(conversion_line(row), flush=True)
