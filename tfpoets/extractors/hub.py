"""Modules from elsewhere: addresses and archives become folders, whole and checked, that need no network again."""
from __future__ import annotations

import glob
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tfpoets.download import download_file, extract_tar_gz, is_gzip
from tfpoets.errors import ExtractorError, TfpoetsError, one_line, os_error_sentence

from .options import EMBEDDED, ExtractorOptions
from .saved_model_network import SavedModelNetwork

log = logging.getLogger(__name__)

# Below `model_dir`.
DOWNLOADS = "downloads"
# Says that a download is whole: its address, and size and SHA-256 of each file.
MARKER = "download.json"
MAX_BYTES = 4 * 10**9
TIMEOUT_SECONDS = 30.0
MAX_NAME_LENGTH = 120
KAGGLE = "https://www.kaggle.com/models/"
_KAGGLE_HANDLE = re.compile(r"[\w.-]+/[\w.-]+/tensorflow[12]/[\w.-]+(/\d+)?", re.IGNORECASE)


class HubProvider:
    """Finds modules by address: of TF Hub, Kaggle, or any server with TF Hub's protocol."""

    def find(self, handle: str, options: ExtractorOptions) -> SavedModelNetwork | None:
        address = hub_address(handle)
        return network_at(address, options) if address else None

    def names(self) -> Sequence[str]:
        return ()


def network_at(address: str, options: ExtractorOptions) -> SavedModelNetwork:
    """Return the network at an address; it is fetched as `fetch_module` describes, whose errors it raises."""
    return SavedModelNetwork(fetch_module(address, options.model_dir, options.offline), module_name(address))


def hub_address(handle: str) -> str | None:
    """Return the address that a handle stands for, or None if it stands for none.

    Args:
        handle: an http(s) address, or Kaggle's owner/model/framework/variation/version.

    Raises:
        ExtractorError: it begins like an address, but names no server.
    """
    if handle.lower().startswith(("http://", "https://")):
        if not urllib.parse.urlsplit(handle).netloc:
            raise ExtractorError(f"{handle} is no address of a module.",
                                 "It ends where the server's name should begin.")
        return handle
    if _KAGGLE_HANDLE.fullmatch(handle.rstrip("/")) and not Path(handle).exists():
        return KAGGLE + handle.rstrip("/")
    return None


def module_name(address: str) -> str:
    """Return what an address is called in messages: its letters and digits."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", address.split("://", 1)[1]).strip("_.")[:MAX_NAME_LENGTH]


def download_folder(address: str, model_dir: Path) -> Path:
    """Return where the module of an address is kept: no two addresses share a folder."""
    return model_dir / DOWNLOADS / f"{module_name(address)}-{hashlib.sha1(address.encode()).hexdigest()[:8]}"


def fetch_module(address: str, model_dir: Path, offline: bool = False) -> Path:
    """Return the folder of the module at an address; it is downloaded once, by one process at a time.

    Looked for in this order: tensorflow_hub's own cache (the environment variable TFHUB_CACHE_DIR), a folder of an
    earlier download, an archive put into `model_dir`/downloads by hand, the network by TF Hub's protocol
    (tensorflow.org/hub/hosting: the address with ?tf-hub-format=compressed gives a .tar.gz).

    Args:
        address: http or https.
        model_dir: downloads are kept below it.
        offline: do not use the network.

    Returns:
        A folder with the module's files; those that were downloaded here are as they were then.

    Raises:
        ExtractorError: it is not there and cannot be had; the sentence says why, and what to do by hand.
    """
    folder = download_folder(address, model_dir)
    cached = _tensorflow_hub_folder(address)
    if cached is not None:
        return cached
    if _is_whole(folder):  # without the lock, which a read-only folder would refuse
        return folder
    archive = folder.with_name(f"{folder.name}.tar.gz")
    with locked(folder):
        if _is_whole(folder):
            return folder
        if archive.is_file():
            log.info("Unpacking %s", archive)
            _unpack(archive, folder, address, str(archive))
        elif offline:
            raise ExtractorError(f"The module {address} is not on this machine, and `offline` forbids to fetch it.",
                                 by_hand(archive))
        else:
            _download(address, archive, folder)
    return folder


def unpack_module(archive: Path, model_dir: Path) -> Path:
    """Return the folder of a module that is given as a .tar.gz file; it is unpacked once.

    Raises:
        ExtractorError: it is not such an archive, or it is damaged.
    """
    name = re.sub(r"\.(tar\.gz|tgz)$", "", archive.name)
    folder = model_dir / DOWNLOADS / f"{name}-{_sha256(archive)[:12]}"
    if not _is_whole(folder):
        with locked(folder):
            if not _is_whole(folder):
                _unpack(archive, folder, str(archive), str(archive))
    return folder


def by_hand(archive: Path) -> str:
    """Return what to do where the network does not help."""
    return (f"Put its .tar.gz by hand at {archive}, or omit `handle`: {EMBEDDED} works now, without "
            "network.")


def _tensorflow_hub_folder(address: str) -> Path | None:
    """Where tensorflow_hub keeps what it downloaded: a folder named after the SHA-1 of the handle."""
    cache = os.environ.get("TFHUB_CACHE_DIR")
    for handle in (address, address.rstrip("/")) if cache else ():
        folder = Path(os.path.expanduser(cache or "")) / hashlib.sha1(handle.encode()).hexdigest()
        if folder.is_dir():
            variables = folder / "variables"
            # What cleaners of temporary folders leave: folders without their files (tensorflow/hub issue 850).
            if (folder / "saved_model.pb").is_file() and not (variables.is_dir() and not any(variables.iterdir())):
                return folder
            log.warning("The module in %s is not complete and not used.", folder)
    return None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time fetch a file or folder; the lock goes with its process, however that ends."""
    from filelock import FileLock, Timeout  # here, because label_image starts without it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("Another run is fetching %s; waiting for it.", path.name)
            lock.acquire()
    except OSError as error:
        raise ExtractorError(f"Modules cannot be kept in {path.parent}: {os_error_sentence(error)}",
                             "Give another folder with `model_dir`.") from error
    try:
        yield
    finally:
        lock.release()


def _download(address: str, archive: Path, folder: Path) -> None:
    parts = urllib.parse.urlsplit(address)
    query = "&".join(filter(None, [parts.query, "tf-hub-format=compressed"]))
    part = archive.with_name(f".{archive.name}.fetched")
    try:
        download_file(urllib.parse.urlunsplit(parts._replace(query=query)), part, description="Module",
                      max_bytes=MAX_BYTES, timeout=TIMEOUT_SECONDS)
        if not is_gzip(part):
            raise ExtractorError(f"{address} gives a web page or another file, not a module.")
        _unpack(part, folder, address, address)
    except TfpoetsError as error:
        raise ExtractorError(error.problem, by_hand(archive)) from error
    finally:
        part.unlink(missing_ok=True)


def _unpack(archive: Path, folder: Path, source: str, name: str) -> None:
    """Unpack beside the folder's place, write the marker, and rename; `name` is the archive's in messages."""
    if folder.exists() and not (folder / MARKER).exists():
        raise ExtractorError(f"The folder {folder} was put there by hand, but there is no saved_model.pb right in it.",
                             "Put the module's files there, or move the folder away.")
    if not is_gzip(archive):
        raise ExtractorError(f"{archive} is not a .tar.gz archive.",
                             "Give a module as it was downloaded, or its folder.")
    prefix = f".unpacking-{folder.name}-"
    for left in folder.parent.glob(f"{glob.escape(prefix)}*"):  # by a run that was killed: the lock is ours
        shutil.rmtree(left, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=prefix))
    try:
        extract_tar_gz(archive, temporary, MAX_BYTES, name)
        root = _root(temporary)
        (root / MARKER).unlink(missing_ok=True)  # of a folder of ours that somebody packed
        files = {path.relative_to(root).as_posix(): [path.stat().st_size, _sha256(path)]
                 for path in sorted(root.rglob("*")) if path.is_file()}
        (root / MARKER).write_text(json.dumps({"source": source, "files": files}, indent=1), "utf-8")
        root.chmod(0o755)  # mkdtemp's are private; a folder that is kept need not be
        if folder.exists():
            shutil.rmtree(folder)
        root.rename(folder)
    except OSError as error:
        raise ExtractorError(f"{archive.name} cannot be unpacked into {folder.parent}: {one_line(error)}",
                             "Give another folder with `model_dir`.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _root(folder: Path) -> Path:
    """Where the module begins: the top of the archive, or the one folder that is there."""
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _is_whole(folder: Path) -> bool:
    """Whether every file of a download is as it was; a folder without a marker was put there by hand."""
    if not (folder / MARKER).exists():
        return (folder / "saved_model.pb").is_file()
    try:
        files = json.loads((folder / MARKER).read_text("utf-8"))["files"]
        return bool(files) and all(_as_recorded(folder / name, *recorded) for name, recorded in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _as_recorded(path: Path, size: int, sha256: str) -> bool:
    return path.is_file() and path.stat().st_size == size and _sha256(path) == sha256


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
