"""Downloads from correct and from faulty servers."""
from __future__ import annotations

import hashlib
import itertools
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.download.local_server import body, pieces, redirect, serving, status
from tfpoets.download import download_file, fetch_bytes
from tfpoets.errors import DownloadError, TfpoetsError

CONTENT = bytes(range(256)) * 1000
LIMIT = 1_000_000


@pytest.fixture(autouse=True)
def clear_proxy_variables(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def failure(url: str, max_bytes: int = LIMIT, timeout: float = 5.0) -> str:
    """Return the message of the error that fetching `url` raises."""
    with pytest.raises(TfpoetsError) as caught:
        fetch_bytes(url, max_bytes, timeout)
    assert isinstance(caught.value, DownloadError)
    assert "\n" not in str(caught.value)
    assert caught.value.problem.endswith(".") and caught.value.remedy.endswith(".")
    return str(caught.value)


def test_fetching_returns_the_bytes_and_sends_a_user_agent():
    with serving({"/photo.png": body(CONTENT)}) as server:
        assert fetch_bytes(f"{server.url}/photo.png", LIMIT) == CONTENT
    assert server.requests[0][1]["User-Agent"].startswith("tfpoets")


def test_a_response_without_a_length_is_read_completely():
    with serving({"/photo.png": pieces([b"ab", b"cd"])}) as server:
        assert fetch_bytes(f"{server.url}/photo.png", LIMIT) == b"abcd"


def test_non_ascii_characters_and_spaces_in_a_url_are_escaped_and_escapes_are_kept():
    with serving({"/Bl%C3%BCte%20eins%20zwei.png?a=%C3%A4": body(b"x")}) as server:
        assert fetch_bytes(f"{server.url}/Blüte eins%20zwei.png?a=ä#top", LIMIT) == b"x"


def test_a_response_of_exactly_the_limit_is_accepted_and_a_larger_one_is_not():
    with serving({"/photo.png": body(bytes(100))}) as server:
        assert len(fetch_bytes(f"{server.url}/photo.png", 100)) == 100
        assert "larger than the 99 bytes" in failure(f"{server.url}/photo.png", max_bytes=99)


def test_an_endless_response_without_a_length_is_stopped_at_the_limit():
    with serving({"/photo.png": pieces(itertools.repeat(bytes(50_000)))}) as server:
        message = failure(f"{server.url}/photo.png", max_bytes=200_000)
    assert f"{server.url}/photo.png" in message and "larger than the 200,000 bytes" in message


@pytest.mark.parametrize("code, words", [(404, "no such file"), (410, "no such file"), (403, "does not allow it"),
                                         (401, "does not allow it"), (429, "too many requests"),
                                         (500, "an internal error"), (503, "an internal error"),
                                         (204, "status 204"), (304, "status 304")])
def test_an_error_status_is_explained_with_the_url(code, words):
    with serving({"/photo.png": status(code)}) as server:
        message = failure(f"{server.url}/photo.png")
    assert f"{server.url}/photo.png could not be downloaded" in message
    assert words in message and str(code) in message


def test_the_error_for_an_incomplete_body_states_how_much_arrived():
    with serving({"/photo.png": body(bytes(12), content_length=200)}) as server:
        assert "only 12 of 200 bytes arrived" in failure(f"{server.url}/photo.png")


def test_a_large_incomplete_body_is_measured_in_megabytes():
    with serving({"/photo.png": body(bytes(1_500_000), content_length=200_000_000)}) as server:
        assert "only 1.5 of 200.0 MB arrived" in failure(f"{server.url}/photo.png", max_bytes=300_000_000)


def test_a_length_above_the_limit_is_refused_before_the_body():
    with serving({"/photo.png": pieces([b"x"], pause=30, content_length=LIMIT + 1)}) as server:
        started = time.monotonic()
        assert "larger than" in failure(f"{server.url}/photo.png")
    assert time.monotonic() - started < 5


def test_an_incomplete_chunked_body_is_refused():
    def reply(handler):
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"5\r\nabcde\r\n64\r\nab")
        handler.close_connection = True

    with serving({"/photo.png": reply}) as server:
        assert "lost before everything had arrived" in failure(f"{server.url}/photo.png")


def test_redirects_are_followed_to_the_file():
    with serving({"/1": redirect("/2", 301), "/2": redirect("/3", 307), "/3": redirect("photo.png", 308),
                  "/photo.png": body(CONTENT)}) as server:
        assert fetch_bytes(f"{server.url}/1", LIMIT) == CONTENT


def test_five_redirects_are_followed_but_not_six():
    hops = {f"/{i}": redirect(f"/{i + 1}") for i in range(6)}
    with serving({**hops, "/6": body(b"x")}) as server:
        assert fetch_bytes(f"{server.url}/1", LIMIT) == b"x"
        assert "more than 5 times" in failure(f"{server.url}/0")


def test_a_redirect_loop_is_refused_at_its_first_repetition():
    with serving({"/a": redirect("/b"), "/b": redirect("/a")}) as server:
        assert "form a loop" in failure(f"{server.url}/a")
    assert [path for path, _ in server.requests] == ["/a", "/b"]


@pytest.mark.parametrize("location", ["file://{path}", "FILE:{path}", "ftp://127.0.0.1/secret", "data:,secret"])
def test_a_redirect_to_anything_but_http_is_refused(location, tmp_path):
    (tmp_path / "secret").write_text("secret")
    location = location.format(path=tmp_path / "secret")
    with serving({"/photo.png": redirect(location)}) as server:
        message = failure(f"{server.url}/photo.png")
    assert location.partition(":")[0].lower() in message.lower() and "neither an http nor an https" in message


def test_the_error_after_a_redirect_names_both_addresses():
    with serving({}) as other, serving({"/photo.png": redirect(f"{other.url}/gone.png")}) as server:
        message = failure(f"{server.url}/photo.png")
    assert f"{server.url}/photo.png" in message and f"redirected to {other.url.removeprefix('http://')}" in message


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/photo.png", "photo.png", "http://", "",
                                 "http://[::1/photo.png", "http://example.org:99999/photo.png", "http://a..b/c.png"])
def test_addresses_other_than_http_are_refused(url):
    assert url in failure(url)


def test_a_password_in_a_url_is_not_shown():
    assert "hunter2" not in failure("https://me:hunter2@example.org/photo.png")


def test_an_unknown_server_is_reported():
    assert "no server with that name" in failure("http://no-such-server.invalid/photo.png")


def test_a_refused_connection_is_reported():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert "refuses connections" in failure(f"http://127.0.0.1:{unused.getsockname()[1]}/photo.png")


def test_a_failed_tls_handshake_is_reported():
    with serving({}) as server:
        assert "no secure connection" in failure(server.url.replace("http:", "https:") + "/photo.png")


def test_a_response_that_is_not_http_is_reported():
    def reply(handler):
        handler.wfile.write(b"220 mail server ready\r\n")

    with serving({"/photo.png": reply}) as server:
        assert "not HTTP" in failure(f"{server.url}/photo.png")


def test_a_connection_closed_without_a_response_is_reported():
    with serving({"/photo.png": lambda handler: None}) as server:
        assert "connection was lost" in failure(f"{server.url}/photo.png")


@pytest.mark.parametrize("content_length", [None, 100])
def test_a_server_that_stops_sending_is_reported_after_the_timeout(content_length):
    with serving({"/photo.png": pieces([b"x", b"y"], pause=4, content_length=content_length)}) as server:
        started = time.monotonic()
        assert "nothing arrived for 0.2 seconds" in failure(f"{server.url}/photo.png", timeout=0.2)
    assert time.monotonic() - started < 3


def test_a_server_that_never_responds_is_reported_after_the_timeout():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert "nothing arrived" in failure(f"http://127.0.0.1:{silent.getsockname()[1]}/photo.png", timeout=0.2)


def test_a_server_that_sends_single_bytes_slowly_is_reported():
    with serving({"/photo.png": pieces([b"x"] * 100, pause=0.04, content_length=100)}) as server:
        started = time.monotonic()
        assert "became too slow" in failure(f"{server.url}/photo.png", timeout=0.5)
    assert time.monotonic() - started < 2


def test_a_slow_response_is_accepted_if_its_last_byte_has_arrived():
    # After the third byte the timeout has elapsed with three bytes, which would be a stall if more were to come.
    with serving({"/photo.png": pieces([b"x", b"y", b"z"], pause=0.4, content_length=3)}) as server:
        assert fetch_bytes(f"{server.url}/photo.png", LIMIT, timeout=0.7) == b"xyz"


def test_the_proxy_from_the_environment_is_used(monkeypatch):
    url = "http://photos.invalid/photo.png"
    with serving({url: body(CONTENT)}) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert fetch_bytes(url, LIMIT) == CONTENT


def download(server, destination: Path, **options) -> Path:
    return download_file(f"{server.url}/module.tgz", destination, description="Downloading", max_bytes=LIMIT,
                         **{"timeout": 5.0, **options})


def test_a_download_creates_its_folder_and_leaves_no_other_file(tmp_path):
    destination = tmp_path / "models" / "module.tgz"
    with serving({"/module.tgz": body(CONTENT)}) as server:
        assert download(server, destination, sha256=hashlib.sha256(CONTENT).hexdigest().upper()) == destination
    assert destination.read_bytes() == CONTENT
    assert os.listdir(destination.parent) == ["module.tgz"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_download_has_the_permissions_of_a_new_file(tmp_path):
    (tmp_path / "new").touch()
    with serving({"/module.tgz": body(CONTENT)}) as server:
        download(server, tmp_path / "module.tgz")
    assert (tmp_path / "module.tgz").stat().st_mode == (tmp_path / "new").stat().st_mode


@pytest.mark.parametrize("reply, options", [
    (body(CONTENT), {"sha256": "0" * 64}),
    (body(CONTENT), {"max_bytes": 1000}),
    (pieces([CONTENT] * 3), {"max_bytes": len(CONTENT) * 2}),
    (body(CONTENT, content_length=len(CONTENT) + 1), {}),
    (pieces([CONTENT, b"x"], pause=4), {"timeout": 0.2}),
    (status(404), {}),
], ids=["wrong hash", "too large", "too large without Content-Length", "cut short", "silent", "missing"])
def test_a_failed_download_leaves_the_old_file_and_no_other(reply, options, tmp_path):
    destination = tmp_path / "module.tgz"
    destination.write_bytes(b"old")
    with serving({"/module.tgz": reply}) as server, pytest.raises(TfpoetsError):
        download_file(f"{server.url}/module.tgz", destination,
                      **{"description": "Downloading", "max_bytes": LIMIT, "timeout": 5.0, **options})
    assert destination.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["module.tgz"]


def test_the_error_for_a_wrong_hash_names_both_hashes(tmp_path):
    with serving({"/module.tgz": body(CONTENT)}) as server, pytest.raises(TfpoetsError) as caught:
        download(server, tmp_path / "module.tgz", sha256="0" * 64)
    assert "0" * 64 in caught.value.problem and hashlib.sha256(CONTENT).hexdigest() in caught.value.problem


def test_a_file_that_cannot_be_written_raises_an_os_error(tmp_path):
    (tmp_path / "module.tgz").mkdir()
    with serving({"/module.tgz": body(CONTENT)}) as server, pytest.raises(OSError):
        download(server, tmp_path / "module.tgz")
    assert os.listdir(tmp_path) == ["module.tgz"]


def test_files_of_killed_downloads_are_deleted_but_not_those_of_running_ones(tmp_path):
    killed, running = tmp_path / ".module.tgz.0123.part", tmp_path / ".module.tgz.4567.part"
    for part in (killed, running):
        part.write_bytes(b"x")
    os.utime(killed, (time.time() - 7200,) * 2)
    with serving({"/module.tgz": body(CONTENT)}) as server:
        download(server, tmp_path / "module.tgz")
    assert sorted(os.listdir(tmp_path)) == [running.name, "module.tgz"]


def test_a_killed_download_leaves_no_file_at_the_destination(tmp_path):
    program = ("import sys; from pathlib import Path; from tfpoets.download import download_file; "
               "download_file(sys.argv[1], Path(sys.argv[2]), description='', max_bytes=10**6)")
    with serving({"/module.tgz": pieces([CONTENT, b"x"], pause=20, content_length=len(CONTENT) + 1)}) as server:
        process = subprocess.Popen([sys.executable, "-c", program, f"{server.url}/module.tgz",
                                    str(tmp_path / "module.tgz")])
        try:
            wait_until(lambda: any(tmp_path.iterdir()))
        finally:
            process.kill()
            process.wait()
    assert not (tmp_path / "module.tgz").exists()


def wait_until(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
