"""The requests of `requests.py`: functions that make good requests, and functions that make hostile ones."""
from __future__ import annotations

import base64
import gzip
import json
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

PREDICT = "/v1/models/classifier:predict"
TEXTS = ("", "\x1b[31m", "\u202e", "a\nb", "'\"<script>", "../../etc/passwd", "%00", "=1+1", "ü🌻", "x" * 3000, "null")
VALUES: tuple[Any, ...] = (None, True, -1, 0, 1e308, 10 ** 30, "", "AAAA", [], {}, [[]], {"b64": "?"}, {"b64": None},
                           {"b64": ["AAAA"]}, {"image": 1}, {"image_bytes": {"b64": "AA=="}}, float("nan"))


@dataclass(frozen=True)
class Request:
    """The bytes of a request.

    Attributes:
        content: The bytes.
        may_succeed: Whether status 200 is a right answer.
        may_be_dropped: Whether the server may close the connection without an answer.
        closes: Whether the client closes its end of the connection after sending.
        is_head: Whether the response has no body.
    """

    content: bytes
    may_succeed: bool = False
    may_be_dropped: bool = False
    closes: bool = False
    is_head: bool = False


def request_bytes(path: str, body: bytes = b"", method: str = "POST", host: str = "localhost", **headers: str
                  ) -> bytes:
    """Return a request of HTTP/1.1."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}", "Connection: close",
             *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


def form(photo: bytes, filename: str = "a.jpg", **fields: str) -> bytes:
    """Return a form with the boundary x."""
    parts = [f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
             for name, value in fields.items()]
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n'
    return "".join([*parts, head]).encode() + photo + b"\r\n--x--\r\n"


def multipart(body: bytes, boundary: str = "x", **headers: str) -> bytes:
    """Return a request with a form."""
    return request_bytes("/label", body, Content_Type=f"multipart/form-data; boundary={boundary}", **headers)


def predict(value: Any) -> bytes:
    """Return a predict request."""
    return request_bytes(PREDICT, json.dumps(value).encode())


def instances(content: list[Any]) -> list[Any]:
    """Return the instances for arrays, or for files in base64."""
    return [{"b64": item} if isinstance(item, str) else item for item in content]


# Functions that take the arrays or the base64 of photos, and the photos.
GOOD: tuple[tuple[str, Callable[[list[Any], list[bytes]], Request]], ...] = (
    ("base64", lambda content, _: Request(predict({"instances": instances(content)}))),
    ("arrays", lambda content, _: Request(predict({"instances": content}))),
    ("named", lambda content, _: Request(predict({"instances": [{"image_bytes": item} for item in instances(content)],
                                                  "signature_name": "predict_bytes"}))),
    ("gzip", lambda content, _: Request(request_bytes(
        PREDICT, gzip.compress(json.dumps({"instances": instances(content)}).encode()), Content_Encoding="gzip"))),
    ("form", lambda _, photos: Request(multipart(b"".join([form(photo)[:-7] for photo in photos]) + b"--x--\r\n"))),
)


def mutate(rng: random.Random, content: bytes) -> bytes:
    """Change, remove, repeat or insert a few bytes."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 3, 10))):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.choice((1, 1, 2, 8, 100)))
        data[start:end] = rng.choice((b"", rng.randbytes(end - start), data[start:end] * 2, rng.randbytes(3)))
    return bytes(data)


def mutated_json(rng: random.Random, photo: bytes) -> Request:
    """Return a predict request with a mutated body."""
    body = json.dumps({"instances": [{"b64": base64.b64encode(photo).decode()}]}).encode()
    return Request(request_bytes(PREDICT, mutate(rng, body)), may_succeed=True)


def odd_json(rng: random.Random, photo: bytes) -> Request:
    """Return a predict request with values of other types."""
    value = rng.choice(VALUES)
    body = rng.choice(({"instances": value}, {"instances": [value]}, {"inputs": value}, value,
                       {"inputs": {"image": value}}, {"instances": [{"b64": "AAAA"}, value]},
                       {"instances": [value], "signature_name": value},
                       {"instances": [[[value] * 3]]}, {rng.choice(TEXTS): value}))
    return Request(predict(body))


def large_json(rng: random.Random, photo: bytes) -> Request:
    """Return a predict request with very many or very deep values."""
    value, count = rng.choice(((b"[", 50_000), (b"[],", 500_000), (b"{},", 50_000), (b"1.5,", 300_000),
                               (b'"a",', 300_000), (b'{"a":', 5_000), (b"1", 100_000), (b" ", 3_000_000)))
    return Request(request_bytes(PREDICT, b'{"instances": [' + value * count))


def mutated_photo(rng: random.Random, photo: bytes) -> Request:
    """Return a form with a damaged photo."""
    return Request(multipart(form(mutate(rng, photo), top_k=rng.choice(("1", "3", "1000000")))), may_succeed=True)


def odd_form(rng: random.Random, photo: bytes) -> Request:
    """Return a form with odd names, numbers, boundaries or types, or without an end."""
    text = rng.choice(TEXTS).replace('"', "")
    body = rng.choice((form(photo, text), form(photo, top_k=text), form(photo)[:-rng.randrange(1, 30)],
                       form(photo).replace(b"form-data", b"x"), b"", form(photo) * 70, mutate(rng, form(photo[:500]))))
    boundary = rng.choice(("x", "x", "x", "y", "", '"', "x" * 500))
    return Request(multipart(body, boundary), may_succeed=True)


def odd_path(rng: random.Random, photo: bytes) -> Request:
    """Return a path or method that does not exist."""
    path = rng.choice(("/", "/v1/models/classifier", PREDICT, "/label", "/page/page.js")) + rng.choice((
        "/..", "/../../../../etc/passwd", "%2e%2e/", "%00", "//", "/x" * 2000, ";a", "?a=%ff", "%0d%0aX:y", ":x",
        "%1b"))
    method = rng.choice(("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "CONNECT", "get", "X" * 100))
    return Request(request_bytes(path, method=method), may_succeed=True, is_head=method == "HEAD")


def foreign_site(rng: random.Random, photo: bytes) -> Request:
    """Return a request of another site's page, or to another host."""
    origin = rng.choice(("https://evil.example", "null", "http://localhost.evil.example", "http://127.0.0.1:1"))
    host = rng.choice(("evil.example", "x", "localhost@evil.example", "[::1", "a" * 3000, "localhost, b", "\x01"))
    return Request(rng.choice((multipart(form(photo), Origin=origin), request_bytes(PREDICT, b"{}", Origin=origin),
                               multipart(form(photo), Sec_Fetch_Site="cross-site"),
                               request_bytes("/v1/models/classifier", method="GET", host=host))))


def odd_header(rng: random.Random, photo: bytes) -> Request:
    """Return a header that is too large, malformed or contradictory."""
    extra = rng.choice(("X: " + "a" * 40_000, "X" * 40_000, "X : y", ": y", "X\x00: y", " folded", "Content-Length: 5",
                        "Content-Length: -1", "Content-Length: 99999999999999", "Transfer-Encoding: gzip", "Expect: 1",
                        "Transfer-Encoding: chunked, chunked", "Content-Encoding: br", "Content-Encoding: gzip",
                        "Content-Type: multipart/form-data", "Content-Type: \x1b", "Upgrade: h2c",
                        "Cookie: " + "a=b;" * 500))
    path = rng.choice(("/label", PREDICT))
    content = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{extra}\r\n\r\n".encode("latin-1")
    return Request(content + rng.choice((b"", b"{}", b"0\r\n\r\n")), may_be_dropped=True, closes=True)


def compressed(rng: random.Random, photo: bytes) -> Request:
    """Return a compressed body that is damaged, or that expands to very much."""
    body = rng.choice((gzip.compress(bytes(40 * 2 ** 20), 1), zlib.compress(b"[" * 10 ** 6), gzip.compress(photo)[:-9],
                       mutate(rng, gzip.compress(b'{"instances": []}')), gzip.compress(gzip.compress(b"{}"))))
    return Request(request_bytes(PREDICT, body, Content_Encoding=rng.choice(("gzip", "deflate"))))


def chunked(rng: random.Random, photo: bytes) -> Request:
    """Return a body in chunks, some of them malformed."""
    body = rng.choice((b"5\r\nabcde\r\n0\r\n\r\n", b"-1\r\n", b"zz\r\n", b"ffffffffffff\r\n", b"5\r\nabc",
                       b"1;a=b\r\na\r\n0\r\nX: y\r\n\r\n", b"1\r\nab\r\n", b"f" * 500 + b"\r\n",
                       b"0x5\r\nabcde\r\n0\r\n\r\n"))
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return Request(head + body, may_be_dropped=True, closes=True)


def noise(rng: random.Random, photo: bytes) -> Request:
    """Return bytes that are hardly a request."""
    content = rng.choice((rng.randbytes(200), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET /\r\n\r\n", b"\r\n" * 50,
                          b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"",
                          b"GET http://a/ HTTP/1.1\r\n\r\n", mutate(rng, request_bytes("/healthz", method="GET"))))
    return Request(content, may_succeed=True, may_be_dropped=True, closes=True)


def cut_off(rng: random.Random, photo: bytes) -> Request:
    """Return a good request that ends too early."""
    content = multipart(form(photo))
    return Request(content[:rng.randrange(len(content))], may_be_dropped=True, closes=True)


HOSTILE: tuple[tuple[str, Callable[[random.Random, bytes], Request]], ...] = tuple(
    (function.__name__, function) for function in (
        mutated_json, odd_json, large_json, mutated_photo, odd_form, odd_path, foreign_site, odd_header, compressed,
        chunked, noise, cut_off))
