"""Sample photos are written completely or not at all, and never overwrite other files."""
from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.download.local_server import body, serving
from tfpoets.data import samples
from tfpoets.errors import TfpoetsError

PHOTO = b"never decoded"
FEW_FLOWERS = {"daisy": 2, "tulips": 1}
ARCHIVE = {"flower_photos/LICENSE.txt": b"CC-BY", "flower_photos/daisy/1.jpg": PHOTO,
           "flower_photos/daisy/2.jpg": PHOTO, "flower_photos/tulips/3.jpg": PHOTO}


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("samples") / "tf_files" / "digits"
    assert not samples.write_digits(folder).already_existed
    return folder


@pytest.fixture(autouse=True)
def bypass_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_digits_are_1797_gray_photos_of_64_pixels_in_ten_folders(digits):
    assert sorted(os.listdir(digits)) == list("0123456789")
    photos = sorted(path for path in digits.rglob("*") if path.is_file())
    assert len(photos) == 1797
    assert sorted(path.name for path in photos) == [f"{number:04d}.png" for number in range(1797)]
    for path in photos[::50]:
        with Image.open(path) as photo:
            assert (photo.format, photo.mode, photo.size) == ("PNG", "L", (64, 64))


def test_digits_show_the_scans_at_full_contrast_under_their_labels(digits):
    from sklearn.datasets import load_digits

    scans = load_digits()
    for number in (0, 1, 1000, 1796):
        with Image.open(digits / str(scans.target[number]) / f"{number:04d}.png") as photo:
            pixels = np.asarray(photo, float)
        cells = pixels.reshape(8, 8, 8, 8).mean(axis=(1, 3))
        assert pixels.min() == 0 and pixels.max() >= 15 / 16 * 255
        # Resampling keeps the position of the ink: the scan of a different digit would correlate far less.
        assert np.corrcoef(cells.ravel(), scans.images[number].ravel())[0, 1] > 0.97


def test_digits_are_identical_every_time(digits, tmp_path):
    samples.write_digits(tmp_path / "again")
    assert files(tmp_path / "again") == files(digits)


def test_no_other_file_is_left_next_to_the_digits(digits):
    assert os.listdir(digits.parent) == ["digits"]


def test_a_complete_copy_is_recognized_and_unchanged(digits):
    before = {path: path.stat().st_mtime_ns for path in digits.rglob("*")}
    sample = samples.write_digits(digits)
    assert sample.already_existed and sum(sample.counts.values()) == 1797
    assert {path: path.stat().st_mtime_ns for path in digits.rglob("*")} == before


def test_a_copy_with_added_photos_is_still_complete(digits, tmp_path):
    shutil.copytree(digits, tmp_path / "digits", copy_function=os.link)
    (tmp_path / "digits" / "7" / "mine.png").write_bytes(PHOTO)
    (tmp_path / "digits" / "letters").mkdir()
    assert samples.write_digits(tmp_path / "digits").already_existed


@pytest.mark.parametrize("damage", ["missing", "empty"])
def test_a_copy_with_a_photo_missing_or_empty_is_refused(damage, digits, tmp_path):
    shutil.copytree(digits, tmp_path / "digits", copy_function=os.link)
    photo = tmp_path / "digits" / "0" / "0000.png"
    photo.unlink()
    if damage == "empty":
        photo.touch()
    with pytest.raises(TfpoetsError, match="1,796 of the 1,797 photos"):
        samples.write_digits(tmp_path / "digits")


def test_a_folder_with_other_files_is_refused_and_unchanged(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    for write in (samples.write_digits, samples.write_flowers, samples.write_cifar10):
        with pytest.raises(TfpoetsError, match="not empty") as caught:
            write(tmp_path / "mine")
        assert str(tmp_path / "mine") in caught.value.problem and "`output_dir`" in caught.value.remedy
    assert files(tmp_path / "mine") == {"diary.txt": b"dear diary"}


def test_a_file_instead_of_a_folder_is_refused(tmp_path):
    (tmp_path / "digits").write_text("a file")
    with pytest.raises(TfpoetsError, match="is a file, not a folder"):
        samples.write_digits(tmp_path / "digits")


def test_an_empty_folder_behind_a_link_is_filled(tmp_path):
    parts = {"train": (np.zeros((1, 4, 4), np.uint8), np.array([0]))}
    (tmp_path / "elsewhere" / "set").mkdir(parents=True)
    (tmp_path / "set").symlink_to(tmp_path / "elsewhere" / "set")
    samples.write_parts(tmp_path / "set", parts, ("cat",))
    assert (tmp_path / "set").is_symlink()
    assert list(files(tmp_path / "elsewhere" / "set")) == ["train/cat/00000.png"]


def test_a_killed_run_leaves_no_digits_folder_and_the_next_run_writes_the_digits(tmp_path):
    program = ("import sys, time; from pathlib import Path; from PIL import Image\n"
               "from tfpoets.data import samples\n"
               "save = Image.Image.save\n"
               "def slowly(*arguments): save(*arguments); time.sleep(0.05)\n"
               "Image.Image.save = slowly\n"
               "samples.write_digits(Path(sys.argv[1]))")
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "digits")])
    try:
        deadline = time.monotonic() + 30
        while not list(tmp_path.rglob("*.png")):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    assert not (tmp_path / "digits").exists()
    [temporary] = tmp_path.iterdir()
    os.utime(temporary, (time.time() - 2 * 86400,) * 2)
    assert not samples.write_digits(tmp_path / "digits").already_existed
    assert os.listdir(tmp_path) == ["digits"]


def test_nothing_is_left_after_an_error(tmp_path):
    pixels = np.zeros((2, 4, 4, 3), np.uint8)
    with pytest.raises(IndexError):
        samples.write_parts(tmp_path / "set", {"train": (pixels, np.array([0, 5]))}, ("cat", "dog"))
    assert os.listdir(tmp_path) == []


def tgz(members: dict[str, bytes] | list[tarfile.TarInfo]) -> bytes:
    """Return a .tgz of files with these contents, or of these members with empty contents."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        if isinstance(members, list):
            for member in members:
                tar.addfile(member, io.BytesIO(bytes(member.size)))
        else:
            for name, content in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def write_flowers(folder: Path, archive: bytes, **options) -> samples.SampleSet:
    with serving({"/flower_photos.tgz": body(archive)}) as server:
        return samples.write_flowers(folder, f"{server.url}/flower_photos.tgz",
                                     **{"sha256": None, "counts": FEW_FLOWERS, **options})


def test_flowers_are_unpacked_with_their_licence_and_not_downloaded_again(tmp_path):
    archive = tgz(ARCHIVE)
    folder = tmp_path / "tf_files" / "flower_photos"
    sample = write_flowers(folder, archive, sha256=hashlib.sha256(archive).hexdigest())
    assert (sample.folder, sample.counts, sample.already_existed) == (folder, FEW_FLOWERS, False)
    assert files(folder) == {name.removeprefix("flower_photos/"): content for name, content in ARCHIVE.items()}
    assert os.listdir(folder.parent) == ["flower_photos"]
    assert samples.write_flowers(folder, "http://127.0.0.1:1/gone.tgz", counts=FEW_FLOWERS).already_existed


def test_flowers_are_checked_against_the_published_hash_by_default(tmp_path):
    with serving({"/f.tgz": body(tgz(ARCHIVE))}) as server, pytest.raises(TfpoetsError, match=samples.FLOWERS_SHA256):
        samples.write_flowers(tmp_path / "flowers", f"{server.url}/f.tgz", counts=FEW_FLOWERS)
    assert os.listdir(tmp_path) == []


def test_a_failed_download_of_the_flowers_suggests_the_digits(tmp_path):
    with serving({}) as server, pytest.raises(TfpoetsError) as caught:
        samples.write_flowers(tmp_path / "flowers", f"{server.url}/flower_photos.tgz")
    assert "flower_photos.tgz" in caught.value.problem and "`tfpoets sample_photos` digits" in caught.value.remedy
    assert os.listdir(tmp_path) == []


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize("archive, words", [
    (tgz({**ARCHIVE, "flower_photos/../../escaped.txt": b"x"}), "would be outside the destination folder"),
    (tgz({**ARCHIVE, "/tmp/escaped.txt": b"x"}), "would be outside the destination folder"),
    (tgz([link("flower_photos/daisy", "/etc", tarfile.SYMTYPE)]), "a link or a device"),
    (tgz({name: content for name, content in ARCHIVE.items() if "tulips" not in name}), "2 of the 3 photos"),
    (tgz({"other/photo.jpg": b"x"}), "0 of the 3 photos"),
    (tgz(ARCHIVE)[:-30], "damaged or cut short"),
    (b"<html>sign in to this network</html>", "damaged or cut short"),
    (b"", "damaged or cut short"),
], ids=["dots inside", "absolute", "symbolic link", "class missing", "other folder", "cut at the end", "web page",
        "empty"])
def test_an_unexpected_archive_is_refused_and_nothing_is_left(archive, words, tmp_path):
    (tmp_path / "tf_files").mkdir()
    with pytest.raises(TfpoetsError, match=words):
        write_flowers(tmp_path / "tf_files" / "flower_photos", archive)
    assert files(tmp_path) == {} and os.listdir(tmp_path / "tf_files") == []
    assert not Path("/tmp/escaped.txt").exists()


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "MAX_UNPACKED_BYTES", 1_000_000)
    with pytest.raises(TfpoetsError, match="unpacks to more than the 1 MB"):
        write_flowers(tmp_path / "flowers", tgz({**ARCHIVE, "flower_photos/bomb": bytes(1_000_001)}))
    assert os.listdir(tmp_path) == []


def test_photos_are_written_losslessly_and_numbered_within_their_part(tmp_path):
    rng = np.random.default_rng(7)
    train, test = (rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8) for n in (5, 2))
    parts = {"train": (train, np.array([[1], [0], [1], [1], [0]])), "test": (test, np.array([[0], [1]]))}
    samples.write_parts(tmp_path / "set", parts, ("cat", "dog"))
    assert sorted(files(tmp_path / "set")) == [
        "test/cat/00000.png", "test/dog/00001.png", "train/cat/00001.png", "train/cat/00004.png",
        "train/dog/00000.png", "train/dog/00002.png", "train/dog/00003.png"]
    with Image.open(tmp_path / "set" / "train" / "cat" / "00004.png") as photo:
        assert photo.mode == "RGB" and np.array_equal(np.asarray(photo), train[4])


def test_a_complete_cifar10_is_recognized_without_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "CIFAR10_COUNTS", {"train/cat": 1, "test/cat": 1})
    monkeypatch.setattr(samples, "import_tensorflow", lambda: pytest.fail("TensorFlow was imported"))
    pixels = np.zeros((1, 32, 32, 3), np.uint8)
    parts = {part: (pixels, np.array([[0]])) for part in ("train", "test")}
    samples.write_parts(tmp_path / "cifar10", parts, ("cat",))
    sample = samples.write_cifar10(tmp_path / "cifar10")
    assert sample.already_existed and sample.folder == tmp_path / "cifar10"


def test_cifar10_has_the_published_classes_and_sizes():
    assert samples.CIFAR10_CLASSES[3] == "cat" and len(samples.CIFAR10_CLASSES) == 10
    assert sum(samples.CIFAR10_COUNTS.values()) == 60_000
    assert (samples.CIFAR10_COUNTS["train/truck"], samples.CIFAR10_COUNTS["test/truck"]) == (5000, 1000)
    assert sum(samples.FLOWERS_COUNTS.values()) == 3670
