"""Requests with Content-Encoding."""
from __future__ import annotations

import base64
import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from tests.serving.conftest import LIMITS, PREDICT


@pytest.mark.parametrize("encoding, compress", [
    ("gzip", gzip.compress), ("GZIP", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress),
    ("identity", bytes)])
def test_compressed_requests_get_the_same_predictions(client, photo: bytes, encoding: str,
                                                      compress: Callable[[bytes], bytes]) -> None:
    body = json.dumps({"instances": [{"b64": base64.b64encode(photo).decode()}]}).encode()
    headers = {"Content-Encoding": encoding}
    response = client.post(PREDICT, data=compress(body), headers=headers)
    assert response.status_code == 200 and response.json == client.post(PREDICT, data=body).json
    form = (b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n' + photo + b"\r\n--x--\r\n")
    response = client.post("/label", data=compress(form), headers=headers,
                           content_type="multipart/form-data; boundary=x")
    assert response.json["results"][0]["labels"][0]["label"] == "red"


def test_decompression_stops_at_the_limit_of_a_request(client) -> None:
    bomb = gzip.compress(b" " * (30 * LIMITS.request_bytes))
    assert len(bomb) < LIMITS.request_bytes
    tracemalloc.start()
    response = client.post(PREDICT, data=bomb, headers={"Content-Encoding": "gzip"})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (response.status_code, response.json) == (413, {"error": "The request is too large."})
    assert peak < 10 * LIMITS.request_bytes
    largest = gzip.compress(b" " * LIMITS.request_bytes)
    response = client.post(PREDICT, data=largest, headers={"Content-Encoding": "gzip"})
    assert response.status_code == 400 and "not valid JSON" in response.json["error"]


@pytest.mark.parametrize("body", [b"", b"{}", gzip.compress(b"{}")[:-1], gzip.compress(b"{}") + b"{}"],
                         ids=["nothing", "uncompressed", "cut off", "continued"])
def test_a_body_that_is_not_gzip_gets_a_clear_error(client, body: bytes) -> None:
    response = client.post(PREDICT, data=body, headers={"Content-Encoding": "gzip"})
    assert (response.status_code, response.json) == (400, {"error": "The body of the request is not valid gzip."})


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress"])
def test_the_error_for_other_encodings_lists_the_supported_ones(client, encoding: str) -> None:
    response = client.post(PREDICT, data=b"{}", headers={"Content-Encoding": encoding})
    assert response.status_code == 415 and response.headers["Accept-Encoding"] == "gzip, x-gzip, deflate"
    assert "Use gzip or deflate" in response.json["error"] and "default-src" in str(response.headers)
