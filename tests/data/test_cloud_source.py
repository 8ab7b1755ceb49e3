"""Photos are listed and read in cloud storage as in local folders."""
from __future__ import annotations

import asyncio
import logging
import pickle
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec.asyn
import pytest
from fsspec.registry import _registry as fsspec_registry

from tests.conftest import write_photos
from tfpoets.data import Dataset, DatasetOptions, Photo, hash_photos, read_dataset, reading_ahead
from tfpoets.data.cloud_address import CloudPath
from tfpoets.data.cloud_files import MAX_FAILURES
from tfpoets.data.read_ahead import MAX_BYTES_AHEAD, MAX_FILES, ReadAhead
from tfpoets.errors import DataError, OptionError, PhotoError, TfpoetsError
from tfpoets.files import as_location

from .cloud_server import CloudServer, running_cloud_server
from .test_layouts import touch


@pytest.fixture(scope="module")
def running_server() -> Iterator[CloudServer]:
    with running_cloud_server() as server:
        yield server


@pytest.fixture
def cloud(running_server: CloudServer) -> Iterator[CloudServer]:
    yield running_server
    running_server.app.delay = 0.0
    running_server.app.refuse = lambda method, path: None


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 30 photos, which all tests share."""
    folder = tmp_path_factory.mktemp("local") / "photos"
    for hue, label in enumerate(("red", "green")):
        write_photos(folder / label, 15, hue)
    return folder


@pytest.fixture(scope="module")
def uploaded(running_server: CloudServer, photos: Path) -> str:
    """The address of a copy of these photos."""
    return running_server.upload(photos, "photos")


@pytest.fixture
def address(cloud: CloudServer, uploaded: str, photos: Path) -> Iterator[str]:
    """The address of these photos, for tests that may change the photos called red/00?.png."""
    cloud.app.reset()
    yield uploaded
    for path in (photos / "red").glob("00?.png"):
        if {("PUT", f"/bucket/photos/red/{path.name}"), ("DELETE", f"/bucket/photos/red/{path.name}")
            } & set(cloud.app.requests):
            cloud.put(f"photos/red/{path.name}", path.read_bytes())


def described(dataset: Dataset, root: Path | str) -> list[tuple[str, str, str, str]]:
    """Return what is known about each photo, with its URI relative to the folder."""
    return [(photo.uri.removeprefix(str(root)), photo.label, photo.part, photo.group) for photo in dataset.photos]


@pytest.mark.parametrize("names", [
    ["daisy/1.jpg", "roses/2.jpg", "roses/readme.txt", "roses/.hidden.jpg"],
    ["train/daisy/1.jpg", "train/roses/2.jpg", "test/daisy/3.jpg", "test/roses/4.jpg", "valid/daisy/5.jpg"],
    ["archive/flowers/daisy/images/1.jpg", "archive/flowers/roses/images/2.jpg", "notes.md"],
    ["daisy/a_nohash_1.jpg", "daisy/a_nohash_2.jpg", "roses/ä b?c#d%20+.jpg"]])
def test_layouts_are_recognized_as_in_local_folders(cloud: CloudServer, tmp_path: Path, names: list[str]) -> None:
    touch(tmp_path, *names)
    address = cloud.upload(tmp_path, tmp_path.name)
    local, there = read_dataset(tmp_path), read_dataset(address + "/")
    assert described(there, address) == described(local, tmp_path)
    assert there.layout == local.layout.replace(str(tmp_path), address)
    assert there.location == address
    assert [photo.read() for photo in there.photos] == [photo.read() for photo in local.photos]


def test_labels_and_groups_may_be_in_the_names(cloud: CloudServer, tmp_path: Path) -> None:
    touch(tmp_path, "1_daisy.jpg", "2_roses.jpg", "deeper/3_roses.jpg")
    options = DatasetOptions(label_pattern="{index}_{label}.jpg", group_pattern=r"(?P<group>\d)_")
    address = cloud.upload(tmp_path, tmp_path.name)
    assert (described(read_dataset(address, options=options), address)
            == described(read_dataset(tmp_path, options=options), tmp_path))


def test_errors_about_layouts_name_addresses(cloud: CloudServer, tmp_path: Path) -> None:
    touch(tmp_path, "a/cat/1.jpg", "a/dog/1.jpg", "b/cat/1.jpg", "b/dog/1.jpg")
    address = cloud.upload(tmp_path, tmp_path.name)
    with pytest.raises(DataError, match=f"image_dir={address}/a"):
        read_dataset(address)
    cloud.put("flat/1.jpg", b"")
    with pytest.raises(DataError, match="s3://bucket/flat contains photos without class folders"):
        read_dataset("s3://bucket/flat")


def test_folders_that_programs_store_as_empty_objects_are_not_photos(cloud: CloudServer) -> None:
    for key in ("marked/", "marked/daisy/", "marked/daisy/1.jpg", "marked/roses/", "marked/roses/2.jpg",
                "marked//3.jpg"):
        cloud.put(key, b"")
    assert [photo.name for photo in read_dataset("s3://bucket/marked").photos] == ["1.jpg", "2.jpg"]


def test_listing_gives_stamps_that_change_with_the_file(cloud: CloudServer, photos: Path, address: str) -> None:
    dataset = read_dataset(address)
    uris = [photo.uri for photo in dataset.photos]
    before = dataset.photos[0].source.stamps(uris)
    assert len(cloud.app.requests) == 3 and all(before.values())
    assert len(set(before.values())) == len(uris)
    again = read_dataset(address)
    assert again.photos[0].source.stamps(uris) == before
    cloud.put("photos/red/003.png", (photos / "green" / "003.png").read_bytes())
    after = read_dataset(address).photos[0].source.stamps(uris)
    assert [uri for uri in uris if after[uri] != before[uri]] == [f"{address}/red/003.png"]


def test_a_source_can_be_pickled_and_contains_no_credentials(address: str) -> None:
    photo = read_dataset(address).photos[0]
    photo.read()
    pickled = pickle.dumps(photo)
    assert b"test-secret" not in pickled and b"test-key" not in pickled
    assert pickle.loads(pickled).read() == photo.read()


def test_many_requests_are_in_progress_at_once(cloud: CloudServer, photos: Path, address: str) -> None:
    dataset = read_dataset(address)
    cloud.app.delay = 0.05
    cloud.app.reset()
    with reading_ahead(dataset.photos):
        contents = [photo.read() for photo in dataset.photos]
    assert contents == [path.read_bytes() for path in sorted(photos.rglob("*.png"))]
    assert len(cloud.app.gets()) == len(dataset.photos)
    assert cloud.app.most_running >= 8


def test_photos_that_are_not_opened_are_not_kept(photos: Path, address: str) -> None:
    dataset = read_dataset(address)
    with reading_ahead(dataset.photos):
        dataset.photos[-1].read()
    ahead = dataset.photos[0].source._ahead  # type: ignore[attr-defined]
    assert not ahead._started and not ahead._wanted and ahead._bytes == 0
    assert dataset.photos[0].read() == (photos / "green" / "000.png").read_bytes()


def test_reading_ahead_is_limited_in_number_and_size() -> None:
    from concurrent.futures import Future
    sizes = {str(number): MAX_BYTES_AHEAD // 4 for number in range(10)}
    started: list[str] = []

    def start(uri: str) -> Future[bytes]:
        started.append(uri)
        return Future()
    ahead = ReadAhead(start, lambda uri: sizes.get(uri, 1))
    ahead.add(sizes)
    assert started == ["0", "1", "2", "3"]
    assert ahead.take("7") is None  # not yet started, and not to be read ahead any more
    assert ahead.take("1") is not None
    assert started == ["0", "1", "2", "3", "4"]
    ahead.clear()
    started.clear()
    ahead.add(f"small {number}" for number in range(2 * MAX_FILES))
    assert len(started) == MAX_FILES
    ahead.clear()
    started.clear()
    sizes["large"] = 2 * MAX_BYTES_AHEAD
    ahead.add(["large", "0"])
    assert started == ["large"]  # alone


def test_photos_that_vanish_or_are_forbidden_are_unreadable(cloud: CloudServer, address: str) -> None:
    dataset = read_dataset(address)
    cloud.delete("photos/red/001.png")
    cloud.put("photos/red/002.png", b"")
    cloud.app.refuse = lambda method, path: ("403 Forbidden", "AccessDenied") if path.endswith("red/004.png") else None
    readable, unreadable = hash_photos(dataset, 2)
    assert len(readable.photos) == len(dataset.photos) - 3
    assert {photo.name: reason for photo, reason in unreadable} == {
        "001.png": "there is no such file", "002.png": "the file is empty", "004.png": "no permission to read it"}


def test_a_failing_server_is_asked_again_but_not_forever(cloud: CloudServer, photos: Path, address: str) -> None:
    dataset = read_dataset(address)
    failures = iter(["500 Internal Server Error"])
    cloud.app.refuse = lambda method, path: (status, "InternalError") if (status := next(failures, "")) else None
    assert dataset.photos[0].read() == (photos / "green" / "000.png").read_bytes()
    cloud.app.refuse = lambda method, path: ("500 Internal Server Error", "InternalError")
    cloud.app.reset()
    with pytest.raises(PhotoError, match="it cannot be read"):
        dataset.photos[0].read()
    assert 1 < len(cloud.app.requests) <= 8


def test_a_run_ends_if_no_photo_can_be_read_any_more(cloud: CloudServer, address: str) -> None:
    dataset = read_dataset(address)
    cloud.app.refuse = lambda method, path: ("403 Forbidden", "ExpiredToken")
    for photo in dataset.photos[:MAX_FAILURES - 1]:
        with pytest.raises(PhotoError, match="no permission"):
            photo.read()
    with pytest.raises(DataError, match="do not allow s3://bucket/photos to be read .ExpiredToken.*AWS_PROFILE"):
        dataset.photos[-1].read()


def test_photos_above_the_size_limit_are_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = read_dataset(address).photos[0]
    monkeypatch.setattr("tfpoets.data.cloud_files.MAX_BYTES", 100)
    with pytest.raises(PhotoError, match="larger than"):
        photo.read()


def test_a_request_has_a_deadline(cloud: CloudServer, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = read_dataset(address).photos[0]
    monkeypatch.setattr("tfpoets.data.cloud_files.DEADLINE_SECONDS", 0.1)
    monkeypatch.setattr("tfpoets.data.cloud_files.MIN_BYTES_PER_SECOND", 1e12)
    cloud.app.delay = 0.5
    with pytest.raises(PhotoError, match="it did not arrive in time"):
        photo.read()


@pytest.mark.parametrize("address, problem", [
    ("s3://bucket/nothing/here", "There is nothing at s3://bucket/nothing/here. Check the address."),
    ("s3://bucket-that-does-not-exist/photos", "There is no bucket s3://bucket-that-does-not-exist."),
    ("s3://", "does not name a bucket"),
    ("s3://Not_A_Bucket/x", "There is no bucket|not a valid name"),
    ("ftp://server/photos", "begins with s3://, gs:// or az://")])
def test_wrong_addresses_are_explained(cloud: CloudServer, address: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        read_dataset(address)


@pytest.mark.parametrize("code, problem", [
    ("AccessDenied", "do not allow s3://bucket/x to be read .AccessDenied.*AWS_ACCESS_KEY_ID"),
    ("InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"), ("SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY")])
def test_refused_credentials_are_explained(cloud: CloudServer, code: str, problem: str) -> None:
    cloud.app.refuse = lambda method, path: ("403 Forbidden", code)
    with pytest.raises(DataError, match=problem):
        read_dataset("s3://bucket/x")


def test_missing_credentials_are_explained(cloud: CloudServer, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(DataError, match="no valid credentials for s3://bucket.*AWS_PROFILE.*FSSPEC_S3_ANON=true"):
        read_dataset(address)
    monkeypatch.setenv("AWS_PROFILE", "missing")
    with pytest.raises(DataError, match="no valid credentials"):
        read_dataset(address)
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.setitem(sys.modules["fsspec.config"].conf, "s3", {"anon": True})  # what FSSPEC_S3_ANON=true sets
    assert len(read_dataset(address).photos) == 30


def test_an_unreachable_server_is_reported_quickly(cloud: CloudServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # nobody listens
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(DataError, match="The server of s3://bucket cannot be reached.*AWS_ENDPOINT_URL"):
            read_dataset("s3://bucket/photos")
        assert time.monotonic() - started < 20


def test_a_missing_package_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme, package in (("s3", "s3fs"), ("gs", "gcsfs"), ("az", "adlfs")):
        monkeypatch.setitem(sys.modules, package, None)
        monkeypatch.delitem(fsspec_registry, scheme, raising=False)
        with pytest.raises(DataError, match=f"{scheme}:// .*{package}.*pip install fsspec {package}"):
            read_dataset(f"{scheme}://bucket/photos")


@pytest.mark.parametrize("address", [
    "s3://KEY:s3cret@bucket/photos", "s3://s3cret@bucket/photos", "az://container/photos?sv=1&sig=s3cret",
    "abfs://user:s3cret@account.dfs.core.windows.net/photos", "s3://bucket/x?X-Amz-Signature=s3cret"])
def test_addresses_with_credentials_are_refused_and_not_repeated(address: str) -> None:
    for refuse in (lambda: as_location("image_dir", address), lambda: read_dataset(address)):
        with pytest.raises(OptionError, match="the environment") as caught:
            refuse()
        assert "s3cret" not in str(caught.value)


def test_addresses_are_not_changed_like_paths() -> None:
    for address in ("abfs://container@account.dfs.core.windows.net/photos", "s3://bucket", "gs://b/a//b.jpg?x=1"):
        assert as_location("image_dir", address) == address
    root = CloudPath("s3://bucket/photos")
    assert str(root / "a b" / "1.jpg") == "s3://bucket/photos/a b/1.jpg"
    assert str(root.parent) == "s3://bucket" and str((root / "a").relative_to(root)) == "a"
    assert str(pickle.loads(pickle.dumps(root))) == "s3://bucket/photos"


def test_a_path_made_from_an_address_is_explained() -> None:
    with pytest.raises(DataError, match="lost a slash. Pass it as a string"):
        read_dataset(Path("s3://bucket/photos"))


class OtherService(fsspec.asyn.AsyncFileSystem):
    """A file system in memory, with the interface of gcsfs and adlfs."""

    protocol = "gs"
    files = {"bucket/daisy/1.jpg": b"1", "bucket/roses/2.jpg": b"22"}
    delay = 0.0

    async def _info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        await asyncio.sleep(self.delay)
        raise PermissionError  # only the objects may be seen, not the bucket

    async def _ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[dict[str, Any]]:
        names = {name[len(path) + 1:].split("/")[0] for name in self.files if name.startswith(f"{path}/")}
        return [{"name": f"{path}/{name}", "size": len(self.files.get(f"{path}/{name}", "")), "etag": name,
                 "type": "file" if f"{path}/{name}" in self.files else "directory"} for name in names]

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        return self.files[path][start:end]


def test_other_services_are_used_through_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fsspec_registry, "gs", OtherService)
    dataset = read_dataset("gs://bucket")
    assert [(photo.uri, photo.label, photo.read()) for photo in dataset.photos] == [
        ("gs://bucket/daisy/1.jpg", "daisy", b"1"), ("gs://bucket/roses/2.jpg", "roses", b"22")]
    assert all(dataset.photos[0].source.stamps([photo.uri for photo in dataset.photos]).values())
    monkeypatch.setattr(OtherService, "delay", 10.0)
    monkeypatch.setattr("tfpoets.data.cloud_files.ANSWER_SECONDS", 0.1)
    with pytest.raises(DataError, match="The server of gs://bucket cannot be reached.*STORAGE_EMULATOR_HOST"):
        read_dataset("gs://bucket")


def test_a_manifest_needs_local_photos(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,label\n1.jpg,a\n")
    with pytest.raises(TfpoetsError, match="`manifest` cannot be read from s3://bucket"):
        read_dataset("s3://bucket", options=DatasetOptions(manifest=(tmp_path / "labels.csv",)))


def test_local_photos_are_read_as_before(photos: Path) -> None:
    dataset = read_dataset(photos)
    with reading_ahead([*dataset.photos, replace(dataset.photos[0], uri="missing.jpg")]):
        assert all(photo.read() for photo in dataset.photos)


def test_nothing_is_logged_about_credentials(address: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "tfpoets")
    assert isinstance(read_dataset(address).photos[0], Photo)
    assert "test-secret" not in caplog.text
