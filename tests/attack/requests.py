"""Send good and hostile requests to a server: each must get the right answer, a clean 4xx, or a 503.

    python -m tests.attack.requests --graph=tf_files/retrained_graph.tflite --image_dir=PHOTOS --count=10000 --seed=0

The requests are sent by CLIENTS threads, while others hold connections that never finish a request. Failures are: a
wrong prediction, another status, an error that is not JSON or that contains a traceback or a path, and a server that
ends, writes an error to its log, does not answer /healthz within a second, or takes more than 5 s to stop.
"""
from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import json
import os
import random
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfpoets.inference import Classifier, load_classifier

from . import hostile_requests
from .hostile_requests import HOSTILE, Request

CLIENTS = 8
GOOD_FRACTION = 0.3
STALLED_CLIENTS = 100
STOP_SECONDS, HEALTH_SECONDS = 5.0, 1.0


@dataclass
class Server:
    """A running server: its process and port, and the photos whose predictions are known."""

    process: subprocess.Popen
    port: int
    classifier: Classifier
    photos: list[bytes]


def main() -> None:
    """Print how many requests were sent, and the failures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graph", type=Path, required=True)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    started = time.monotonic()
    photos = [path.read_bytes() for path in sorted(flags.image_dir.rglob("*.*"))[:50]]
    failures = attack(flags.graph, photos, flags.count, flags.seed)
    print(f"{flags.count} tried, {len(failures)} failed, {time.monotonic() - started:.0f} s")
    print("\n".join(failures))
    sys.exit(bool(failures))


def attack(graph: Path, photos: list[bytes], count: int, seed: int) -> list[str]:
    """Send the requests to a new server, and return the failures."""
    with running(graph, photos) as server, stalled_clients(server.port), ThreadPoolExecutor(CLIENTS) as pool:
        results = pool.map(lambda number: send_case(server, random.Random(f"{seed} {number}")), range(count))
        outcomes = list(results)
        failures = [f"case {number}: {failure}" for number, (failure, _) in enumerate(outcomes) if failure]
        answered = [is_answered for _, is_answered in outcomes if is_answered is not None]
        if count > 20 and np.mean(answered) < 0.5:
            failures.append(f"only {np.mean(answered):.0%} of the good requests got a prediction")
        start = time.monotonic()
        if exchange(server.port, Request(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"))[0] != 200:
            failures.append("the server is not healthy")
        if time.monotonic() - start > HEALTH_SECONDS:
            failures.append(f"/healthz took {time.monotonic() - start:.1f} s")
        unfinished = [pool.submit(send_case, server, random.Random(f"{seed} stop {number}")) for number in range(30)]
        failures += stop(server)
        for case in unfinished:
            with contextlib.suppress(OSError, http.client.HTTPException):
                case.result()
    return failures


@contextlib.contextmanager
def running(graph: Path, photos: list[bytes]) -> Iterator[Server]:
    """Start a server on a free port."""
    with subprocess.Popen([sys.executable, "-m", "tfpoets", "serve", "--port=0", f"--graph={graph}"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
        try:
            assert process.stdout is not None
            port = next(int(match[1]) for line in process.stdout if (match := re.match(r"Predict: .*:(\d+)/", line)))
            yield Server(process, port, load_classifier(graph), photos)
        finally:
            process.kill()


@contextlib.contextmanager
def stalled_clients(port: int) -> Iterator[None]:
    """Hold connections that never finish their requests."""
    with contextlib.ExitStack() as stack:
        for number in range(STALLED_CLIENTS):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            connection.sendall((b"", b"POST /label HTTP/1.1\r\n", b"\r\n")[number % 3])
        yield


def stop(server: Server) -> list[str]:
    """Stop the server with SIGTERM, and return the failures."""
    start = time.monotonic()
    server.process.terminate()
    try:
        output, _ = server.process.communicate(timeout=2 * STOP_SECONDS)
    except subprocess.TimeoutExpired:
        return ["the server did not stop"]
    failures = [f"the server took {time.monotonic() - start:.1f} s to stop"
                ] if time.monotonic() - start > STOP_SECONDS else []
    if server.process.returncode != 0:
        failures.append(f"the server ended with {server.process.returncode}")
    if output != "Stopped.\n":
        failures.append(f"log: {output[-500:]!r}")
    return failures


def send_case(server: Server, rng: random.Random) -> tuple[str, bool | None]:
    """Send a random request; return what is wrong with the answer, and, for a good one, whether it was predicted."""
    if rng.random() < GOOD_FRACTION:
        return send_good(server, rng)
    name, make = rng.choice(HOSTILE)
    request = make(rng, rng.choice(server.photos))
    try:
        status, content, headers = exchange(server.port, request)
    except (OSError, http.client.HTTPException) as error:
        return ("" if request.may_be_dropped else f"{name}: {type(error).__name__}: {error}"), None
    return check_answer(name, request, status, content, headers), None


def check_answer(name: str, request: Request, status: int, content: bytes, headers: http.client.HTTPMessage) -> str:
    """Return what is wrong with the answer to a hostile request, or ""."""
    if status not in (200, 503) and not 400 <= status < 500:
        return f"{name}: status {status}: {content[:200]!r}"
    if status == 200 and not request.may_succeed:
        return f"{name}: status 200: {content[:200]!r}"
    if b"Traceback" in content or b"site-packages" in content or b"/tfpoets/" in content:
        return f"{name}: reveals an internal: {content[:200]!r}"
    if headers["X-Content-Type-Options"] != "nosniff":
        return f"{name}: no security headers"
    if status == 200 or request.is_head:
        return ""
    try:
        answer = json.loads(content)
    except ValueError:
        return f"{name}: {status} is not JSON: {content[:200]!r}"
    if not isinstance(answer.get("error"), str) or not 0 < len(answer["error"]) < 1000:
        return f"{name}: {status} has no error: {content[:200]!r}"
    return "" if status != 503 or headers["Retry-After"] else f"{name}: no Retry-After"


def send_good(server: Server, rng: random.Random) -> tuple[str, bool | None]:
    """Send a good request with known predictions; return what is wrong, and whether it was answered."""
    photos = [rng.choice(server.photos) for _ in range(rng.choice((1, 1, 1, 2, 5)))]
    name, make = rng.choice(hostile_requests.GOOD)
    arrays = name == "arrays"
    pixels = [server.classifier.input.load_pixels(photo) for photo in photos]
    content = [(array / 255).astype(np.float32).tolist() if arrays else base64.b64encode(photo).decode()
               for array, photo in zip(pixels, photos)]
    try:
        status, answer, _ = exchange(server.port, make(content, photos))
    except (OSError, http.client.HTTPException) as error:
        return f"{name}: {type(error).__name__}: {error}", False
    if status != 200:
        return ("" if status == 503 else f"{name}: status {status}: {answer[:200]!r}"), False
    values = json.loads(answer)
    rows = values.get("predictions")
    labels = [row["label"] for row in rows] if rows else [row["labels"][0]["label"] for row in values["results"]]
    expected = server.classifier.outputs(np.stack(pixels))[:, :len(server.classifier.labels)]
    if labels != [server.classifier.labels[index] for index in expected.argmax(1)]:
        return f"{name}: labels {labels}", True
    if rows and np.abs(expected - [row["probabilities"] for row in rows]).max() > 1e-4:
        return f"{name}: other probabilities", True
    return "", True


def exchange(port: int, request: Request) -> tuple[int, bytes, http.client.HTTPMessage]:
    """Send the bytes of a request and read the response."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        with contextlib.suppress(ConnectionError):  # the server has answered before it has read everything
            connection.sendall(request.content)
            if request.closes:
                connection.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(connection, method="HEAD" if request.is_head else "GET")
        response.begin()
        return response.status, response.read(), response.headers


if __name__ == "__main__":
    main()
