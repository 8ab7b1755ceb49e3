"""The nginx configuration in docs/serving.md: TLS, a password, limits, and the page through the proxy."""
from __future__ import annotations

import base64
import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.serving.test_app import png

pytestmark = pytest.mark.slow
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "serving.md"
NAME = "photos.example.org"
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
MAIN = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log; {user}
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {site}
}}
"""


@dataclass
class Proxy:
    """nginx in front of a server: its ports on 127.0.0.1."""

    http_port: int
    https_port: int

    def send(self, method: str, path: str, body: bytes = b"", password: str = "secret", **headers: str
             ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Send a request over TLS; an empty password sends none."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", self.https_port, context=context, timeout=60)
        login = {"Authorization": f"Basic {base64.b64encode(f'me:{password}'.encode()).decode()}"} if password else {}
        try:
            connection.request(method, path, body, {"Host": NAME, **login, **headers})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


@pytest.fixture(scope="module")
def proxy(start_server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """The documented configuration, with other ports and paths."""
    if NGINX is None or shutil.which("openssl") is None:
        pytest.skip("needs nginx and openssl, which .ci/run installs")
    folder = tmp_path_factory.mktemp("nginx")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}",
                    "-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem"], check=True,
                   capture_output=True)
    password = subprocess.run(["openssl", "passwd", "-apr1", "secret"], check=True, capture_output=True, text=True)
    (folder / "tfpoets.htpasswd").write_text(f"me:{password.stdout}")
    site, = re.findall(r"```nginx\n(.+?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    option, = re.findall(r"scripts\.serve (--allow_origin=\S+)", DOCUMENT.read_text("utf-8"))[-1:]
    ports = Proxy(free_port(), free_port())
    with start_server(option) as running:
        for documented, actual in ((f"/etc/letsencrypt/live/{NAME}", str(folder)), ("/etc/nginx", str(folder)),
                                   ("listen 80;", f"listen 127.0.0.1:{ports.http_port};"),
                                   ("listen 443 ", f"listen 127.0.0.1:{ports.https_port} "),
                                   ("127.0.0.1:8501", f"127.0.0.1:{running.port}")):
            assert documented in site
            site = site.replace(documented, actual)
        user = "user root;" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(MAIN.format(folder=folder, user=user, site=site))
        command = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
        subprocess.run([*command, "-t"], check=True, capture_output=True)
        with subprocess.Popen(command) as process:
            try:
                wait_for(ports.https_port)
                yield ports
            finally:
                process.terminate()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
    pytest.fail("nginx did not start")


@pytest.fixture(autouse=True)
def _pause(proxy: Proxy) -> None:
    time.sleep(4)  # until the limit on requests is as at the start


def test_the_page_and_photos_need_tls_and_a_password(proxy: Proxy, photo: bytes) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.http_port)
    connection.request("GET", "/label?a=b", headers={"Host": NAME})
    response = connection.getresponse()
    assert (response.status, response.headers["Location"]) == (301, f"https://{NAME}/label?a=b")
    connection.close()
    assert proxy.send("GET", "/", password="")[0] == proxy.send("GET", "/", password="wrong")[0] == 401
    status, headers, content = proxy.send("GET", "/")
    assert status == 200 and b"/page/page.js" in content and headers["Strict-Transport-Security"]
    assert proxy.send("GET", "/healthz", password="")[0] == 200 and proxy.send("GET", "/metrics")[0] == 403


def test_photos_are_labelled_through_the_proxy_for_its_page_only(proxy: Proxy, photo: bytes) -> None:
    form = (b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n' + photo + b"\r\n--x--\r\n")
    content_type = {"Content-Type": "multipart/form-data; boundary=x"}
    status, _, content = proxy.send("POST", "/label", form, **content_type, Origin=f"https://{NAME}")
    assert status == 200 and b'"label":"red"' in content
    assert proxy.send("POST", "/label", form, **content_type, Origin="https://evil.example")[0] == 403


def test_large_bodies_are_accepted_up_to_the_limit(proxy: Proxy) -> None:
    photo = png(3000, 3000) + bytes(20 * 2 ** 20)
    form = (b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + photo + b"\r\n--x--\r\n")
    assert proxy.send("POST", "/label", form, **{"Content-Type": "multipart/form-data; boundary=x"})[0] == 200
    assert proxy.send("POST", "/label", bytes(33 * 2 ** 20))[0] == 413


def test_a_client_that_sends_too_many_requests_gets_429(proxy: Proxy) -> None:
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: proxy.send("GET", "/v1/models/classifier")[0], range(60)))
    assert set(statuses) == {200, 429} and statuses.count(200) >= 20
