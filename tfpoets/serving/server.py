"""The HTTP server: waitress, with time limits and a graceful stop."""
from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments

from tfpoets.errors import OptionError, TfpoetsError, one_line

from .connections import RESERVED_CONNECTIONS, EscapingFilter, Server
from .inference_pool import Limits

# Threads besides those that wait for predictions. They handle rejected requests, pages, health checks and metrics.
SPARE_THREADS = 48
# After SIGTERM, requests may take this long; the others are then answered with status 503 within GIVE_UP_SECONDS.
STOP_SECONDS, GIVE_UP_SECONDS, SHUTDOWN_SECONDS = 2.5, 0.7, 0.2


def run_server(app: Any, address: tuple[str, int], limits: Limits, on_ready: Callable[[int], None],
               give_up: Callable[[], None]) -> None:
    """Serve an application until SIGTERM or SIGINT, then finish the requests in progress, and return within 4 s.

    Args:
        app: The WSGI application.
        address: The address and the port to listen on; port 0 for any free port.
        limits: The limits of the server.
        on_ready: Called with the port when the server is ready.
        give_up: Called when requests are still being processed some time after the signal; it must end them.

    Raises:
        TfpoetsError: The server cannot listen on this address and port.
    """
    server = _create_server(app, *address, limits)
    waitress_log = logging.getLogger("waitress")
    waitress_log.addFilter(EscapingFilter())
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # it warns of every waiting request
    received_signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: received_signals.append(received))
    on_ready(int(server.effective_port))
    try:
        while not received_signals:
            _poll(server, 0.5)
        _stop_listening(server)
        if not _finish_requests(server, STOP_SECONDS):
            give_up()
            _finish_requests(server, GIVE_UP_SECONDS)
    finally:
        waitress_log.setLevel(logging.ERROR)  # it warns of threads that are still running
        server.task_dispatcher.shutdown(cancel_pending=False, timeout=SHUTDOWN_SECONDS)
        server.close()


def _create_server(app: Any, host: str, port: int, limits: Limits) -> Server:
    try:
        adjustments = Adjustments(
            host=host, port=port, threads=limits.queued_photos + SPARE_THREADS, ident=None, expose_tracebacks=False,
            clear_untrusted_proxy_headers=True, max_request_header_size=32 * 1024,
            max_request_body_size=limits.request_bytes + 64 * 1024, cleanup_interval=1, log_socket_errors=False,
            connection_limit=limits.connections + 2 * RESERVED_CONNECTIONS)
        if len(adjustments.listen) > 1:
            raise OptionError(f"`host`={host} has several addresses.", "Use one of them, such as 127.0.0.1.")
        return Server(app, adjustments, limits)
    except OptionError:
        raise
    except (OSError, ValueError, OverflowError) as error:
        raise TfpoetsError(f"Cannot listen on {host}:{port}: {one_line(error)}",
                           "Choose another `host` or `port`.") from error


def _poll(server: Server, timeout: float) -> None:
    """Send and receive what is possible, or wait; close the connections that have taken too long."""
    server.close_expired()
    wasyncore.loop(timeout=timeout, use_poll=True, map=server._map, count=1)


def _stop_listening(server: Server) -> None:
    server.accepting = False
    server.socket.close()
    server.del_channel()


def _finish_requests(server: Server, seconds: float) -> bool:
    """Wait until the requests in progress are finished, and return whether they are after some seconds."""
    deadline = time.monotonic() + seconds
    while any(channel.requests or channel.request or channel.total_outbufs_len
              for channel in list(server.active_channels.values())):
        if time.monotonic() > deadline:
            return False
        _poll(server, 0.1)
    return True
