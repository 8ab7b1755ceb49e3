"""python -m scripts.serve: a classifier over HTTP, with a page to try it."""
from __future__ import annotations

import importlib.util
import sys

import numpy as np

from scripts.classifier import load_classifier
from scripts.console import UserError, one_line, run_command
from scripts.console.settings import ServeSettings, serve_settings
from scripts.features import core_count

NEEDED = ("flask", "waitress", "prometheus_client")


def main(arguments: list[str] | None = None) -> int:
    """The command: arguments without the program's name (None: the process's own) to exit code."""
    return run_command(lambda given: serve(serve_settings(given)), arguments)


def serve(settings: ServeSettings) -> int:
    """Serves until it is stopped, and returns 0."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"Serving needs {', '.join(missing)}, which is not installed.",
                        "Run: pip install flask waitress prometheus-client")
    from scripts.serving import Inference, Limits, create_app, run_server
    classifier = load_classifier(settings.graph, settings.stated)
    limits = Limits()
    gray = np.full((classifier.input.height, classifier.input.width, 3), 0.5, np.float32)
    try:
        classifier.answer_array(gray)
    except Exception as error:  # whatever a damaged file makes an engine raise
        raise UserError(f"{settings.graph} does not answer: {one_line(error)}") from error
    inference = Inference(classifier, core_count(), limits)
    app = create_app(classifier, inference, settings.model_name, limits)

    def say(port: int) -> None:
        print(f"{settings.graph}: {len(classifier.labels)} labels")
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        print(f"Page:    http://{host}:{port}/")
        print(f"Predict: http://{host}:{port}/v1/models/{settings.model_name}:predict", flush=True)
    try:
        run_server(app, settings.host, settings.port, limits, say)
    finally:
        inference.close()
    print("Stopped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
