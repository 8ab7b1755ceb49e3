"""Download files over http and https completely or not at all, within limits on time and size."""
from __future__ import annotations

import contextlib
import glob
import hashlib
import http.client
import logging
import os
import secrets
import socket
import ssl
import string
import time
import urllib.error
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tfpoets.errors import DownloadError, one_line
from tfpoets.progress import progress_bar

from .connections import Deadline, RefusedAddressError, Scope, send_request

log = logging.getLogger(__name__)

SCHEMES = ("http", "https")
MAX_REDIRECTS = 5
# A connection that is slower than this for the length of a timeout counts as stalled, even if bytes keep arriving.
MIN_BYTES_PER_SECOND = 1000
# A running download writes to its file at least once per timeout. A file that has not been modified for this long was
# left by a killed run.
ABANDONED_SECONDS = 3600
CHUNK_BYTES = 1 << 16
# The time for all that precedes the body of a large file, and the average speed at which the body must arrive.
HEADER_SECONDS = 60.0
MIN_AVERAGE_BYTES_PER_SECOND = 20_000

# Longer addresses that a server sends are cut off in messages.
MAX_SHOWN = 200

CHECK_ADDRESS = "Check the address."
CHECK_NETWORK = "Check the address and the network, including http_proxy and https_proxy if a proxy is needed."
TRY_AGAIN = "Try again later."


def fetch_bytes(url: str, max_bytes: int, timeout: float = 30.0, deadline: float = 60.0) -> bytes:
    """Download a small file, such as a photo, to memory.

    Args:
        url: An http or https URL. At most 5 redirects are followed, to such URLs only, and not from a public server to
            an address in a private network or on this machine.
        max_bytes: The maximum size in bytes.
        timeout: How long the server may be silent, in seconds; also the interval at which the speed is checked.
        deadline: How long the whole transfer may take, in seconds.

    Returns:
        The contents of the file.

    Raises:
        DownloadError: The file could not be downloaded completely; the message names the URL.
    """
    with _open(url, timeout, deadline) as response:
        return b"".join(response.chunks(max_bytes))


def download_file(url: str, destination: Path, *, description: str, max_bytes: int, sha256: str | None = None,
                  timeout: float = 30.0) -> Path:
    """Download a file to disk; `destination` is created or replaced only if the file is complete and its hash matches.

    Args:
        url: An http or https URL. At most 5 redirects are followed, as in `fetch_bytes`.
        destination: The path of the file to write; its folder is created if it is missing.
        description: The text of the progress bar.
        max_bytes: The maximum size in bytes.
        sha256: The expected SHA-256 as 64 hexadecimal digits, or None if it is not known.
        timeout: How long the server may be silent, in seconds; also the interval at which the speed is checked. The
            response must begin within HEADER_SECONDS, and arrive at MIN_AVERAGE_BYTES_PER_SECOND or more.

    Returns:
        `destination`.

    Raises:
        DownloadError: The file could not be downloaded completely; the message names the URL.
        OSError: The file cannot be written, for instance because the disk is full or permission is denied.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with _open(url, timeout, HEADER_SECONDS) as response, _open_atomically(destination) as file:
        size_limit = max_bytes if response.size is None else min(response.size, max_bytes)
        response.deadline.restart(HEADER_SECONDS + size_limit / MIN_AVERAGE_BYTES_PER_SECOND)
        size = "" if response.size is None else f", {_format_size(response.size)}"
        log.info("Downloading %s%s", response.name, size)
        with progress_bar(response.size, description, "byte", bytes_=True) as bar:
            for chunk in response.chunks(max_bytes):
                file.write(chunk)
                digest.update(chunk)
                bar.update(len(chunk))
        if sha256 is not None and digest.hexdigest() != sha256.lower():
            raise DownloadError(f"{response.name} is not the expected file: its SHA-256 is {digest.hexdigest()}, not "
                                f"{sha256.lower()}.",
                                "Try again. If the error persists, the file at this address has changed.")
    return destination


@dataclass(frozen=True)
class _Response:
    """A server's response of which only the headers have been read.

    Attributes:
        http_response: The response from urllib.
        name: The name in messages: the requested URL and, after a redirect, the host to which it leads.
        timeout: The timeout in seconds.
        deadline: When the transfer has to end.
    """

    http_response: http.client.HTTPResponse
    name: str
    timeout: float
    deadline: Deadline

    @property
    def size(self) -> int | None:
        """The length of the body in bytes according to the headers, or None if they do not include it."""
        return self.http_response.length

    def chunks(self, max_bytes: int) -> Iterator[bytes]:
        """Yield the body in pieces; raise DownloadError if it is too large, incomplete or too slow."""
        expected = self.size
        if expected is not None and expected > max_bytes:
            raise self._too_large(max_bytes)
        received = 0
        stall_detector = _StallDetector(self.timeout)
        while chunk := self._read(received != expected):
            received += len(chunk)
            # The Content-Length may be missing or wrong, so the received bytes are counted.
            if received > max_bytes:
                raise self._too_large(max_bytes)
            if received != expected and stall_detector.is_stalled(received):
                raise _failure(self.name, f"the connection became too slow after {_format_size(received)}", TRY_AGAIN)
            yield chunk
        if expected is not None and received < expected:
            raise _failure(self.name, f"only {_format_progress(received, expected)} arrived", "Try again.")

    def _read(self, is_incomplete: bool) -> bytes:
        try:
            # read1 returns what one system call receives; read would wait for a full chunk and hide a stall.
            chunk = self.http_response.read1(CHUNK_BYTES)
            if self.deadline.is_expired and is_incomplete:  # closed connections look as if the body had ended
                raise TimeoutError
            return chunk
        # ValueError: a chunk whose size is not a number.
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _failure(self.name, *_reason(error, self.timeout, self.deadline)) from error

    def _too_large(self, max_bytes: int) -> DownloadError:
        return _failure(self.name, f"it is larger than the {_format_size(max_bytes)} allowed", CHECK_ADDRESS)


class _StallDetector:
    """A check, once per interval, of whether bytes still arrive at MIN_BYTES_PER_SECOND."""

    def __init__(self, interval: float):
        self._interval = interval
        self._interval_start = time.monotonic()
        self._received_before = 0

    def is_stalled(self, received: int) -> bool:
        """Return whether too few bytes arrived in the interval that has just ended; False before its end.

        Args:
            received: The number of bytes received so far.
        """
        elapsed = time.monotonic() - self._interval_start
        if elapsed < self._interval:
            return False
        stalled = received - self._received_before < MIN_BYTES_PER_SECOND * elapsed
        self._interval_start += elapsed
        self._received_before = received
        return stalled


@contextlib.contextmanager
def _open(url: str, timeout: float, seconds: float) -> Iterator[_Response]:
    """Send the request, follow redirects, and yield the response with status 200."""
    # Redirects are followed here, because urllib would also follow them to ftp:// and would read their whole bodies.
    name = address = _normalize_url(url.strip(), url)
    visited: list[str] = []
    scope = Scope.LOOPBACK  # the user may name any server
    with Deadline(seconds) as deadline:
        while True:
            visited.append(address)
            response, scope = _request(name, address, timeout, deadline, scope)
            with contextlib.closing(response):
                if response.status not in (301, 302, 303, 307, 308):
                    _check_status(name, response.status)
                    yield _Response(response, name, timeout, deadline)
                    return
                address = _redirect_target(name, address, response, visited)
            name = f"{visited[0]} (redirected to {urllib.parse.urlsplit(address).netloc})"


def _normalize_url(url: str, name: str) -> str:
    """Return `url` in ASCII, without its fragment; raise DownloadError if it is not an http or https URL."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
        netloc = parts.netloc
        if host and not netloc.isascii():
            netloc = host.encode("idna").decode("ascii") + (f":{port}" if port else "")
    except ValueError as error:
        raise DownloadError(f"{name} is not a valid address: {one_line(error)}", CHECK_ADDRESS) from error
    if parts.username is not None:
        # The password must not appear on the screen or in a log.
        raise DownloadError(f"An address with a user name ({parts.scheme}://...@{host}) cannot be downloaded.",
                            "Download the file manually and use its path.")
    if parts.scheme not in SCHEMES or not host:
        raise DownloadError(f"{name} cannot be downloaded: only addresses that begin with http:// or https:// can.",
                            CHECK_ADDRESS)
    path, query = (urllib.parse.quote(text, safe=string.punctuation) for text in (parts.path, parts.query))
    return urllib.parse.urlunsplit((parts.scheme, netloc, path, query, ""))


def _redirect_target(name: str, address: str, response: http.client.HTTPResponse, visited: list[str]) -> str:
    """Return the URL to which a redirect leads; raise DownloadError if it must not be followed."""
    location = response.headers.get("Location")
    if not location:
        raise _failure(name, "the server sent a redirect without a destination", TRY_AGAIN)
    # http.client decodes headers as Latin-1, but servers that send other characters send UTF-8.
    location = location.encode("latin-1", "replace").decode("utf-8", "replace")
    try:
        target = urllib.parse.urljoin(address, location)
    except ValueError:
        raise _failure(name, "it redirects to an address that is not valid", CHECK_ADDRESS) from None
    if target.partition(":")[0].lower() not in SCHEMES:
        raise _failure(name, f"it redirects to {target[:MAX_SHOWN]}, which is neither an http nor an https address",
                       CHECK_ADDRESS)
    target = _normalize_url(target, target[:MAX_SHOWN])
    if target in visited:
        raise _failure(name, "its redirects form a loop", CHECK_ADDRESS)
    if len(visited) > MAX_REDIRECTS:
        raise _failure(name, f"it redirects more than {MAX_REDIRECTS} times", CHECK_ADDRESS)
    return target


def _request(name: str, address: str, timeout: float, deadline: Deadline, max_scope: Scope
             ) -> tuple[http.client.HTTPResponse, Scope]:
    """Send a GET request as `send_request` does; raise a DownloadError if it fails."""
    try:
        response, scope = send_request(address, timeout, deadline, max_scope)
        if deadline.is_expired:  # the closed connection looks as if the header had ended
            response.close()
            raise TimeoutError
        return response, scope
    # ValueError: an invalid host name that is detected only when it is resolved.
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _failure(name, *_reason(error, timeout, deadline)) from error


def _check_status(name: str, status: int) -> None:
    """Raise a DownloadError unless the status is 200."""
    if status == 200:
        return
    if status in (404, 410):
        raise _failure(name, f"the server has no such file ({status})", CHECK_ADDRESS)
    if status in (401, 403):
        raise _failure(name, f"the server does not allow it ({status})",
                       "Check the address. A file that requires a login must be downloaded manually.")
    if status == 407:
        raise _failure(name, "the proxy requires a user name and a password (407)", CHECK_NETWORK)
    if status == 429:
        raise _failure(name, "the server received too many requests from this machine (429)", TRY_AGAIN)
    if status >= 500:
        raise _failure(name, f"the server reported an internal error ({status})", TRY_AGAIN)
    raise _failure(name, f"the server sent status {status} instead of the file", CHECK_ADDRESS)


def _reason(error: Exception, timeout: float, deadline: Deadline) -> tuple[str, str]:
    """Return the reason for a network error, and a remedy."""
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        error = error.reason
    if isinstance(error, RefusedAddressError):
        return "the address is in a private network, to which a public server must not redirect", CHECK_ADDRESS
    if deadline.is_expired:
        return f"it did not arrive within {deadline.seconds:g} seconds", TRY_AGAIN
    if isinstance(error, TimeoutError):
        return f"nothing arrived for {timeout:g} seconds", CHECK_NETWORK
    if isinstance(error, socket.gaierror):
        return "no server with that name was found", CHECK_NETWORK
    if isinstance(error, ConnectionRefusedError):
        return "the server refuses connections", CHECK_NETWORK
    if isinstance(error, ssl.SSLCertVerificationError):
        return (f"the server's certificate is not trusted ({error.verify_message})",
                "Check the address and this machine's date. Set SSL_CERT_FILE to the file of trusted certificates.")
    if isinstance(error, ssl.SSLError):
        return f"no secure connection could be established ({error.reason or one_line(error)})", CHECK_NETWORK
    if isinstance(error, (ConnectionError, http.client.IncompleteRead)):
        return "the connection was lost before everything had arrived", "Try again."
    if isinstance(error, http.client.HTTPException) and not isinstance(error, http.client.InvalidURL):
        return "the server's response is not HTTP", CHECK_ADDRESS
    reason = (isinstance(error, OSError) and error.strerror) or one_line(error).rstrip(".")
    return reason[:1].lower() + reason[1:], CHECK_NETWORK


@contextlib.contextmanager
def _open_atomically(destination: Path) -> Iterator[BinaryIO]:
    """Yield a temporary file next to `destination`; rename it if the block succeeds, and delete it otherwise."""
    _remove_abandoned_files(destination)
    part = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            # A file that is renamed before its contents are on the disk can be empty after a power failure.
            os.fsync(file.fileno())
        os.replace(part, destination)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _remove_abandoned_files(destination: Path) -> None:
    for part in destination.parent.glob(f".{glob.escape(destination.name)}.*.part"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > ABANDONED_SECONDS:
                part.unlink()


def _failure(name: str, reason: str, remedy: str) -> DownloadError:
    return DownloadError(f"{name} could not be downloaded: {reason}.", remedy)


def _format_size(count: int) -> str:
    return f"{count:,} bytes" if count < 1_000_000 else f"{count / 1e6:,.1f} MB"


def _format_progress(received: int, expected: int) -> str:
    if expected < 1_000_000:
        return f"{received:,} of {expected:,} bytes"
    return f"{received / 1e6:,.1f} of {expected / 1e6:,.1f} MB"
