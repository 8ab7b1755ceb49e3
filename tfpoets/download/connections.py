"""Connections that end at a deadline, and that do not reach from a public server into a private network."""
from __future__ import annotations

import enum
import http.client
import ipaddress
import socket
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from types import TracebackType
from typing import Any

USER_AGENT = "tfpoets (Python urllib)"
# The difference between clocks and timers.
CLOCK_SECONDS = 0.01


class Scope(enum.IntEnum):
    """From where the address of a server can be reached, as in Private Network Access (wicg.github.io)."""

    PUBLIC = 0
    PRIVATE = 1
    LOOPBACK = 2


class RefusedAddressError(OSError):
    """A connection is refused, because the server is less public than the one that redirected to it."""


class Deadline:
    """A context manager that closes the connections of a transfer when its time has passed.

    The timeout of a socket is not enough, because it begins again with each byte.

    Args:
        seconds: The time until the deadline.
    """

    def __init__(self, seconds: float):
        self.seconds = seconds
        self._closed_connections = False
        self._end = time.monotonic() + seconds
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._expire)

    def __enter__(self) -> Deadline:
        self._start_timer()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self._timer.cancel()

    @property
    def is_expired(self) -> bool:
        """Whether the deadline has passed; sockets that time out at the deadline may do so a little earlier."""
        return self._closed_connections or time.monotonic() > self._end - CLOCK_SECONDS

    def restart(self, seconds: float) -> None:
        """Let the deadline be `seconds` from now, unless it has passed already."""
        self._timer.cancel()
        if self.is_expired:
            return
        self.seconds, self._end = seconds, time.monotonic() + seconds
        self._timer = threading.Timer(seconds, self._expire)
        self._start_timer()

    def remaining(self, timeout: float) -> float:
        """Return the time until the deadline, at most `timeout`; raise TimeoutError if it has passed."""
        if self.is_expired:
            raise TimeoutError
        return min(timeout, self._end - time.monotonic())

    def watch(self, connection: socket.socket) -> None:
        """Set the socket to close at the deadline; it replaces the previous one."""
        with self._lock:
            self._socket = connection
            if self._closed_connections:
                raise TimeoutError

    def _start_timer(self) -> None:
        self._timer.daemon = True
        self._timer.start()

    def _expire(self) -> None:
        with self._lock:
            self._closed_connections = True
            if self._socket is not None:
                try:
                    # The method of the base class: that of a TLS socket would change it while it is in use.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
                except OSError:  # it is closed already
                    pass


def send_request(address: str, timeout: float, deadline: Deadline, max_scope: Scope
                 ) -> tuple[http.client.HTTPResponse, Scope]:
    """Send a GET request; return the response, whatever its status, and the scope of the server.

    Args:
        address: An http or https URL.
        timeout: How long the server may be silent, in seconds.
        deadline: When the transfer has to end.
        max_scope: The least public scope that is allowed for the server.

    Raises:
        RefusedAddressError: The server has none of the allowed addresses.
        OSError, http.client.HTTPException, ValueError: The request failed.
    """
    host = urllib.parse.unquote(urllib.parse.urlsplit(address).hostname or "")
    connector = _Connector(host, timeout, deadline, max_scope)
    # Without urllib's handlers for errors, redirects, files and FTP, every status is returned, and only http and https
    # addresses are opened.
    opener = urllib.request.OpenerDirector()
    for handler in (urllib.request.ProxyHandler(), urllib.request.UnknownHandler(), _HTTPHandler(connector),
                    _HTTPSHandler(connector)):
        opener.add_handler(handler)
    request = urllib.request.Request(address, headers={"User-Agent": USER_AGENT})
    return opener.open(request, timeout=timeout), connector.scope


class _Connector:
    """Opens the socket of one request; see `send_request` for the arguments.

    Attributes:
        scope: The scope of the server, once it is connected.
    """

    def __init__(self, host: str, timeout: float, deadline: Deadline, max_scope: Scope):
        self._host, self._timeout, self._deadline, self._max_scope = host, timeout, deadline, max_scope
        self.scope = Scope.PUBLIC

    def connection_class(self, base: type[http.client.HTTPConnection], request: urllib.request.Request
                         ) -> type[http.client.HTTPConnection]:
        """Return a subclass of `base` whose connections this object opens."""
        connector = self
        # A proxy for https is a tunnel, which `has_proxy` does not take into account.
        uses_proxy = request.has_proxy() or bool(getattr(request, "_tunnel_host", None))
        connect = self._connect_to_proxy if uses_proxy else self._connect

        class Connection(base):  # type: ignore[misc, valid-type]
            def __init__(self, *args: Any, **options: Any):
                super().__init__(*args, **options)
                # The function that opens the socket; it has no public name.
                self._create_connection = lambda address, *_: connect(address)

            def connect(self) -> None:
                super().connect()
                connector._deadline.watch(self.sock)  # with TLS, not the socket that `connect` returned
        return Connection

    def _connect_to_proxy(self, address: tuple[str, int]) -> socket.socket:
        self.scope = scope_of_name(self._host)  # the proxy resolves it
        if self.scope > self._max_scope:
            raise RefusedAddressError
        return self._connect(address, is_server=False)

    def _connect(self, address: tuple[str, int], is_server: bool = True) -> socket.socket:
        """Return a socket that is connected to the first of the allowed IP addresses that accepts it."""
        error: OSError = RefusedAddressError()
        for family, kind, protocol, _, ip_address in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
            scope = scope_of_address(str(ip_address[0])) if is_server else self.scope
            if scope > self._max_scope:
                continue
            self.scope = scope
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(self._deadline.remaining(self._timeout))
                connection.connect(ip_address)
                connection.settimeout(self._deadline.remaining(self._timeout))
                self._deadline.watch(connection)
                return connection
            except OSError as failure:
                connection.close()
                error = failure
        raise error


class _HTTPHandler(urllib.request.HTTPHandler):
    """Opens http URLs with the connections of a `_Connector`."""

    def __init__(self, connector: _Connector):
        super().__init__()
        self._connector = connector

    def http_open(self, request: urllib.request.Request) -> Any:
        """Send the request and return the response."""
        return self.do_open(self._connector.connection_class(http.client.HTTPConnection, request), request)


class _HTTPSHandler(urllib.request.HTTPSHandler):
    """Opens https URLs with the connections of a `_Connector`."""

    def __init__(self, connector: _Connector):
        super().__init__()
        self._connector = connector

    def https_open(self, request: urllib.request.Request) -> Any:
        """Send the request and return the response."""
        return self.do_open(self._connector.connection_class(http.client.HTTPSConnection, request), request)


def scope_of_address(address: str) -> Scope:
    """Return the scope of an IP address."""
    ip_address = ipaddress.ip_address(address.partition("%")[0])
    ip_address = getattr(ip_address, "ipv4_mapped", None) or ip_address
    if ip_address.is_loopback or ip_address.is_unspecified:
        return Scope.LOOPBACK
    return Scope.PUBLIC if ip_address.is_global else Scope.PRIVATE


def scope_of_name(host: str) -> Scope:
    """Return the scope of a host as far as its name shows it, because only a proxy knows its address."""
    try:
        return scope_of_address(host)
    except ValueError:
        pass
    try:
        return scope_of_address(socket.inet_ntoa(socket.inet_aton(host)))  # other notations, such as 0x7f.1
    except OSError:
        pass
    labels: Sequence[str] = host.rstrip(".").lower().split(".")
    if labels[-1] == "localhost":
        return Scope.LOOPBACK
    return Scope.PRIVATE if len(labels) == 1 or labels[-1] in ("local", "internal", "lan") else Scope.PUBLIC
