"""Which web pages may use the server, and under which names."""
from __future__ import annotations

import functools
import ipaddress
import re
import socket
import urllib.parse
from dataclasses import dataclass

from werkzeug.datastructures import Headers

from tfpoets.errors import OptionError

DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(:(?P<port>[0-9]{1,5}))?")
# The ends of names that nobody can register on the internet: of local networks, and of containers.
PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home", ".corp", ".svc", ".home.arpa")
# Pages may send these requests to other sites without asking, so they must change nothing.
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class AccessRules:
    """The names under which a server is reached, and the web pages that may use it.

    A page of another site can let the browsers of its visitors send requests to a server on their own machine or
    network. Browsers state in the header Origin which site a page belongs to. A site whose name is changed to the
    address of the server while the page is open (DNS rebinding) is recognized by the header Host.

    Attributes:
        host: The address that the server listens on.
        allowed_origins: The origins of other sites whose pages may use the server, such as "https://example.org". The
            server may also be reached under their names.
    """

    host: str = "127.0.0.1"
    allowed_origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "allowed_origins", tuple(map(normalize_origin, self.allowed_origins)))

    def allows_host(self, host: str) -> bool:
        """Return whether the value of a Host header names this server."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match["name"].lower().rstrip(".")
        if name in {urllib.parse.urlsplit(origin).hostname for origin in self.allowed_origins}:
            return True
        if _is_loopback(self.host):
            return _is_loopback(name)
        # An address cannot be rebound, and neither can a name that only this network knows.
        return (_ip_address(name) is not None or "." not in name or name.endswith(PRIVATE_SUFFIXES)
                or name in (self.host.lower(), socket.gethostname().lower(), _full_name()))

    def allows_origin(self, headers: Headers, method: str) -> bool:
        """Return whether the page that sends a request may use the server, according to the request's headers."""
        origin = headers.get("Origin")
        if origin is None:
            return method in SAFE_METHODS or headers.get("Sec-Fetch-Site") not in ("cross-site", "same-site")
        return self.is_listed(origin) or _is_same_site(origin, headers.get("Host", ""))

    def is_listed(self, origin: str) -> bool:
        """Return whether an origin is one of `allowed_origins`."""
        try:
            return normalize_origin(origin) in self.allowed_origins
        except OptionError:
            return False


@functools.cache
def _full_name() -> str:
    """Return the full name of this machine, which may take a look-up."""
    return socket.getfqdn().lower()


def normalize_origin(origin: str) -> str:
    """Return an origin in lower case and without a default port, as browsers send it.

    Args:
        origin: The scheme, host and port of a site, such as "https://example.org".

    Raises:
        OptionError: The text is not an origin.
    """
    scheme, _, rest = origin.strip().lower().removesuffix("/").partition("://")
    match = _HOST.fullmatch(rest)
    if scheme not in DEFAULT_PORTS or match is None:
        raise OptionError(f"`allow_origin`={origin} is not the origin of a web page.",
                          "Use a scheme, a host and, if needed, a port, as in https://example.org.")
    port = match["port"]
    return f"{scheme}://{match['name']}" + (f":{port}" if port and int(port) != DEFAULT_PORTS[scheme] else "")


def _is_same_site(origin: str, host: str) -> bool:
    """Return whether an origin has the host and port of a Host header.

    The scheme is not compared, because a proxy in front of the server may have decrypted the request.
    """
    scheme, _, rest = origin.lower().partition("://")
    port = f":{DEFAULT_PORTS.get(scheme)}"
    return scheme in DEFAULT_PORTS and rest.removesuffix(port) == host.lower().removesuffix(port)


def _is_loopback(name: str) -> bool:
    address = _ip_address(name)
    return address.is_loopback if address is not None else name == "localhost" or name.endswith(".localhost")


def _ip_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
