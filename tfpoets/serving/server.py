"""The HTTP server: waitress, with a time limit for requests and a graceful stop."""
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

# Threads besides those that wait for predictions. They handle rejected requests, health checks and metrics.
SPARE_THREADS = 48
STOP_SECONDS = 20.0


class _Channel(HTTPChannel):
    """A connection that is closed if a request does not arrive completely in time.

    waitress itself keeps a connection open as long as a byte arrives now and then.
    """

    _request_started: float | None = None

    def handle_read(self) -> None:
        """Read what has arrived, and record when the first byte of the request arrived."""
        super().handle_read()
        if self.request is None:
            self._request_started = None
        else:
            self._request_started = self._request_started or time.time()
            self.last_activity = self._request_started


def run_server(app: Any, host: str, port: int, limits: Limits, on_ready: Callable[[int], None]) -> None:
    """Serve an application until SIGTERM or SIGINT, then finish the requests in progress.

    Args:
        app: The WSGI application.
        host: The address to listen on.
        port: The port to listen on; 0 for any free port.
        limits: The limits of the server.
        on_ready: Called with the port when the server is ready.

    Raises:
        TfpoetsError: The server cannot listen on this address and port.
    """
    try:
        server = create_server(app, host=host, port=port, threads=limits.queued_photos + SPARE_THREADS, ident=None,
                               expose_tracebacks=False,
                               clear_untrusted_proxy_headers=True, max_request_header_size=32 * 1024,
                               max_request_body_size=limits.request_bytes + 64 * 1024,
                               channel_timeout=limits.idle_seconds, cleanup_interval=2,
                               connection_limit=limits.connections)
    except (OSError, ValueError) as error:
        raise TfpoetsError(f"Cannot listen on {host}:{port}: {one_line(error)}",
                           "Choose another `host` or `port`.") from error
    if not hasattr(server, "active_channels"):
        raise OptionError(f"`host`={host} has several addresses.", "Use one of them, such as 127.0.0.1.")
    server.channel_class = _Channel
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # it warns of every waiting request
    received_signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: received_signals.append(received))
    on_ready(int(server.effective_port))
    try:
        while not received_signals:
            wasyncore.loop(timeout=0.5, map=server._map, count=1)
        _finish_requests(server)
    finally:
        server.task_dispatcher.shutdown(cancel_pending=False, timeout=5)
        server.close()


def _finish_requests(server: Any) -> None:
    """Accept no more connections, and wait until the requests in progress are finished."""
    server.accepting = False
    server.socket.close()
    server.del_channel()
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline and any(
            channel.requests or channel.request or channel.total_outbufs_len
            for channel in list(server.active_channels.values())):
        wasyncore.loop(timeout=0.1, map=server._map, count=1)
