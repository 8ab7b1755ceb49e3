"""Modules from addresses and archives are downloaded only once and completely, or an error is raised."""
from __future__ import annotations

import hashlib
import io
import re
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import save_module
from tests.download.local_server import Reply, body, pieces, redirect, serving, status
from tfpoets.errors import TfpoetsError
from tfpoets.extractors import hub, open_extractor

PATH = "/google/tiny_32/feature_vector/5"
QUERY = "?tf-hub-format=compressed"


@pytest.fixture(autouse=True)
def isolated_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY",
                 "NO_PROXY", "TFHUB_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(hub, "TIMEOUT_SECONDS", 0.5)


@pytest.fixture(scope="module")
def packed(tiny_module: Path) -> bytes:
    """The tiny module, packed as TF Hub serves it."""
    return pack(tiny_module)


def pack(module: Path, top: str = ".") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        archive.add(module, arcname=top)
    return file.getvalue()


def cut_off(content: bytes) -> Reply:
    """Send half of the content, then reset the connection, like a server that is killed."""
    def reply(handler) -> None:
        body(content[:len(content) // 2], content_length=len(content))(handler)
        handler.wfile.flush()
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
    return reply


def stalling(content: bytes) -> Reply:
    return pieces([content[:1000], b""], pause=3, content_length=len(content))


def test_an_address_is_downloaded_once_with_tf_hubs_protocol(tmp_path: Path, packed: bytes, tiny_module: Path,
                                                             model_dir: Path) -> None:
    with serving({PATH + QUERY: redirect("/bucket/5.tar.gz"), "/bucket/5.tar.gz": body(packed)}) as server:
        extractor = open_extractor(server.url + PATH, model_dir=tmp_path)
        assert open_extractor(server.url + PATH, model_dir=tmp_path) == extractor
        assert [path for path, _ in server.requests] == [PATH + QUERY, "/bucket/5.tar.gz"]
    assert open_extractor(server.url + PATH, model_dir=tmp_path) == extractor  # without a server
    assert open_extractor(server.url + PATH, model_dir=tmp_path, offline=True) == extractor
    assert extractor.digest == open_extractor(str(tiny_module), model_dir=model_dir).digest


@pytest.mark.parametrize("fault, sentence", [
    (lambda content: body(content[:-50], content_length=len(content)), r"only [\d,]+ of [\d,]+ bytes arrived"),
    (lambda content: pieces([content[:-50]]), "damaged or cut short"),
    (stalling, "nothing arrived for 0.5 seconds"),
    (lambda content: redirect(PATH + QUERY), "form a loop"),
    (lambda content: status(404), r"no such file \(404\)"),
    (lambda content: status(403), r"does not allow it \(403\)"),
    (lambda content: body(b"<!doctype html><html>Sign in</html>"),
     "returns a web page or some other file, not a module"),
    (lambda content: body(b""), "returns a web page or some other file, not a module"),
    (cut_off, "connection was lost|bytes arrived"),
], ids=["truncated", "truncated, no length", "stalled", "redirect loop", "404", "403", "web page", "empty",
        "killed"])
def test_a_server_error_names_the_server_and_a_remedy_and_the_next_run_succeeds(
        tmp_path: Path, packed: bytes, fault, sentence: str) -> None:
    replies = {PATH + QUERY: fault(packed)}
    with serving(replies) as server:
        with pytest.raises(TfpoetsError, match=sentence) as caught:
            open_extractor(server.url + PATH, model_dir=tmp_path)
        assert server.url in str(caught.value) and "efficientnet_lite0 needs no download" in str(caught.value)
        folder = hub.download_folder(server.url + PATH, tmp_path)
        archive = folder.with_name(f"{folder.name}.tar.gz")
        assert f"save its .tar.gz as {archive}" in str(caught.value)
        assert [path.name for path in (tmp_path / "downloads").iterdir() if path.suffix != ".lock"] == []
        replies[PATH + QUERY] = body(packed)
        assert open_extractor(server.url + PATH, model_dir=tmp_path).depth == 24


def test_a_manually_downloaded_archive_is_used_offline_or_without_a_server(tmp_path: Path, packed: bytes) -> None:
    with serving({}) as server:
        address = server.url + PATH
    with pytest.raises(TfpoetsError, match="refuses connections"):
        open_extractor(address, model_dir=tmp_path)
    with pytest.raises(TfpoetsError, match="`offline` forbids") as caught:
        open_extractor(address, model_dir=tmp_path, offline=True)
    archive = Path(str(caught.value).split("save its .tar.gz as ")[1].split(", or")[0])
    archive.write_bytes(packed)
    assert open_extractor(address, model_dir=tmp_path, offline=True).depth == 24


def test_a_download_that_has_been_damaged_is_downloaded_again(tmp_path: Path, packed: bytes) -> None:
    with serving({PATH + QUERY: body(packed)}) as server:
        extractor = open_extractor(server.url + PATH, model_dir=tmp_path)
        folder = hub.download_folder(server.url + PATH, tmp_path)
        for damaged in ("variables/variables.data-00000-of-00001", "saved_model.pb"):
            (folder / damaged).write_bytes(b"\0" * (folder / damaged).stat().st_size)
            assert open_extractor(server.url + PATH, model_dir=tmp_path) == extractor
        (folder / "variables/variables.index").unlink()
        assert open_extractor(server.url + PATH, model_dir=tmp_path) == extractor
        assert len(server.requests) == 4


def test_two_processes_download_a_module_once(tmp_path: Path, packed: bytes) -> None:
    slow_reply = pieces([packed[start:start + 500] for start in range(0, len(packed), 500)], pause=0.02,
                        content_length=len(packed))
    code = ("import sys; from pathlib import Path; from tfpoets.extractors import hub; "
            "print(hub.fetch_module(sys.argv[1], Path(sys.argv[2])))")
    with serving({PATH + QUERY: slow_reply}) as server:
        processes = [subprocess.Popen([sys.executable, "-c", code, server.url + PATH, str(tmp_path)],
                                      stdout=subprocess.PIPE, text=True) for _ in range(2)]
        folders = {process.communicate(timeout=60)[0] for process in processes}
        assert [process.returncode for process in processes] == [0, 0] and len(folders) == 1
        assert len(server.requests) == 1


def test_a_killed_download_leaves_no_partial_module_and_no_lock(tmp_path: Path, packed: bytes) -> None:
    code = ("import sys; from pathlib import Path; from tfpoets.extractors import hub; "
            "hub.fetch_module(sys.argv[1], Path(sys.argv[2]))")
    replies = {PATH + QUERY: stalling(packed)}
    with serving(replies) as server:
        process = subprocess.Popen([sys.executable, "-c", code, server.url + PATH, str(tmp_path)])
        while not server.requests:
            time.sleep(0.02)
        process.kill()
        process.wait()
        replies[PATH + QUERY] = body(packed)
        assert hub.fetch_module(server.url + PATH, tmp_path) == hub.download_folder(server.url + PATH, tmp_path)


def test_the_module_in_an_archive_may_be_in_a_folder(tmp_path: Path, tiny_module: Path, model_dir: Path) -> None:
    expected = open_extractor(str(tiny_module), model_dir=model_dir).digest
    for name, top in (("flat.tar.gz", "."), ("nested.tgz", "my_module")):
        (tmp_path / name).write_bytes(pack(tiny_module, top))
        extractor = open_extractor(str(tmp_path / name), model_dir=tmp_path / "models")
        assert extractor.digest == expected and extractor.name == name.split(".")[0]


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("hello")
    (tmp_path / "other.tar.gz").write_bytes(pack(tmp_path / "other"))
    with pytest.raises(TfpoetsError, match=r"saved_model.pb is missing \(the folder contains download.json, notes"):
        open_extractor(str(tmp_path / "other.tar.gz"), model_dir=tmp_path / "models")


def test_similar_addresses_are_different_modules(tmp_path: Path, packed: bytes) -> None:
    other = pack(save_module(tmp_path / "other", depth=7))
    with serving({"/m/a_b/1" + QUERY: body(packed), "/m/a/b/1" + QUERY: body(other)}) as server:
        depths = [open_extractor(server.url + path, model_dir=tmp_path / "models").depth
                  for path in ("/m/a_b/1", "/m/a/b/1")]
    assert depths == [24, 7]


def test_a_download_that_was_packed_again_can_be_unpacked(tmp_path: Path, packed: bytes) -> None:
    with serving({PATH + QUERY: body(packed)}) as server:
        folder = hub.fetch_module(server.url + PATH, tmp_path / "models")
    (tmp_path / "again.tar.gz").write_bytes(pack(folder, "again"))
    unpacked = hub.unpack_module(tmp_path / "again.tar.gz", tmp_path / "models")
    (unpacked / "mark").touch()  # deleted if the archive is unpacked again
    assert hub.unpack_module(tmp_path / "again.tar.gz", tmp_path / "models") == unpacked
    assert (unpacked / "mark").exists()


def test_a_folder_of_the_user_is_never_deleted(tmp_path: Path, packed: bytes) -> None:
    with serving({PATH + QUERY: body(packed)}) as server:
        folder = hub.download_folder(server.url + PATH, tmp_path)
        (folder / "my_module").mkdir(parents=True)
        (folder / "my_module" / "notes.txt").write_text("mine")
        with pytest.raises(TfpoetsError, match="was not created by this program, and it contains no saved_model.pb"):
            hub.fetch_module(server.url + PATH, tmp_path)
    assert (folder / "my_module" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("manifest", ['{"files": []}', "null", '"text"', '{"files": {}}', "{", '{"files": {"a": 3}}'])
def test_a_module_with_a_damaged_manifest_is_downloaded_again(tmp_path: Path, packed: bytes, manifest: str) -> None:
    with serving({PATH + QUERY: body(packed)}) as server:
        folder = hub.fetch_module(server.url + PATH, tmp_path)
        (folder / hub.MANIFEST).write_text(manifest)
        assert hub.fetch_module(server.url + PATH, tmp_path) == folder
        assert len(server.requests) == 2


def test_the_error_names_a_damaged_archive_that_was_downloaded_manually(tmp_path: Path, packed: bytes) -> None:
    address = "http://127.0.0.1:9" + PATH
    folder = hub.download_folder(address, tmp_path)
    archive = folder.with_name(f"{folder.name}.tar.gz")
    archive.parent.mkdir()
    archive.write_bytes(packed[:-100])
    with pytest.raises(TfpoetsError, match=f"^{re.escape(str(archive))} is damaged or cut short"):
        hub.fetch_module(address, tmp_path)


@pytest.mark.parametrize("handle", ["https://", "http:///path"])
def test_an_address_without_a_server_is_refused(tmp_path: Path, handle: str) -> None:
    with pytest.raises(TfpoetsError, match="is not the address of a module"):
        open_extractor(handle, model_dir=tmp_path)


def test_modules_in_the_tensorflow_hub_cache_are_used(tmp_path: Path, packed: bytes,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow_hub
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    with serving({PATH + QUERY: body(packed)}) as server:
        tensorflow_hub.resolve(server.url + PATH)
        requests = len(server.requests)
        extractor = open_extractor(server.url + PATH, model_dir=tmp_path / "models")
        assert len(server.requests) == requests and extractor.depth == 24
        # Empty folders, which programs that clean up temporary folders leave behind, are not used.
        folder = tmp_path / "cache" / hashlib.sha1((server.url + PATH).encode()).hexdigest()
        for path in (folder / "variables").iterdir():
            path.unlink()
        assert open_extractor(server.url + PATH, model_dir=tmp_path / "models").digest == extractor.digest
        assert len(server.requests) == requests + 1


def test_a_module_that_takes_any_size_uses_the_one_in_its_address(tmp_path: Path,
                                                                  caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    content = pack(save_module(tmp_path / "any", size=None))
    path = "/google/imagenet/mobilenet_v1_025_128/feature_vector/5"
    with serving({path + QUERY: body(content)}) as server:
        assert open_extractor(server.url + path, model_dir=tmp_path / "models").height == 128
    assert "takes photos of any size; 128 x 128 pixels are used" in caplog.text


@pytest.mark.parametrize("name, size", [
    ("tfhub.dev_google_imagenet_inception_v3_feature_vector_5", 299), ("mobilenet_v2_100_224", 224),
    ("tfhub.dev_google_imagenet_resnet_v2_101_feature_vector_5", None), ("my_module", None)])
def test_the_input_size_is_read_from_names_in_the_style_of_tf_hub(name: str, size: int | None) -> None:
    from tfpoets.extractors.saved_model_network import size_in_name
    assert size_in_name(name) == size


def test_a_kaggle_handle_becomes_an_address() -> None:
    handle = "google/mobilenet-v2/tensorFlow2/035-128-feature-vector/2"
    assert hub.hub_address(handle) == f"https://www.kaggle.com/models/{handle}"
    assert hub.hub_address(f"{handle}/") == f"https://www.kaggle.com/models/{handle}"
    assert hub.hub_address("some/folder") is None and hub.hub_address("keras:MobileNet") is None


def test_waiting_for_another_run_is_logged(tmp_path: Path, packed: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    slow_reply = pieces([packed[start:start + 1000] for start in range(0, len(packed), 1000)], pause=0.05,
                        content_length=len(packed))
    with serving({PATH + QUERY: slow_reply}) as server:
        first = threading.Thread(target=hub.fetch_module, args=(server.url + PATH, tmp_path))
        first.start()
        while not server.requests:
            time.sleep(0.01)
        hub.fetch_module(server.url + PATH, tmp_path)
        first.join()
    assert re.search(r"Another run is downloading \S+; waiting for it\.", caplog.text)


def test_the_error_names_a_folder_that_cannot_be_written(tmp_path: Path, packed: bytes) -> None:
    (tmp_path / "models").write_text("a file")
    with serving({PATH + QUERY: body(packed)}) as server:
        with pytest.raises(TfpoetsError, match="Modules cannot be saved in .*`model_dir`"):
            open_extractor(server.url + PATH, model_dir=tmp_path / "models")
