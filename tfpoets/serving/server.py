"""waitress, with what it leaves open: slow clients are cut off, and a stop finishes what is under way."""
from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from typing import Any

from waitress import create_server, wasyncore
from waitress.channel import HTTPChannel

from tfpoets.errors import OptionError, TfpoetsError, one_line

from .inference_pool import Limits

# Beside those whose photos wait: for requests that are turned away, and for operators.
SPARE_THREADS = 48
STOP_SECONDS = 20.0


class _Channel(HTTPChannel):
    """A connection whose request must arrive in time as a whole; waitress is content with a byte now and then."""

    _began: float | None = None

    def handle_read(self) -> None:
        super().handle_read()
        if self.request is None:
            self._began = None
        else:
            self._began = self._began or time.time()
            self.last_activity = self._began


def run_server(app: Any, host: str, port: int, limits: Limits, on_ready: Callable[[int], None]) -> None:
    """Serves until SIGTERM or SIGINT, then finishes what is under way.

    Args:
        app: a WSGI application.
        host, port: to listen at; port 0: any.
        limits: of requests.
        on_ready: told of the port.

    Raises:
        TfpoetsError: nothing can listen there.
    """
    try:
        server = create_server(app, host=host, port=port, threads=limits.waiting + SPARE_THREADS, ident=None,
                               expose_tracebacks=False,
                               clear_untrusted_proxy_headers=True, max_request_header_size=32 * 1024,
                               max_request_body_size=limits.request_bytes + 64 * 1024,
                               channel_timeout=limits.idle_seconds, cleanup_interval=2,
                               connection_limit=limits.connections)
    except (OSError, ValueError) as error:
        raise TfpoetsError(f"Nothing can listen at {host}:{port}: {one_line(error)}",
                           "Give another `host` or `port`.") from error
    if not hasattr(server, "active_channels"):
        raise OptionError(f"{host} stands for several addresses.", "Give one, such as 127.0.0.1.")
    server.channel_class = _Channel
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # 503s say it
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda given, _: stopping.append(given))
    on_ready(int(server.effective_port))
    try:
        while not stopping:
            wasyncore.loop(timeout=0.5, map=server._map, count=1)
        _finish(server)
    finally:
        server.task_dispatcher.shutdown(cancel_pending=False, timeout=5)
        server.close()


def _finish(server: Any) -> None:
    """Takes no new connection, and lets those with a request end."""
    server.accepting = False
    server.socket.close()
    server.del_channel()
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline and any(
            channel.requests or channel.request or channel.total_outbufs_len
            for channel in list(server.active_channels.values())):
        wasyncore.loop(timeout=0.1, map=server._map, count=1)
