"""Servers that never finish, redirect to other places, or send nonsense: each costs one error, within the deadline."""
from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.download.local_server import body, redirect, serving
from tests.download.test_download import clear_proxy_variables  # noqa: F401 - a fixture
from tfpoets.cli import label_image
from tfpoets.download import download_file, fetch_bytes
from tfpoets.errors import DownloadError

OK = b"HTTP/1.1 200 OK\r\n"
SECONDS = 0.4


def raw(parts: Iterable[bytes], pause: float = 0.0) -> Callable[[BaseHTTPRequestHandler], None]:
    """Return a reply of exactly these bytes, with a pause after each part."""
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        for part in parts:
            handler.wfile.write(part)
            handler.wfile.flush()
            if pause:
                threading.Event().wait(pause)
    return reply


def slowly(content: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    return raw((bytes((byte,)) for byte in content), pause=0.05)


ENDLESS = {
    "status line of single bytes": slowly(b"HTTP/1.1 200 OK" + b" " * 1000),
    "header of single bytes": slowly(OK + b"X-Long: " + b"a" * 1000),
    "body of single bytes": slowly(OK + b"\r\n" + b"a" * 1000),
    "body of single bytes with a length": slowly(OK + b"Content-Length: 1000\r\n\r\n" + b"a" * 1000),
    "100 Continue": raw(itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n")),
    "100 Continue, slowly": raw(itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n"), pause=0.05),
    "chunks of single bytes": raw(itertools.chain([OK + b"Transfer-Encoding: chunked\r\n\r\n"],
                                                  itertools.repeat(b"1\r\na\r\n")), pause=0.05),
    "trailers": raw(itertools.chain([OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"], itertools.repeat(b"X: y\r\n"))),
}


@pytest.mark.parametrize("reply", ENDLESS.values(), ids=ENDLESS)
def test_an_endless_response_ends_at_the_deadline(reply) -> None:
    with serving({"/photo.jpg": reply}) as server:
        start = time.monotonic()
        with pytest.raises(DownloadError, match=f"did not arrive within {SECONDS} seconds"):
            fetch_bytes(f"{server.url}/photo.jpg", 10 ** 6, deadline=SECONDS)
        assert time.monotonic() - start < SECONDS + 1


def test_the_deadline_includes_slow_redirects() -> None:
    def slow_redirect(location: str) -> Callable[[BaseHTTPRequestHandler], None]:
        return raw([b"HTTP/1.1 302 Found\r\n", f"Location: {location}\r\n\r\n".encode()], pause=0.15)
    with serving({f"/{number}": slow_redirect(f"/{number + 1}") for number in range(6)}) as server:
        with pytest.raises(DownloadError, match="did not arrive within"):
            fetch_bytes(f"{server.url}/0", 10 ** 6, deadline=SECONDS)


def test_a_module_that_does_not_begin_to_arrive_is_given_up(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tfpoets.download.download.HEADER_SECONDS", SECONDS)
    with serving({"/module.tgz": ENDLESS["100 Continue"]}) as server:
        with pytest.raises(DownloadError, match="did not arrive within"):
            download_file(f"{server.url}/module.tgz", tmp_path / "module.tgz", description="", max_bytes=10 ** 6)


def test_a_slow_module_may_take_longer_than_a_photo(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tfpoets.download.download.HEADER_SECONDS", 0.3)
    slow = raw([OK + b"Content-Length: 60000\r\n\r\n", *[b"a" * 10_000] * 6], pause=0.1)
    with serving({"/module.tgz": slow}) as server:
        download_file(f"{server.url}/module.tgz", tmp_path / "module.tgz", description="", max_bytes=10 ** 6)
    assert (tmp_path / "module.tgz").stat().st_size == 60_000


NONSENSE = {
    "huge header": raw([OK + b"X: " + b"a" * 200_000 + b"\r\n\r\n"]),
    "many headers": raw([OK, b"X: y\r\n" * 10_000, b"\r\n"]),
    "huge status": raw([b"HTTP/1.1 " + b"2" * 100_000]),
    "chunk size": raw([OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"]),
    "negative chunk": raw([OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nabcde\r\n0\r\n\r\n"]),
    "huge chunk": raw([OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 5000 + b"\r\n"]),
    "huge length": raw([OK + b"Content-Length: " + b"9" * 4000 + b"\r\n\r\n"]),
    "gopher": redirect("gopher://127.0.0.1:70/1"), "javascript": redirect("javascript:alert(1)"),
    "brackets": redirect("http://[::1"), "zone": redirect("http://[fe80::1%25eth0]:1/"),
    "port": redirect("http://127.0.0.1:99999999999/"), "no host": redirect("http:///"),
    "label": redirect(f"http://{'a' * 70}.example/"), "dots": redirect("http://../"),
    "control characters": redirect("http://127.0.0.1:1/\x01\x1b[2J"), "space": redirect("http://a b/"),
    "password": redirect("http://me:secret@127.0.0.1/"), "latin": redirect("http://\xff\xfe/"),
    "long": redirect("http://127.0.0.1:1/" + "a" * 60_000), "long scheme": redirect("x" * 60_000 + ":"),
}


@pytest.mark.parametrize("reply", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_raises_a_download_error_with_a_short_message(reply) -> None:
    with serving({"/photo.jpg": reply}) as server, pytest.raises(DownloadError) as caught:
        fetch_bytes(f"{server.url}/photo.jpg", 10 ** 6, timeout=1, deadline=5)
    assert len(str(caught.value)) < 600 and "\n" not in str(caught.value) and "secret" not in str(caught.value)


PRIVATE = ["127.0.0.1:{port}", "localhost:{port}", "[::1]:{port}", "[::ffff:127.0.0.1]:{port}", "0.0.0.0:{port}",
           "2130706433:{port}", "0x7f.1:{port}", "127%2e0.0.1:{port}", "a.localhost:{port}", "printer:{port}",
           "10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "[fe80::1]", "[fd00::1]", "printer.local"]


@pytest.mark.parametrize("host", PRIVATE)
@pytest.mark.parametrize("bypassed", ["", "127.0.0.1,localhost,::1,0.0.0.0,::ffff:127.0.0.1,2130706433,0x7f.1"])
def test_a_public_server_must_not_redirect_to_a_private_address(host: str, bypassed: str, monkeypatch) -> None:
    with serving({"/secret": body(b"secret")}) as private:
        target = f"http://{host.format(port=private.url.rpartition(':')[2])}/secret"
        # A proxy stands for the public server, and is bypassed for some of the private addresses.
        with serving({"http://photos.example/photo.jpg": redirect(target), target: body(b"secret")}) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            monkeypatch.setenv("no_proxy", bypassed)
            with pytest.raises(DownloadError) as caught:
                fetch_bytes("http://photos.example/photo.jpg", 10 ** 6, timeout=1, deadline=2)
            assert [path for path, _ in proxy.requests] == ["http://photos.example/photo.jpg"]
        assert not private.requests
    # Not every system resolves names below localhost.
    assert "private network" in str(caught.value) or host.startswith("a.") and "no server" in str(caught.value)


def test_a_public_server_may_redirect_to_another(monkeypatch) -> None:
    target = "http://cdn.example/photo.jpg"
    with serving({"http://photos.example/photo.jpg": redirect(target), target: body(b"photo")}) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert fetch_bytes("http://photos.example/photo.jpg", 10 ** 6) == b"photo"


def test_a_redirect_over_a_public_server_does_not_come_back(monkeypatch) -> None:
    """A server on this machine may redirect anywhere, but a public one to which it redirects may not."""
    public = "http://photos.example/photo.jpg"
    with serving({"/secret": body(b"secret"), "/photo.jpg": redirect(public)}) as local:
        with serving({public: redirect(f"{local.url}/secret")}) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            with pytest.raises(DownloadError, match="private network"):
                fetch_bytes(f"{local.url}/photo.jpg", 10 ** 6)
    assert [path for path, _ in local.requests] == ["/photo.jpg"]


def test_one_bad_address_costs_one_line_and_the_others_are_labelled(retrained: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("tfpoets.download.fetch_bytes",
                        lambda url, max_bytes: fetch_bytes(url, max_bytes, timeout=1, deadline=2))
    photo = (retrained / "photos" / "red" / "003.jpg").read_bytes()
    hostile = {f"/{name.replace(' ', '_')}": reply for name, reply in NONSENSE.items()}
    with serving({"/good.jpg": body(photo), "/slow": ENDLESS["100 Continue, slowly"], **hostile}) as server:
        paths = [*hostile, "/good.jpg", "/slow", "/good.jpg"]
        graph = retrained / "tf_files" / "retrained_graph.tflite"
        assert label_image.main([f"--graph={graph}", *(f"--image={server.url}{path}" for path in paths)]) == 1
    output = capsys.readouterr()
    assert output.out.count("/good.jpg") == 2 and output.out.count("  red (score=") == 2
    assert len(output.err.splitlines()) == len(paths) - 2
    assert all(line.startswith(f"{server.url}{path}: ")
               for line, path in zip(output.err.splitlines(), [*hostile, "/slow"]))


def test_a_photo_that_can_be_downloaded_only_once_is_labelled_but_not_sorted(retrained: Path, capsys, tmp_path: Path
                                                                             ) -> None:
    replies = iter([body((retrained / "photos" / "red" / "003.jpg").read_bytes())])
    photo = retrained / "photos" / "blue" / "003.jpg"
    with serving({"/once.jpg": lambda handler: next(replies, raw([]))(handler)}) as server:
        graph = retrained / "tf_files" / "retrained_graph.tflite"
        assert label_image.main([f"--graph={graph}", f"--image={server.url}/once.jpg", f"--image={photo}",
                                 f"--sort_into={tmp_path / 'sorted'}"]) == 1
    output = capsys.readouterr()
    assert "red (score=" in output.out and "/once.jpg is not copied: " in output.err
    assert [path.name for path in (tmp_path / "sorted").rglob("*.jpg")] == ["003.jpg"]
