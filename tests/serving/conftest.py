"""A server with a small classifier."""
from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import flask.testing
import pytest

from tfpoets.inference import Classifier, load_classifier
from tfpoets.serving import InferencePool, Limits, create_app

ROOT = Path(__file__).resolve().parents[2]
PREDICT = "/v1/models/classifier:predict"
LIMITS = Limits(photos_per_request=4, pixels_per_photo=1_000_000, request_bytes=2 * 2 ** 20)


@dataclass
class Server:
    """A running `serve`.

    Attributes:
        address: The URL of the page.
        port: The port on 127.0.0.1.
        process: The process of the server.
    """

    address: str
    port: int
    process: subprocess.Popen

    def stop(self) -> str:
        """Stop the server with SIGTERM, as a container does, and return the rest of its output."""
        self.process.terminate()
        output, _ = self.process.communicate(timeout=30)
        return output


@pytest.fixture(scope="session")
def start_server(retrained: Path) -> Callable[..., contextlib.AbstractContextManager[Server]]:
    """A function that starts `serve` on a free port."""
    @contextlib.contextmanager
    def start(*arguments: str) -> Iterator[Server]:
        graph = retrained / "tf_files" / "retrained_graph.tflite"
        process = subprocess.Popen(
            [sys.executable, "-m", "tfpoets", "serve", "--port=0", f"--graph={graph}", *arguments], cwd=ROOT,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        assert process.stdout is not None
        lines = []
        try:
            for line in process.stdout:
                lines.append(line)
                match = re.match(r"Page: +(http://127\.0\.0\.1:(\d+)/)", line)
                if match:
                    yield Server(match[1], int(match[2]), process)
                    return
            pytest.fail(f"the server did not start: {''.join(lines)}")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
    return start


@pytest.fixture(scope="session")
def server(start_server) -> Iterator[Server]:
    """A server that many tests share."""
    with start_server() as running:
        yield running


@pytest.fixture(scope="module")
def classifier(retrained: Path) -> Classifier:
    return load_classifier(retrained / "tf_files" / "retrained_graph.tflite")


@pytest.fixture(scope="module")
def client(classifier: Classifier) -> flask.testing.FlaskClient:
    return create_app(classifier, InferencePool(classifier, 2, LIMITS), "classifier", LIMITS).test_client()


@pytest.fixture(scope="module")
def photo(retrained: Path) -> bytes:
    return (retrained / "photos" / "red" / "003.jpg").read_bytes()
