"""An HTTP server on 127.0.0.1 with configurable faults."""
from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Reply = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Server:
    """A running server: its `url` without a trailing slash, and the (path, headers) of all requests."""

    url: str
    requests: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)


@contextmanager
def serving(replies: Mapping[str, Reply]) -> Iterator[Server]:
    """Serve the paths of `replies` until the block ends; all other paths give status 404."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.requests.append((self.path, dict(self.headers)))
            try:
                replies.get(self.path, status(404))(self)
            except OSError:
                pass  # the client has closed the connection, which many tests provoke

        def log_message(self, *_: object) -> None:
            pass

    with _running(Handler) as url:
        server = Server(url)
        yield server


@contextmanager
def serving_folder(folder: Path) -> Iterator[str]:
    """Serve the files of a folder until the block ends; yield the URL without a trailing slash."""
    with _running(functools.partial(SimpleHTTPRequestHandler, directory=str(folder))) as url:
        yield url


@contextmanager
def _running(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http_server:
        http_server.daemon_threads = True
        http_server.block_on_close = False
        thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http_server.server_address[1]}"
        finally:  # a server that keeps running after a failure would use the CPU on its closed socket
            http_server.shutdown()
            thread.join()


def body(content: bytes, content_length: int | None = None) -> Reply:
    """Return a reply with status 200 and `content`, with its actual length in the header, or `content_length`."""
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content) if content_length is None else content_length))
        handler.end_headers()
        handler.wfile.write(content)
    return reply


def status(code: int) -> Reply:
    """Return a reply with this status and an error page."""
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        handler.end_headers()
        handler.wfile.write(b"<html>not the file</html>")
    return reply


def redirect(location: str, code: int = 302) -> Reply:
    """Return a redirect to exactly this `location`."""
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        handler.send_header("Location", location)
        handler.end_headers()
    return reply


def pieces(content: Iterator[bytes] | list[bytes], pause: float = 0.0, content_length: int | None = None) -> Reply:
    """Return a reply with status 200 that waits `pause` seconds after each piece.

    It has no Content-Length unless `content_length` is given.
    """
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if content_length is not None:
            handler.send_header("Content-Length", str(content_length))
        handler.end_headers()
        for piece in content:
            handler.wfile.write(piece)
            handler.wfile.flush()
            threading.Event().wait(pause)
    return reply
