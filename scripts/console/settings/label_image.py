"""The command line of label_image."""
from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..flags import CommandParser, finite, image_side, path, positive_integer, score
from ..logging import configure_logging
from .places import DEFAULT_TFLITE, default_graph


@dataclass(frozen=True)
class GraphSettings:
    """What a person says of a graph that does not know its own input and labels; None: not said.

    Attributes:
        labels: a file with one label a line, in output order.
        input_height, input_width: in pixels.
        input_mean, input_std: pixels p from 0 to 255 are fed as (p - mean) / std.
        input_layer, output_layer: names of nodes.
    """

    labels: Path | None = None
    input_height: int | None = None
    input_width: int | None = None
    input_mean: float | None = None
    input_std: float | None = None
    input_layer: str | None = None
    output_layer: str | None = None

    def given(self) -> dict[str, Any]:
        """What was said, by the flags' names."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class LabelSettings:
    """What `label_image` was asked; the flags of the same names say what each means."""

    sources: tuple[str, ...]
    graph: Path
    stated: GraphSettings
    top_k: int
    min_score: float
    format: str
    sort_into: Path | None


def label_settings(arguments: list[str] | None) -> LabelSettings:
    """Reads label_image's command line (None: the process's); raises UserError with exit code 2 for a wrong one."""
    parser = CommandParser(prog="scripts.label_image", description="Says what photos show, by a classifier that "
                           "retrain or Poets made.")
    photos = parser.add_argument_group("photos")
    photos.add_argument("sources", nargs="*", metavar="PHOTO",
                        help="files, folders, patterns (*.jpg), http(s) addresses; - reads a list, one a line")
    photos.add_argument("--image", action="append", default=[], metavar="PHOTO", help="the same, Poets' spelling")
    model = parser.add_argument_group("classifier")
    model.add_argument("--graph", type=path, default=default_graph(), metavar="FILE",
                       help=f".tflite, .pb or SavedModel folder of a retrain (default {DEFAULT_TFLITE}); or a graph "
                       "that Poets made")
    answers = parser.add_argument_group("answers")
    answers.add_argument("--top_k", type=positive_integer, default=5, metavar="K",
                         help="how many labels to show, the likeliest first (default 5)")
    answers.add_argument("--min_score", type=score, default=0.0, metavar="S",
                         help="show only labels with at least this score, 0 to 1")
    answers.add_argument("--format", choices=["text", "csv", "jsonl"], default="text",
                         help="text (default), csv, or jsonl: one JSON object a photo")
    answers.add_argument("--sort_into", type=path, metavar="DIR",
                         help="copy each photo into DIR/<its likeliest label>; nothing is overwritten")
    add_graph_flags(parser)
    flags = parser.parse(arguments)
    configure_logging(flags.logging_verbosity)
    sources = (*flags.image, *flags.sources)
    if not sources:
        raise UserError("No photo was given.", "For example: python -m scripts.label_image --image=photo.jpg",
                        exit_code=2)
    return LabelSettings(sources=sources, graph=flags.graph, stated=stated_by(flags), top_k=flags.top_k,
                         min_score=flags.min_score, format=flags.format, sort_into=flags.sort_into)


def add_graph_flags(parser: argparse.ArgumentParser) -> None:
    """Adds Poets' flags for graphs that do not know their own input."""
    group = parser.add_argument_group("for graphs that Poets made", "Most are found out without these; a classifier "
                                      "made by retrain knows its own, and they are ignored for it.")
    group.add_argument("--labels", type=path, metavar="FILE", help="labels, one a line (default: the label file "
                       "beside the graph)")
    for name in ("input_height", "input_width"):
        group.add_argument(f"--{name}", type=image_side, metavar="PIXELS", help="size of the input")
    for name in ("input_mean", "input_std"):
        group.add_argument(f"--{name}", type=finite, metavar="X", help="pixels are fed as (x - mean) / std")
    for name in ("input_layer", "output_layer"):
        group.add_argument(f"--{name}", metavar="NAME", help="name of a node")


def stated_by(flags: argparse.Namespace) -> GraphSettings:
    """What the flags of `add_graph_flags` say."""
    if flags.input_std == 0:
        raise UserError("--input_std=0 would divide by zero.", exit_code=2)
    return GraphSettings(**{name: getattr(flags, name) for name in GraphSettings.__dataclass_fields__})
