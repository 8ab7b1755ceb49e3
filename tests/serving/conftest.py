"""A server of the small classifiers."""
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
        address: of the page.
        port: it listens at, on this machine alone.
        process: of the server.
    """

    address: str
    port: int
    process: subprocess.Popen

    def stop(self) -> str:
        """Stops it as a container does; what it said."""
        self.process.terminate()
        said, _ = self.process.communicate(timeout=30)
        return said


@pytest.fixture(scope="session")
def start_server(retrained: Path) -> Callable[..., contextlib.AbstractContextManager[Server]]:
    """Starts `serve` on any free port."""
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
                found = re.match(r"Page: +(http://127\.0\.0\.1:(\d+)/)", line)
                if found:
                    yield Server(found[1], int(found[2]), process)
                    return
            pytest.fail(f"the server did not start: {''.join(lines)}")
        finally:
            process.kill()
            process.wait()
    return start


@pytest.fixture(scope="session")
def server(start_server) -> Iterator[Server]:
    """One server for many tests."""
    with start_server() as running:
        yield running
