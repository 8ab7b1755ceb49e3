"""Which Host and Origin headers are accepted, and what pages of other sites may read."""
from __future__ import annotations

import io

import pytest

from tests.serving.conftest import LIMITS, PREDICT
from tfpoets.cli import serve
from tfpoets.errors import OptionError
from tfpoets.inference import Classifier
from tfpoets.serving import AccessRules, InferencePool, create_app

EVIL = ["https://evil.example", "http://evil.example:8501", "null", "http://localhost.evil.example",
        "http://evil-localhost", "https://localhost", "http://localhost:8080",
        "file://", "http://127.0.0.1@evil.example", "", "x" * 5000]


@pytest.fixture(scope="module")
def make_client(classifier: Classifier):
    """A function that returns a client of a server with these rules."""
    def make(*origins: str, host: str = "127.0.0.1"):
        access = AccessRules(host, origins)
        return create_app(classifier, InferencePool(classifier, 1, LIMITS), "classifier", LIMITS, access).test_client()
    return make


def upload(client, photo: bytes, **headers: str) -> tuple[int, dict]:
    """Upload a photo in a form, as pages can without asking, and return the status and headers of the response."""
    response = client.post("/label", data={"file": (io.BytesIO(photo), "a.jpg")},
                           headers={"Host": "localhost:8501", **{name.replace("_", "-"): value
                                                                 for name, value in headers.items()}})
    assert response.status_code == 200 or list(response.json) == ["error"]
    return response.status_code, dict(response.headers)


@pytest.mark.parametrize("origin", EVIL)
def test_a_page_of_another_origin_is_refused(origin: str, make_client, photo: bytes) -> None:
    client = make_client()
    status, headers = upload(client, photo, Origin=origin)
    assert status == 403 and "Access-Control-Allow-Origin" not in headers
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    sent = {"Host": "localhost:8501", "Origin": origin}
    for response in (client.get("/v1/models/classifier", headers=sent), client.post(PREDICT, data=b"{}", headers=sent),
                     client.options("/label", headers={**sent, "Access-Control-Request-Method": "POST"})):
        assert response.status_code == 403 and "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("headers", [
    {}, {"Origin": "http://localhost:8501"}, {"Origin": "HTTP://LOCALHOST:8501"}, {"Sec_Fetch_Site": "same-origin"},
    {"Sec_Fetch_Site": "none"}, {"Host": "localhost", "Origin": "https://localhost"},
    {"Host": "localhost:443", "Origin": "https://localhost"}, {"Host": "[::1]:8501", "Origin": "http://[::1]:8501"}])
def test_programs_and_the_own_page_are_served(headers: dict[str, str], make_client, photo: bytes) -> None:
    assert upload(make_client(), photo, **headers)[0] == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_form_of_another_site_is_refused_even_without_origin_but_links_work(site: str, make_client, photo: bytes
                                                                              ) -> None:
    client = make_client()
    assert upload(client, photo, Sec_Fetch_Site=site)[0] == 403
    with client.get("/", headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}) as response:
        assert response.status_code == 200


def test_a_listed_origin_may_use_the_server_and_read_the_response(make_client, photo: bytes) -> None:
    client = make_client("https://Photos.Example:443/", "http://10.0.0.7:3000")
    for origin in ("https://photos.example", "http://10.0.0.7:3000"):
        status, headers = upload(client, photo, Origin=origin)
        assert (status, headers["Access-Control-Allow-Origin"]) == (200, origin) and "Origin" in headers["Vary"]
        asked = client.options(PREDICT, headers={"Origin": origin, "Access-Control-Request-Method": "POST",
                                                 "Access-Control-Request-Headers": "content-type"})
        assert asked.status_code == 200 and asked.headers["Access-Control-Allow-Origin"] == origin
        assert "POST" in asked.headers["Access-Control-Allow-Methods"]
        assert "Content-Type" in asked.headers["Access-Control-Allow-Headers"]
    for origin in ("http://photos.example", "https://photos.example:8443", "https://other.example", "http://10.0.0.7"):
        assert upload(client, photo, Origin=origin)[0] == 403
    assert upload(client, photo, Host="photos.example")[0] == 200


@pytest.mark.parametrize("host, allowed", [
    ("localhost", True), ("LOCALHOST:8501", True), ("127.0.0.1:1", True), ("127.0.0.2", True), ("[::1]:8501", True),
    ("app.localhost", True), ("localhost.:8501", True), ("evil.example", False), ("evil.example:8501", False),
    ("x", False), ("192.168.1.5", False), ("localhost.evil.example", False), ("127.0.0.1.evil.example", False),
    ("localhost, evil.example", False), ("evil.example/localhost", False), ("user@localhost", False), ("", False),
    ("localhost:99999999", False), ("[::1", False), ("a" * 10_000, False), ("\xff", False)])
def test_a_server_for_this_machine_is_only_known_under_its_names(host: str, allowed: bool, make_client) -> None:
    response = make_client().get("/v1/models/classifier", headers={"Host": host})
    assert (response.status_code == 200) == allowed and response.status_code in (200, 400, 403), response.status_code


@pytest.mark.parametrize("host, allowed", [
    ("192.168.1.5:8501", True), ("[2001:db8::1]", True), ("localhost", True), ("tfpoets:8501", True),
    ("nas.local", True), ("tfpoets.default.svc.cluster.local", True), ("evil.example", False),
    ("192.168.1.5.evil.example", False), ("evil.example:8501", False)])
def test_a_server_for_a_network_is_known_under_addresses_and_local_names(host: str, allowed: bool, make_client
                                                                         ) -> None:
    for address in ("0.0.0.0", "::", "192.168.1.5"):
        response = make_client(host=address).get("/v1/models/classifier", headers={"Host": host})
        assert response.status_code == (200 if allowed else 403)


def test_http_1_1_requires_a_host_and_http_1_0_does_not(make_client) -> None:
    for version, status in (("HTTP/1.1", 400), ("HTTP/1.0", 200)):
        client = make_client()
        response = client.get("/healthz", environ_overrides={"HTTP_HOST": None, "SERVER_PROTOCOL": version})
        assert response.status_code == status


@pytest.mark.parametrize("origin", ["example.org", "ftp://example.org", "https://", "https://example.org/path", "*",
                                    "", "https://*.example.org", "https://a b", "https://example.org:port", "null"])
def test_an_invalid_origin_is_an_invalid_option(origin: str, capsys) -> None:
    with pytest.raises(OptionError):
        AccessRules("127.0.0.1", (origin,))
    assert serve.main([f"--allow_origin={origin}"]) == 2
    assert "https://example.org" in capsys.readouterr().err
