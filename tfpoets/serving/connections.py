"""Waitress with deadlines for clients, a limit on connections that always admits new ones, and errors as JSON.

Waitress has three limits that one client can use up: it keeps a connection open as long as a byte arrives now and
then (`channel_timeout`), it accepts no connection beyond `connection_limit` until another one is closed, and requests
beyond the number of `threads` wait in a queue, including those that take no time.
"""
from __future__ import annotations

import json
import logging
import time
from collections import Counter
from typing import Any

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher

from tfpoets.escaping import escape_for_terminal

from .inference_pool import Limits

HEALTH_PATH = "/healthz"
# Threads for health checks and errors, which take no time.
FAST_THREADS = 2
# Connections that are accepted beyond the limit. When half of them are in use, each new one closes the connection that
# has waited longest, among those of the client with the most waiting connections.
RESERVED_CONNECTIONS = 32
BUSY_SECONDS = 1
MAX_LOGGED_LENGTH = 300

# The messages for the errors that waitress finds. Those of waitress quote the request.
ERRORS = {400: "The request is malformed.", 413: "The request is too large.",
          431: "The header of the request is too large.", 500: "An internal error occurred.",
          503: "The server is busy. Try again later."}


class _BusyError:
    """The error of a request that is not processed; see `waitress.utilities.Error`."""

    code = 503


class JSONErrorTask(ErrorTask):
    """Sends the error that waitress has found in a request in the same form as those of the application."""

    def execute(self) -> None:
        """Send the response, and close the connection."""
        # RFC 9112 proposes 501 for a Transfer-Encoding that is not supported, but the server is not at fault.
        code = 400 if self.request.error.code == 501 else self.request.error.code
        content = json.dumps({"error": ERRORS.get(code, "The request failed.")}).encode() + b"\n"
        reasons = {400: "Bad Request", 413: "Content Too Large", 431: "Request Header Fields Too Large",
                   503: "Service Unavailable"}
        self.status = f"{code} {reasons.get(code, 'Internal Server Error')}"
        self.response_headers += [("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff"),
                                  ("Cache-Control", "no-store")]
        if code == 503:
            self.response_headers.append(("Retry-After", str(BUSY_SECONDS)))
        self.set_close_on_finish()
        self.content_length = len(content)
        self.write(content)


class Channel(HTTPChannel):
    """A connection.

    Attributes:
        client_time: Since when the client has had to send a request or read a response; seconds since the epoch.
        start_time: When the request that is being processed was complete; seconds since the epoch.
    """

    error_task_class = JSONErrorTask

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.client_time = self.start_time = self.creation_time
        self._is_receiving = False

    @property
    def is_busy(self) -> bool:
        """Whether a complete request is waiting for its response, or being processed."""
        return bool(self.requests)

    def handle_read(self) -> None:
        """Read what has arrived, and record when the first byte of a request arrived."""
        was_busy = self.is_busy
        super().handle_read()
        if self.is_busy:
            self.start_time = self.start_time if was_busy else time.time()
        elif self.request is not None and not self._is_receiving:
            self._is_receiving, self.client_time = True, time.time()

    def service(self) -> None:
        """Process a request, and record when the response was handed over to the connection."""
        self.start_time = time.time()
        try:
            super().service()
        except AttributeError:
            # After the response, waitress reads attributes of the next request, which another thread may have just
            # removed because the client has disconnected.
            if self.connected:
                raise
        self._is_receiving = self.request is not None
        self.client_time = self.start_time = time.time()


class _Dispatcher(ThreadedTaskDispatcher):
    """Threads for requests, and a few others for requests that take no time."""

    def __init__(self, threads: int):
        super().__init__()
        self._fast = ThreadedTaskDispatcher()
        self.set_thread_count(threads)
        self._fast.set_thread_count(FAST_THREADS)

    def add_task(self, task: Channel) -> None:
        """Add a connection whose next request is complete."""
        request = task.requests[0]
        if request.error or request.path == HEALTH_PATH and request.command in ("GET", "HEAD"):
            self._fast.add_task(task)
        else:
            super().add_task(task)

    def shutdown(self, cancel_pending: bool = True, timeout: float = 5) -> bool:
        """Stop the threads."""
        self._fast.shutdown(cancel_pending, timeout / 2)
        return super().shutdown(cancel_pending, timeout / 2)


class Server(TcpWSGIServer):
    """A server that closes the connections of slow clients, and accepts new ones at any time.

    Args:
        application: The WSGI application.
        adjustments: The settings of waitress, with a single address to listen on.
        limits: The limits of the server.
    """

    channel_class = Channel

    def __init__(self, application: Any, adjustments: Adjustments, limits: Limits):
        self._limits = limits
        super().__init__(application, {}, dispatcher=_Dispatcher(adjustments.threads), adj=adjustments,
                         sockinfo=adjustments.listen[0])

    def add_task(self, channel: Channel) -> None:
        """Process the next request of a connection, or refuse it if too many are being processed."""
        if sum(other.is_busy for other in list(self.active_channels.values())) > self._limits.connections:
            channel.requests[0].error = _BusyError()
        super().add_task(channel)

    def handle_accept(self) -> None:
        """Accept a connection; close another one if there are too many."""
        super().handle_accept()
        if len(self.active_channels) <= self._limits.connections + RESERVED_CONNECTIONS // 2:
            return
        waiting = [channel for channel in self.active_channels.values() if not channel.is_busy]
        # Of the client with the most connections, so that one client cannot displace the others.
        counts = Counter(channel.addr[0] for channel in waiting)
        if len(waiting) > 1:
            min(waiting, key=lambda channel: (-counts[channel.addr[0]], channel.client_time)).handle_close()

    def maintenance(self, now: float) -> None:
        """Do nothing: waitress calls this during a poll, when a new connection could get a closed one's descriptor."""

    def close_expired(self) -> None:
        """Close the connections whose client, or whose request, has taken too long."""
        now = time.time()
        idle, processing = self._limits.idle_seconds, self._limits.prediction_seconds + self._limits.idle_seconds
        for channel in list(self.active_channels.values()):
            if now > (channel.start_time + processing if channel.is_busy else channel.client_time + idle):
                # `will_close` would have no effect as long as the client reads nothing.
                channel.handle_close()


class EscapingFilter(logging.Filter):
    """Makes each message one line without control characters, because messages can quote a request."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the message, and replace the traceback by the type of the error."""
        text = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            text += f" ({record.exc_info[0].__name__})"
        record.msg, record.args, record.exc_info = escape_for_terminal(text)[:MAX_LOGGED_LENGTH], (), None
        return True
