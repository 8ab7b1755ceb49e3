"""A real server: many clients, slow clients, malformed requests, and a shutdown during requests."""
from __future__ import annotations

import base64
import http.client
import json
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.serving.conftest import Server
from tfpoets.cli.serve import options_from

PREDICT = "/v1/models/classifier:predict"


def post(port: int, path: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def instance(photo: Path) -> bytes:
    return json.dumps({"instances": [{"b64": base64.b64encode(photo.read_bytes()).decode()}]}).encode()


@pytest.fixture(scope="module")
def body(retrained: Path) -> bytes:
    return instance(retrained / "photos" / "red" / "003.jpg")


def test_the_default_host_is_this_machine() -> None:
    assert options_from({}).host == "127.0.0.1" and options_from({}).port == 8501


def test_32_simultaneous_clients_get_the_labels_of_their_photos(server: Server, retrained: Path) -> None:
    photos = sorted((retrained / "photos").glob("*/*.jpg"))

    def is_labelled_correctly(photo: Path) -> bool:
        status, content = post(server.port, PREDICT, instance(photo))
        return status == 200 and json.loads(content)["predictions"][0]["label"] == photo.parent.name
    with ThreadPoolExecutor(32) as pool:
        correct = list(pool.map(is_labelled_correctly, photos * 3))
    assert np.mean(correct) > 0.95


def test_a_slow_client_is_disconnected_and_others_are_served(server: Server, body: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.sendall(b"POST /label HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
        start = time.monotonic()
        while time.monotonic() - start < 40:
            try:
                slow.sendall(b"x")
                slow.settimeout(0.5)
                if slow.recv(1000) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert 15 < time.monotonic() - start < 30
    assert post(server.port, PREDICT, body)[0] == 200


@pytest.mark.parametrize("request_text, status", [
    (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", b"431"),
    (b"nonsense\r\n\r\n", b"400"), (b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404"),
    (b"GET /page/../app.py HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404"),
    (b"POST /label HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
    (b"POST /label HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
])
def test_malformed_requests_get_a_4xx_without_path_or_traceback(request_text: bytes, status: bytes, server: Server
                                                               ) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(request_text)
        response = connection.recv(65536)
    assert response.split(b" ")[1] == status
    assert b"Traceback" not in response and b"site-packages" not in response


def test_requests_in_progress_are_finished_on_shutdown(start_server, retrained: Path) -> None:
    photo = base64.b64encode((retrained / "photos" / "red" / "003.jpg").read_bytes()).decode()
    many = json.dumps({"instances": [{"b64": photo}] * 30}).encode()
    with start_server() as running:
        statuses: list[int] = []
        clients = [threading.Thread(target=lambda: statuses.append(post(running.port, PREDICT, many)[0]))
                   for _ in range(2)]
        for client in clients:
            client.start()
        time.sleep(0.2)
        running.process.send_signal(signal.SIGTERM)
        for client in clients:
            client.join(30)
        assert statuses == [200, 200]
        assert "Stopped." in running.stop() and running.process.returncode == 0
        with pytest.raises(OSError):
            urllib.request.urlopen(running.address, timeout=5)


@pytest.mark.parametrize("arguments, sentence", [
    (["--port=70000"], "is not a whole number from 0 to 65535"), (["--model_name=a/b"], "is not allowed in a URL"),
    (["--graph=nothing.tflite"], "There is no classifier at nothing.tflite"),
    (["--host=203.0.113.9", "--port=0"], "Cannot listen on 203.0.113.9:0"),
])
def test_invalid_options_get_a_clear_error(arguments: list[str], sentence: str, retrained: Path) -> None:
    graph = [] if any("--graph" in argument for argument in arguments) else [
        f"--graph={retrained / 'tf_files' / 'retrained_graph.tflite'}"]
    result = subprocess.run([sys.executable, "-m", "tfpoets", "serve", *graph, *arguments],
                            capture_output=True, text=True)
    assert result.returncode in (1, 2) and sentence in result.stderr and "Traceback" not in result.stderr


def resident_bytes(process: subprocess.Popen) -> int:
    """Return the resident memory of a process, in bytes (Linux)."""
    return 1024 * int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())[1])


@pytest.mark.slow
def test_10000_valid_and_invalid_requests_leak_no_memory(start_server, body: bytes, retrained: Path) -> None:
    form = (b"--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.jpg\"\r\n\r\n"
            + (retrained / "photos" / "blue" / "001.jpg").read_bytes() + b"\r\n--x--\r\n")
    requests = [(PREDICT, body, {}, 200), (PREDICT, body[:-9], {}, 400), (PREDICT, b"[" * 5000, {}, 400),
                ("/label", form, {"Content-Type": "multipart/form-data; boundary=x"}, 200),
                ("/label", form[:90], {"Content-Type": "multipart/form-data; boundary=x"}, 400),
                ("/nothing", b"", {}, 404), (PREDICT, b'{"instances": [{"b64": "AAAA"}]}', {}, 400)]
    random_state = random.Random(0)
    with start_server() as running:
        def send_random_request(_: int) -> None:
            path, content, headers, status = random_state.choice(requests)
            assert post(running.port, path, content, headers)[0] == status

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(send_random_request, range(3000)))
            before = resident_bytes(running.process)
            list(pool.map(send_random_request, range(10_000)))
        assert resident_bytes(running.process) < before + 20 * 2 ** 20
        assert "Traceback" not in running.stop()


@pytest.mark.slow
def test_the_openapi_document_is_correct(server: Server, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    tools = tmp_path / "venv" / "bin"
    subprocess.run([str(tools / "python"), "-m", "pip", "install", "--quiet", "schemathesis"], check=True)
    result = subprocess.run(
        [str(tools / "schemathesis"), "run", f"{server.address}openapi.json", "--max-examples=60", "--seed=1",
         "--checks=not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"],
        cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-5000:]


@pytest.mark.slow
def test_the_container_contains_everything_that_serving_needs(tmp_path: Path, retrained: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    dockerfile = (root / "Dockerfile").read_text("utf-8")
    ignored = (root / ".dockerignore").read_text("utf-8")
    for line in re.findall(r"^COPY (.+)", dockerfile, re.MULTILINE):
        for name in line.split()[:-1]:
            assert (root / name).exists() and f"!{name}" in ignored
            subprocess.run(["cp", "-r", str(root / name), str(tmp_path)], check=True)
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    tools = tmp_path / "venv" / "bin"
    listing, = re.findall(r'RUN python -c "(.+?)" >', dockerfile, re.DOTALL)
    requirements = subprocess.run([sys.executable, "-c", listing.replace("\\\n", "\n").replace("\n    ", "\n")],
                                  cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "tensorflow" not in requirements
    (tmp_path / "serve.txt").write_text(requirements)
    pip_install = [str(tools / "python"), "-m", "pip", "install", "--quiet"]
    for arguments in (["-r", "serve.txt"], ["--no-deps", "."]):
        subprocess.run([*pip_install, *arguments], cwd=tmp_path, check=True)
    command = json.loads(re.search(r"^CMD (\[.+\])", dockerfile, re.MULTILINE)[1])
    graph = retrained / "tf_files" / "retrained_graph.tflite"
    assert command[:2] == ["tfpoets", "serve"]
    process = subprocess.Popen([str(tools / command[0]), command[1], "--host=127.0.0.1", "--port=0",
                                f"--graph={graph}"], cwd=tmp_path, text=True, stdout=subprocess.PIPE)
    try:
        address = next(line for line in process.stdout if line.startswith("Page")).split()[1]
        assert urllib.request.urlopen(f"{address}healthz").status == 200
        assert b"/page/page.js" in urllib.request.urlopen(address).read()
        assert urllib.request.urlopen(f"{address}page/page.js").status == 200
    finally:
        process.kill()
        process.wait()
