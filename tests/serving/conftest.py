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

import pytest

ROOT = Path(__file__).resolve().parents[2]


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
    return start


@pytest.fixture(scope="session")
def server(start_server) -> Iterator[Server]:
    """A server that many tests share."""
    with start_server() as running:
        yield running
