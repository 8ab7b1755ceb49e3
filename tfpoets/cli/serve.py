"""The command `tfpoets serve`: serve a classifier over HTTP."""
from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.errors import ModelError, TfpoetsError, check_range, one_line
from tfpoets.inference import Classifier, LegacyGraphOptions, load_classifier
from tfpoets.parallel import core_count

from .messages import print_lines
from .parser import Flag, Group, option_values, parse_flags, path
from .paths import DEFAULT_TFLITE, default_graph
from .run_command import UsageError, run_command
from .shared_flags import GRAPH_FLAGS, TRUST_FLAG, legacy_options

REQUIRED_PACKAGES = ("flask", "waitress", "prometheus_client")
MAX_PORT = 65535
# How long a thread may keep Python's lock while others wait for it; the default is 5 ms. It limits how long a client
# waits while many threads are busy.
SWITCH_SECONDS = 0.001
# How long photos that are being classified when the server stops may take.
CLOSE_SECONDS = 0.3
DESCRIPTION = ("Serve a classifier over HTTP, with a web page, a URL to which programs upload photos, and the "
               "REST API of TensorFlow Serving.")
FLAGS = (
    Group("", (
        Flag("graph", f"classifier to serve (default: {DEFAULT_TFLITE}, which does not need TensorFlow)", "graph",
             path, "FILE"),
        TRUST_FLAG,
        Flag("host", "address to listen on (default: 127.0.0.1, this machine only; 0.0.0.0 also accepts "
             "connections from other machines, without a password)", "host", metavar="ADDRESS"),
        Flag("port", "port to listen on, or 0 for any free port (default: 8501)", "port", int, "PORT"),
        Flag("model_name", "name of the model in URLs (default: classifier)", "model_name", metavar="NAME"),
        Flag("allow_origin", "origin of a site whose pages may use the server and under whose name it may be reached, "
             "such as https://example.org; may be repeated", "allow_origin", metavar="ORIGIN", repeatable=True))),
    GRAPH_FLAGS)


@dataclass(frozen=True)
class ServeOptions:
    """The options of `serve`, documented by the flags of the same names."""

    graph: Path = field(default_factory=default_graph)
    host: str = "127.0.0.1"
    port: int = 8501
    model_name: str = "classifier"
    allow_origin: Sequence[str] = ()
    legacy: LegacyGraphOptions = LegacyGraphOptions()
    trust_model: bool = False

    def __post_init__(self) -> None:
        check_range("port", self.port, minimum=0, maximum=MAX_PORT, integer=True)


def main(argv: list[str] | None = None) -> int:
    """Run the command with the given arguments (default: `sys.argv[1:]`) and return its exit code."""
    return run_command(lambda argv: serve(options_from(parse_flags("serve", DESCRIPTION, FLAGS, argv))), argv)


def options_from(args: dict[str, Any]) -> ServeOptions:
    """Convert the values of the flags to options."""
    options = ServeOptions(**{**option_values(args, FLAGS), "legacy": legacy_options(args)})
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", options.model_name):
        raise UsageError(f"--model_name={options.model_name} is not allowed in a URL.",
                         "Use letters, digits, dots, underscores and hyphens only.")
    return options


def serve(options: ServeOptions) -> int:
    """Serve the classifier until the process is stopped, and return 0."""
    missing = [name for name in REQUIRED_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise TfpoetsError(f"Serving requires packages that are not installed: {', '.join(missing)}.",
                           "Run: pip install flask waitress prometheus-client")
    from tfpoets.serving import AccessRules, InferencePool, Limits, create_app, run_server
    access = AccessRules(options.host, tuple(options.allow_origin))
    classifier = load_classifier(options.graph, options.legacy, options.trust_model)
    limits = Limits()
    _check_prediction(classifier, options.graph)
    inference = InferencePool(classifier, core_count(), limits)
    app = create_app(classifier, inference, options.model_name, limits, access)

    def print_addresses(port: int) -> None:
        print_lines(f"{options.graph}: {len(classifier.labels)} labels")
        host = f"[{options.host}]" if ":" in options.host else options.host
        print_lines(f"Page:    http://{host}:{port}/",
                    f"Predict: http://{host}:{port}/v1/models/{options.model_name}:predict")
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        run_server(app, (options.host, options.port), limits, print_addresses, inference.stop)
    finally:
        has_stopped = inference.close(timeout=CLOSE_SECONDS)
    print_lines("Stopped.")
    if not has_stopped:
        # The interpreter would wait for the photos that are still being classified.
        os._exit(0)
    return 0


def _check_prediction(classifier: Classifier, graph: Path) -> None:
    """Raise a ModelError if the classifier cannot process a photo, or gives no finite probabilities for it."""
    shape = (classifier.input.height, classifier.input.width, 3)
    photos = [np.full(shape, level, np.float32) for level in (0.5, 0.0, 1.0)]
    photos.append(np.random.default_rng(0).random(shape, np.float32))
    for photo in photos:
        try:
            classifier.predict_array(photo)
        except ModelError as error:
            raise ModelError(f"{graph} cannot be served. {error.problem}", error.remedy) from error
        except Exception as error:  # a damaged file can make an engine raise anything
            raise ModelError(f"{graph} cannot process a photo: {one_line(error)}") from error
