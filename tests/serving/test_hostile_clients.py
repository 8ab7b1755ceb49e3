"""A real server with clients that occupy connections, threads and memory, or that write to its log."""
from __future__ import annotations

import base64
import contextlib
import gzip
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.serving.conftest import PREDICT, Server
from tests.serving.test_server import instance, post, resident_bytes
from tfpoets.cli import serve
from tfpoets.inference import Classifier

HEAD = b"POST /label HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def own_server(start_server) -> Iterator[Server]:
    """A server for one test."""
    with start_server() as running:
        yield running


def health_seconds(port: int) -> float:
    """Return how long a new client waits for /healthz."""
    start = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/healthz")
    assert json.loads(connection.getresponse().read()) == {"status": "ok"}
    connection.close()
    return time.monotonic() - start


@contextlib.contextmanager
def slow_clients(port: int, count: int, content: bytes) -> Iterator[list[socket.socket]]:
    """Open connections that send `content` and then nothing."""
    with contextlib.ExitStack() as stack:
        connections = []
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            with contextlib.suppress(OSError):  # it was closed in favour of a newer one
                connection.sendall(content)
            connections.append(connection)
        yield connections


@pytest.mark.parametrize("content", [b"", b"GET /healthz HT", HEAD + b"Content-Length: 100000\r\n\r\nab", b"\r\n\r\n",
                                     HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
                                     HEAD + b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n"],
                         ids=["nothing", "half a line", "half a body", "blank lines", "half a chunk", "continue"])
def test_health_and_predictions_are_answered_despite_220_slow_connections(content: bytes, server: Server,
                                                                          retrained: Path) -> None:
    body = instance(retrained / "photos" / "red" / "003.jpg")
    with slow_clients(server.port, 220, content):
        assert [seconds for _ in range(5) if (seconds := health_seconds(server.port)) > 1] == []
        assert post(server.port, PREDICT, body)[0] == 200


def test_health_is_answered_while_all_threads_are_busy(start_server, retrained: Path) -> None:
    photo = base64.b64encode((retrained / "photos" / "red" / "003.jpg").read_bytes()).decode()
    bodies = [json.dumps({"instances": [{"b64": photo}] * 60}).encode(),
              json.dumps({"instances": [np.zeros((32, 32, 3)).tolist()] * 60}).encode()] * 20
    with start_server() as running, ThreadPoolExecutor(40) as pool:
        statuses = [pool.submit(lambda body: post(running.port, PREDICT, body)[0], body) for body in bodies]
        slowest = 0.0
        while not all(status.done() for status in statuses):
            slowest = max(slowest, health_seconds(running.port))
        assert {status.result() for status in statuses} <= {200, 503}
        assert slowest < 1


def test_health_is_answered_while_the_largest_bodies_are_parsed(start_server) -> None:
    body = b'{"instances": [[' + b"0.5," * (7 * 10 ** 6) + b"1]]}"
    with start_server() as running, ThreadPoolExecutor(4) as pool:
        statuses = [pool.submit(lambda: post(running.port, PREDICT, body)[0]) for _ in range(4)]
        slowest = 0.0
        while not all(status.done() for status in statuses):
            slowest = max(slowest, health_seconds(running.port))
            time.sleep(0.02)
        assert {status.result() for status in statuses} <= {400, 503}
        assert slowest < 1


def test_many_values_get_the_same_answer_as_few(server: Server, client) -> None:
    instances = np.random.default_rng(0).random((40, 32, 32, 3)).round(3).tolist()
    body = json.dumps({"instances": instances}).encode()
    assert body.count(b",") > 100_000
    for _ in range(2):
        status, content = post(server.port, PREDICT, body)
        single = [client.post(PREDICT, json={"instances": [array]}).json["predictions"][0] for array in instances]
        assert (status, json.loads(content)) == (200, {"predictions": single})
    instances[39][31][31][2] = 2
    status, content = post(server.port, PREDICT, json.dumps({"instances": instances}).encode())
    assert status == 400 and "Instance 39 contains 2 at [31, 31, 2]" in json.loads(content)["error"]


@pytest.mark.slow
def test_an_idle_or_slow_connection_is_closed_even_if_it_sends_blank_lines(own_server: Server) -> None:
    def seconds_until_closed(content: bytes) -> float:
        start = time.monotonic()
        with socket.create_connection(("127.0.0.1", own_server.port), timeout=1) as connection:
            while time.monotonic() - start < 40:
                try:
                    connection.sendall(content)
                    if connection.recv(1000) == b"":
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
        return time.monotonic() - start
    with ThreadPoolExecutor(3) as pool:
        for seconds in pool.map(seconds_until_closed, [b"", b"\r\n", b"\r\n\r\n"]):
            assert 15 < seconds < 30


@pytest.mark.slow
def test_a_client_that_does_not_read_its_responses_is_disconnected(own_server: Server) -> None:
    request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(("127.0.0.1", own_server.port), timeout=5) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        start = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - start < 60:
                with contextlib.suppress(TimeoutError):
                    connection.sendall(request * 100)
        assert time.monotonic() - start < 40
    assert health_seconds(own_server.port) < 1


@pytest.mark.parametrize("content, photos", [(b"", 0), (HEAD + b"Content-Length: 100000\r\n\r\nab", 0), (b"", 60)],
                         ids=["idle", "uploading", "predicting"])
def test_the_server_stops_within_5_seconds_of_sigterm(content: bytes, photos: int, start_server, retrained: Path
                                                      ) -> None:
    photo = base64.b64encode((retrained / "photos" / "red" / "003.jpg").read_bytes()).decode()
    body = json.dumps({"instances": [{"b64": photo}] * photos}).encode()
    with start_server() as running, slow_clients(running.port, 100, content), ThreadPoolExecutor(16) as pool:
        statuses = [pool.submit(post, running.port, PREDICT, body) for _ in range(16 if photos else 0)]
        time.sleep(0.5)
        start = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(10) == 0 and time.monotonic() - start < 5
        assert {status.result()[0] for status in statuses} <= {200, 503}


STUCK = """
import sys, time
from tfpoets.inference import Classifier
Classifier.predict_photo = lambda self, data, **_: time.sleep(1000)
from tfpoets.cli.main import main
sys.exit(main(["serve", "--port=0", "--graph=" + sys.argv[1]]))
"""


def test_requests_whose_photos_take_too_long_get_503_when_the_server_stops(retrained: Path) -> None:
    graph = retrained / "tf_files" / "retrained_graph.tflite"
    with subprocess.Popen([sys.executable, "-c", STUCK, str(graph)], text=True, stdout=subprocess.PIPE) as process:
        try:
            port = next(int(line.split(":")[-1].strip("/\n")) for line in process.stdout if line.startswith("Page"))
            answers: list[tuple[int, bytes]] = []
            body = instance(retrained / "photos" / "red" / "003.jpg")
            clients = [threading.Thread(target=lambda: answers.append(post(port, PREDICT, body))) for _ in range(4)]
            for client in clients:
                client.start()
            time.sleep(0.5)
            start = time.monotonic()
            process.send_signal(signal.SIGTERM)
            for client in clients:
                client.join(10)
            assert process.wait(10) == 0 and time.monotonic() - start < 5
            assert answers == [(503, b'{"error":"The server is stopping. Try again later."}\n')] * 4
            assert "Stopped." in process.stdout.read()
        finally:
            process.kill()


@pytest.mark.slow
def test_the_memory_for_large_bodies_is_limited(start_server) -> None:
    bomb = gzip.compress(b'{"instances": [' + b"[]," * (10 * 2 ** 20) + b"[]]}")
    large = b'{"instances": [' + b'"aaaaaaaaaa",' * (2 * 2 ** 20) + b"1]}"
    with start_server() as running:
        before = resident_bytes(running.process)
        peak = [before]
        requests = [(bomb, {"Content-Encoding": "gzip"}), (large, {})] * 16
        with ThreadPoolExecutor(32) as pool:
            statuses = [pool.submit(lambda request: post(running.port, PREDICT, *request)[0], request)
                        for request in requests]
            while not all(status.done() for status in statuses):
                peak.append(resident_bytes(running.process))
                time.sleep(0.05)
        assert {status.result() for status in statuses} <= {400, 503}
        assert max(peak) - before < 1200 * 2 ** 20, (max(peak) - before) / 2 ** 20


def test_the_log_contains_no_raw_text_of_requests(start_server) -> None:
    evil = "evil\x1b[31m\nERROR fake line"
    quoted = evil.replace("\x1b", "%1b").replace("\n", "%0A").replace(" ", "%20")
    with start_server("--logging_verbosity=DEBUG") as running:
        for request in (f"GET /{quoted} HTTP/1.1\r\nHost: localhost\r\n\r\n",
                        f"GET /a HTTP/1.1\r\nHost: {evil}\r\n\r\n",
                        f"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {evil}\r\n\r\n", f"{evil}\r\n\r\n",
                        f"POST /label HTTP/1.1\r\nHost: localhost\r\nContent-Length: {evil}\r\n\r\n",
                        f"POST /{quoted} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: {evil}\r\n\r\n",
                        f"POST /v1/{quoted}:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{{"):
            with socket.create_connection(("127.0.0.1", running.port), timeout=5) as connection:
                connection.sendall(request.encode())
                if "Content-Length: 9" not in request:
                    assert connection.recv(65536).split(b" ")[1][:1] == b"4"
        output = running.stop()
    assert "\x1b" not in output and "fake line" not in output and "evil" not in output, output


def test_errors_that_waitress_finds_are_json_and_do_not_quote_the_request(server: Server) -> None:
    for request, status in ((b"GET / HTTP/1.1\r\nHost: localhost\r\n<b>x\r\n\r\n", 400), (b"<b>\r\n\r\n", 400),
                            (HEAD + b"Content-Length: 99999999999\r\n\r\n", 413),
                            (HEAD + b"X: " + b"a" * 100_000 + b"\r\n\r\n", 431),
                            (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 400)):
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            connection.sendall(request)
            response = http.client.HTTPResponse(connection)
            response.begin()
            assert response.status == status and response.headers["Content-Type"] == "application/json"
            content = response.read()
            assert list(json.loads(content)) == ["error"] and b"<b>" not in content


def test_a_classifier_that_gives_no_finite_probabilities_is_refused_at_the_start(retrained: Path, monkeypatch, capsys
                                                                                 ) -> None:
    for wrong in (np.nan, np.inf):
        monkeypatch.setattr(Classifier, "outputs", lambda self, pixels: np.full((len(pixels), 3), wrong))
        monkeypatch.setattr("tfpoets.extractors.EngineRunner.run",
                            lambda self, pixels: np.full((len(pixels), 3), wrong))
        assert serve.main([f"--graph={retrained / 'tf_files' / 'retrained_graph.tflite'}", "--port=0"]) == 1
        assert "cannot be served. The classifier returns numbers that are not finite" in capsys.readouterr().err
