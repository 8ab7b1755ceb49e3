"""A local S3 server (moto), which counts requests and can delay or refuse them, for tests and benchmarks."""
from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from tests.conftest import write_photos

BUCKET = "bucket"


class CountingApp:
    """A WSGI application that counts the requests of another one, and can delay or refuse them."""

    def __init__(self, app: Callable[..., Any]):
        self._app, self._lock = app, threading.Lock()
        self.delay = 0.0
        self.refuse: Callable[[str, str], tuple[str, str] | None] = lambda method, path: None
        self.reset()

    def reset(self) -> None:
        """Forget the requests so far."""
        self.requests: list[tuple[str, str]] = []
        self._running = self.most_running = 0

    def gets(self) -> list[str]:
        """Return the keys of the objects that were read."""
        return [path for method, path in self.requests if method == "GET" and path.count("/") > 1]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        with self._lock:
            self.requests.append((method, path))
            self._running += 1
            self.most_running = max(self.most_running, self._running)
        try:
            time.sleep(self.delay)
            refused = self.refuse(method, path)
            if refused:
                status, code = refused
                start_response(status, [("Content-Type", "application/xml")])
                return [f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()]
            return self._app(environ, start_response)
        finally:
            with self._lock:
                self._running -= 1


class CloudServer:
    """A bucket on a local server.

    Attributes:
        app: The application, which counts the requests.
        address: The address of the bucket.
    """

    def __init__(self, app: CountingApp, endpoint: str):
        import boto3
        self.app, self.endpoint, self.address = app, endpoint, f"s3://{BUCKET}"
        self._client = boto3.client("s3", endpoint_url=endpoint)

    def upload(self, folder: Path, prefix: str) -> str:
        """Upload a folder, and return its address."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())
        self.app.reset()
        return f"{self.address}/{prefix}"

    def put(self, key: str, content: bytes) -> None:
        """Write an object."""
        self._client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def delete(self, key: str) -> None:
        """Delete an object."""
        self._client.delete_object(Bucket=BUCKET, Key=key)


def _cache_service_models(patch: pytest.MonkeyPatch) -> None:
    """Let botocore read the description of S3 once, instead of for each client, which takes half a second."""
    from botocore.loaders import JSONFileLoader
    load = JSONFileLoader.load_file
    cached = functools.cache(lambda path: load(JSONFileLoader(), path))
    patch.setattr(JSONFileLoader, "load_file", lambda self, path: cached(path))


@contextlib.contextmanager
def running_cloud_server() -> Iterator[CloudServer]:
    """Start a server, and set the environment variables for it."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server
    app = CountingApp(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"AWS_ACCESS_KEY_ID": "test-key", "AWS_SECRET_ACCESS_KEY": "test-secret",
                            "AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": "us-east-1",
                            "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null",
                            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}.items():
            patch.setenv(name, value)
        _cache_service_models(patch)
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"):
            patch.delenv(name, raising=False)
        cloud = CloudServer(app, endpoint)
        cloud._client.create_bucket(Bucket=BUCKET)
        yield cloud
    server.shutdown()
    thread.join()


def write_shared_photos(folder: Path) -> None:
    """Write 30 photos of two classes."""
    for hue, label in enumerate(("red", "green")):
        write_photos(folder / label, 15, hue)
