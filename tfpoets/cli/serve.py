"""tfpoets serve: a classifier over HTTP, with a page to try it."""
from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.errors import ModelError, TfpoetsError, check_range, one_line
from tfpoets.extractors import core_count
from tfpoets.inference import LegacyGraphOptions, load_classifier

from .parser import Flag, Group, option_values, parse_flags, path
from .paths import DEFAULT_TFLITE, default_graph
from .run_command import UsageError, run_command
from .shared_flags import GRAPH_FLAGS, legacy_options

NEEDED = ("flask", "waitress", "prometheus_client")
MAX_PORT = 65535
FLAGS = (Group("", (
    Flag("graph", f"classifier (default {DEFAULT_TFLITE}, which needs no TensorFlow)", "graph", path, "FILE"),
    Flag("host", "address to listen at (default 127.0.0.1: this machine alone; 0.0.0.0: whoever reaches it, without a "
         "password)", "host", metavar="ADDRESS"),
    Flag("port", "default 8501; 0: any that is free", "port", int, "PORT"),
    Flag("model_name", "name in the addresses (default classifier)", "model_name", metavar="NAME"))),)


@dataclass(frozen=True)
class ServeOptions:
    """What `serve` does; the flags of the same names say what each means."""

    graph: Path = field(default_factory=default_graph)
    host: str = "127.0.0.1"
    port: int = 8501
    model_name: str = "classifier"
    legacy: LegacyGraphOptions = LegacyGraphOptions()

    def __post_init__(self) -> None:
        check_range("port", self.port, minimum=0, maximum=MAX_PORT, integer=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the command: arguments without the program's name (None: the process's own) to exit code."""
    return run_command(lambda given: serve(options_from(parse_flags(
        "serve", "Serve a classifier over HTTP: a page for people, a form for files, and TensorFlow Serving's REST "
        "protocol.", (*FLAGS, GRAPH_FLAGS), given))), arguments)


def options_from(given: dict[str, Any]) -> ServeOptions:
    """Return the options that the flags ask for."""
    options = ServeOptions(**option_values(given, FLAGS), legacy=legacy_options(given))
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", options.model_name):
        raise UsageError(f"--model_name={options.model_name} is part of an address: letters, digits and _ . - only.")
    return options


def serve(options: ServeOptions) -> int:
    """Serve until it is stopped, and return 0."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise TfpoetsError(f"Serving needs {', '.join(missing)}, which is not installed.",
                           "Run: pip install flask waitress prometheus-client")
    from tfpoets.serving import InferencePool, Limits, create_app, run_server
    classifier = load_classifier(options.graph, options.legacy)
    limits = Limits()
    gray = np.full((classifier.input.height, classifier.input.width, 3), 0.5, np.float32)
    try:
        classifier.predict_array(gray)
    except Exception as error:  # whatever a damaged file makes an engine raise
        raise ModelError(f"{options.graph} does not answer: {one_line(error)}") from error
    inference = InferencePool(classifier, core_count(), limits)
    app = create_app(classifier, inference, options.model_name, limits)

    def print_addresses(port: int) -> None:
        print(f"{options.graph}: {len(classifier.labels)} labels")
        host = f"[{options.host}]" if ":" in options.host else options.host
        print(f"Page:    http://{host}:{port}/")
        print(f"Predict: http://{host}:{port}/v1/models/{options.model_name}:predict", flush=True)
    try:
        run_server(app, options.host, options.port, limits, print_addresses)
    finally:
        inference.close()
    print("Stopped.")
    return 0
