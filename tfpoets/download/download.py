"""Files over http and https: whole or not at all, within limits of time and size, failures in one sentence."""
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
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tfpoets.errors import DownloadError, one_line
from tfpoets.progress import progress_bar

log = logging.getLogger(__name__)

SCHEMES = ("http", "https")
MAX_REDIRECTS = 5
# A connection that gives less than this over a whole time-out counts as stalled, however regularly it gives it.
MIN_BYTES_PER_SECOND = 1000
# A download writes to its file at least once a time-out; a file untouched for this long belongs to a killed run.
ABANDONED_SECONDS = 3600
CHUNK_BYTES = 1 << 16
USER_AGENT = "tfpoets (Python urllib)"

CHECK_ADDRESS = "Check the address."
CHECK_NETWORK = "Check the address and the network, including http_proxy and https_proxy where a proxy is needed."
TRY_AGAIN = "Try again later."


def fetch_bytes(url: str, max_bytes: int, timeout: float = 30.0) -> bytes:
    """Fetches something small, a photo for instance, into memory.

    Args:
        url: an http or https address; redirects (at most 5) are followed to such addresses only.
        max_bytes: the largest answer that is taken, in bytes.
        timeout: how long the server may be silent, in seconds; also the span over which a stall is judged.

    Returns:
        The answer's bytes, all of them.

    Raises:
        DownloadError: for whatever kept the whole answer from arriving, naming the address.
    """
    with _open(url, timeout) as answer:
        return b"".join(answer.chunks(max_bytes))


def download_file(url: str, destination: Path, *, what: str, max_bytes: int, sha256: str | None = None,
                  timeout: float = 30.0) -> Path:
    """Downloads a file; `destination` appears, or is replaced, only when it is whole and its hash is right.

    Args:
        url: an http or https address; redirects (at most 5) are followed to such addresses only.
        destination: the file to write; its folder is made where it is missing.
        what: what is being downloaded, for the progress bar.
        max_bytes: the largest file that is taken, in bytes.
        sha256: the expected SHA-256 as 64 hexadecimal digits, or None when it is not known.
        timeout: how long the server may be silent, in seconds; also the span over which a stall is judged.

    Returns:
        `destination`.

    Raises:
        DownloadError: for whatever kept the whole file from arriving, naming the address.
        OSError: when the file cannot be written (a full disk, a missing permission).
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with _open(url, timeout) as answer, _written_whole(destination) as file:
        log.info("Downloading %s%s", answer.name, "" if answer.size is None else f", {_size(answer.size)}")
        with progress_bar(answer.size, what, "byte", bytes_=True) as bar:
            for chunk in answer.chunks(max_bytes):
                file.write(chunk)
                digest.update(chunk)
                bar.update(len(chunk))
        if sha256 is not None and digest.hexdigest() != sha256.lower():
            raise DownloadError(f"{answer.name} is not the file that was expected: its SHA-256 is "
                                f"{digest.hexdigest()}, not {sha256.lower()}.",
                                "Try again; if it stays so, the file at this address changed.")
    return destination


@dataclass(frozen=True)
class _Answer:
    """A server's answer whose headers have been read and whose body has not.

    Attributes:
        response: what urllib gave.
        name: what messages call it: the address, and the host it was redirected to.
        timeout: seconds.
    """

    response: http.client.HTTPResponse
    name: str
    timeout: float

    @property
    def size(self) -> int | None:
        """The body's length in bytes as the server announced it, None where it did not."""
        return self.response.length

    def chunks(self, max_bytes: int) -> Iterator[bytes]:
        """The body, piece by piece; raises DownloadError when it is too large, cut short, or hardly moves."""
        announced = self.size
        if announced is not None and announced > max_bytes:
            raise self._too_large(max_bytes)
        received = 0
        pace = _Pace(self.timeout)
        while chunk := self._read():
            received += len(chunk)
            # The announced length may be missing or wrong: only what has arrived counts.
            if received > max_bytes:
                raise self._too_large(max_bytes)
            if received != announced and pace.is_stalled(received):
                raise _failure(self.name, f"it nearly stopped after {_size(received)}", TRY_AGAIN)
            yield chunk
        if announced is not None and received < announced:
            raise _failure(self.name, f"only {_share(received, announced)} arrived", "Try again.")

    def _read(self) -> bytes:
        try:
            # read1 returns what one wait brought; read would wait for a full chunk and hide a stall.
            return self.response.read1(CHUNK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise _failure(self.name, *_reason(error, self.timeout)) from error

    def _too_large(self, max_bytes: int) -> DownloadError:
        return _failure(self.name, f"it is larger than the {_size(max_bytes)} that are taken", CHECK_ADDRESS)


class _Pace:
    """Judges, one time-out after the other, whether bytes still arrive at a rate worth waiting for."""

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._since = time.monotonic()
        self._received = 0

    def is_stalled(self, received: int) -> bool:
        """Whether too little of the `received` bytes came in the span that has just ended; False within a span."""
        passed = time.monotonic() - self._since
        if passed < self._seconds:
            return False
        stalled = received - self._received < MIN_BYTES_PER_SECOND * passed
        self._since += passed
        self._received = received
        return stalled


@contextlib.contextmanager
def _open(url: str, timeout: float) -> Iterator[_Answer]:
    """Sends the request, follows redirects, and gives the answer whose status is 200."""
    # Redirects are followed here and not by urllib, which would also go to ftp:// and read a redirect's whole body.
    name = address = _checked(url.strip(), url)
    visited: list[str] = []
    while True:
        visited.append(address)
        with contextlib.closing(_request(name, address, timeout)) as response:
            if response.status not in (301, 302, 303, 307, 308):
                _expect_ok(name, response.status)
                yield _Answer(response, name, timeout)
                return
            address = _redirected(name, address, response, visited)
        name = f"{visited[0]} (redirected to {urllib.parse.urlsplit(address).netloc})"


def _checked(url: str, name: str) -> str:
    """`url` in ASCII, or DownloadError for one that is no http or https address."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
        netloc = parts.netloc
        if host and not netloc.isascii():
            netloc = host.encode("idna").decode("ascii") + (f":{port}" if port else "")
    except ValueError as error:
        raise DownloadError(f"{name} is not an address: {one_line(error)}", CHECK_ADDRESS) from error
    if parts.username is not None:
        # The password must not be repeated on a screen or in a log.
        raise DownloadError(f"An address with a user name in it ({parts.scheme}://...@{host}) cannot be downloaded.",
                            "Download the file by other means and give its path.")
    if parts.scheme not in SCHEMES or not host:
        raise DownloadError(f"{name} cannot be downloaded: only addresses that begin with http:// or https:// can.",
                            CHECK_ADDRESS)
    path, query = (urllib.parse.quote(text, safe=string.punctuation) for text in (parts.path, parts.query))
    return urllib.parse.urlunsplit((parts.scheme, netloc, path, query, ""))


def _redirected(name: str, address: str, response: http.client.HTTPResponse, visited: list[str]) -> str:
    """Where a redirect leads, or DownloadError for one that must not be followed."""
    location = response.headers.get("Location")
    if not location:
        raise _failure(name, "the server redirects it without saying where to", TRY_AGAIN)
    # http.client reads headers as Latin-1; servers that send other letters at all send UTF-8.
    location = location.encode("latin-1", "replace").decode("utf-8", "replace")
    target = urllib.parse.urljoin(address, location)
    if target.partition(":")[0].lower() not in SCHEMES:
        raise _failure(name, f"it redirects to {target}, which is neither an http nor an https address", CHECK_ADDRESS)
    target = _checked(target, target)
    if target in visited:
        raise _failure(name, "its redirects go round in a circle", CHECK_ADDRESS)
    if len(visited) > MAX_REDIRECTS:
        raise _failure(name, f"it redirects more than {MAX_REDIRECTS} times", CHECK_ADDRESS)
    return target


def _request(name: str, address: str, timeout: float) -> http.client.HTTPResponse:
    # Without urllib's handlers for errors, redirects, files and FTP: every status comes back, nothing else is opened.
    opener = urllib.request.OpenerDirector()
    for handler in (urllib.request.ProxyHandler(), urllib.request.UnknownHandler(), urllib.request.HTTPHandler(),
                    urllib.request.HTTPSHandler()):
        opener.add_handler(handler)
    try:
        request = urllib.request.Request(address, headers={"User-Agent": USER_AGENT})
        return opener.open(request, timeout=timeout)
    # ValueError: a host name that only turns out to be none on the way to the name server.
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _failure(name, *_reason(error, timeout)) from error


def _expect_ok(name: str, status: int) -> None:
    if status == 200:
        return
    if status in (404, 410):
        raise _failure(name, f"the server has no such file ({status})", CHECK_ADDRESS)
    if status in (401, 403):
        raise _failure(name, f"the server does not allow it ({status})",
                       "Check the address; what needs a login must be downloaded by hand.")
    if status == 407:
        raise _failure(name, "the proxy asks for a name and a password (407)", CHECK_NETWORK)
    if status == 429:
        raise _failure(name, "the server has had too many requests from here (429)", TRY_AGAIN)
    if status >= 500:
        raise _failure(name, f"the server has a fault of its own ({status})", TRY_AGAIN)
    raise _failure(name, f"the server answered with status {status} instead of the file", CHECK_ADDRESS)


def _reason(error: Exception, timeout: float) -> tuple[str, str]:
    """What an error of the network means, and what to do about it."""
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        error = error.reason
    if isinstance(error, TimeoutError):
        return f"nothing came for {timeout:g} seconds", CHECK_NETWORK
    if isinstance(error, socket.gaierror):
        return "no server of that name was found", CHECK_NETWORK
    if isinstance(error, ConnectionRefusedError):
        return "the server refuses connections", CHECK_NETWORK
    if isinstance(error, ssl.SSLCertVerificationError):
        return (f"the server's certificate is not trusted ({error.verify_message})",
                "Check the address and this machine's date; SSL_CERT_FILE names further certificates to trust.")
    if isinstance(error, ssl.SSLError):
        return f"no secure connection came about ({error.reason or one_line(error)})", CHECK_NETWORK
    if isinstance(error, (ConnectionError, http.client.IncompleteRead)):
        return "the connection broke before everything had arrived", "Try again."
    if isinstance(error, http.client.HTTPException) and not isinstance(error, http.client.InvalidURL):
        return "the server's answer is not HTTP", CHECK_ADDRESS
    reason = (isinstance(error, OSError) and error.strerror) or one_line(error).rstrip(".")
    return reason[:1].lower() + reason[1:], CHECK_NETWORK


@contextlib.contextmanager
def _written_whole(destination: Path) -> Iterator[BinaryIO]:
    """A private file beside `destination` that takes its place when the block ends well, and goes when it does not."""
    _remove_abandoned(destination)
    part = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            # Renamed before its bytes are on the disk, a file can be empty after a power cut.
            os.fsync(file.fileno())
        os.replace(part, destination)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _remove_abandoned(destination: Path) -> None:
    for part in destination.parent.glob(f".{glob.escape(destination.name)}.*.part"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > ABANDONED_SECONDS:
                part.unlink()


def _failure(name: str, why: str, try_instead: str) -> DownloadError:
    return DownloadError(f"{name} could not be downloaded: {why}.", try_instead)


def _size(count: int) -> str:
    return f"{count:,} bytes" if count < 1_000_000 else f"{count / 1e6:,.1f} MB"


def _share(received: int, announced: int) -> str:
    if announced < 1_000_000:
        return f"{received:,} of {announced:,} bytes"
    return f"{received / 1e6:,.1f} of {announced / 1e6:,.1f} MB"
