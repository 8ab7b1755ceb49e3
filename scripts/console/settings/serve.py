"""The command line of serve."""
from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..flags import CommandParser, path, whole_number
from ..logging import configure_logging
from .label_image import GraphSettings, add_graph_flags, stated_by
from .places import DEFAULT_TFLITE, default_graph

HIGHEST_PORT = 65535


@dataclass(frozen=True)
class ServeSettings:
    """What `serve` was asked; the flags of the same names say what each means."""

    graph: Path
    stated: GraphSettings
    host: str
    port: int
    model_name: str


def serve_settings(arguments: list[str] | None) -> ServeSettings:
    """Reads serve's command line (None: the process's own); raises UserError with exit code 2 for a wrong one."""
    parser = CommandParser(prog="scripts.serve", description="Serves a classifier over HTTP: a page for people, a "
                           "form for files, and TensorFlow Serving's REST protocol.")
    parser.add_argument("--graph", type=path, default=default_graph(), metavar="FILE",
                        help=f"classifier (default {DEFAULT_TFLITE}, which needs no TensorFlow)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default 127.0.0.1: this machine "
                        "alone; 0.0.0.0: whoever reaches it, without a password)")
    parser.add_argument("--port", type=whole_number, default=8501, help="default 8501; 0: any that is free")
    parser.add_argument("--model_name", default="classifier", metavar="NAME",
                        help="name in the addresses (default classifier)")
    add_graph_flags(parser)
    flags = parser.parse(arguments)
    configure_logging(flags.logging_verbosity)
    if flags.port > HIGHEST_PORT:
        raise UserError(f"--port={flags.port} is more than {HIGHEST_PORT}.", exit_code=2)
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", flags.model_name):
        raise UserError(f"--model_name={flags.model_name} is part of an address: letters, digits and _ . - only.",
                        exit_code=2)
    return ServeSettings(flags.graph, stated_by(flags), flags.host, flags.port, flags.model_name)
