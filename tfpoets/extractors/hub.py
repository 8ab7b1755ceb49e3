"""Download and unpack modules from TF Hub, Kaggle and archives into folders that can be used offline."""
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

# The folder for downloads, below `model_dir`.
DOWNLOADS = "downloads"
# A file in each folder of a download, with its source and the size and SHA-256 of every other file.
MANIFEST = "download.json"
MAX_BYTES = 4 * 10**9
TIMEOUT_SECONDS = 30.0
MAX_NAME_LENGTH = 120
KAGGLE = "https://www.kaggle.com/models/"
_KAGGLE_HANDLE = re.compile(r"[\w.-]+/[\w.-]+/tensorflow[12]/[\w.-]+(/\d+)?", re.IGNORECASE)


class HubProvider:
    """The provider of modules by address: on TF Hub, on Kaggle, or on any server that supports TF Hub's protocol."""

    def find(self, handle: str, options: ExtractorOptions) -> SavedModelNetwork | None:
        """Return the network at an address, after downloading it if necessary."""
        address = hub_address(handle)
        return fetch_network(address, options) if address else None

    def names(self) -> Sequence[str]:
        """Return an empty tuple, since addresses cannot be listed."""
        return ()


def fetch_network(address: str, options: ExtractorOptions) -> SavedModelNetwork:
    """Return the network at an address, after downloading it if necessary; errors are those of `fetch_module`."""
    return SavedModelNetwork(fetch_module(address, options.model_dir, options.offline), module_name(address),
                             options.trust_model)


def hub_address(handle: str) -> str | None:
    """Return the address that a handle stands for, or None if the handle is of a different kind.

    Args:
        handle: An http(s) address, or Kaggle's owner/model/framework/variation/version.

    Raises:
        ExtractorError: The handle looks like an address, but contains no server name.
    """
    if handle.lower().startswith(("http://", "https://")):
        if not urllib.parse.urlsplit(handle).netloc:
            raise ExtractorError(f"{handle} is not the address of a module.", "It contains no server name.")
        return handle
    if _KAGGLE_HANDLE.fullmatch(handle.rstrip("/")) and not Path(handle).exists():
        return KAGGLE + handle.rstrip("/")
    return None


def module_name(address: str) -> str:
    """Return a name for messages and folders: the letters and digits of an address."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", address.split("://", 1)[1]).strip("_.")[:MAX_NAME_LENGTH]


def download_folder(address: str, model_dir: Path) -> Path:
    """Return the folder for the module at an address; different addresses have different folders."""
    return model_dir / DOWNLOADS / f"{module_name(address)}-{hashlib.sha1(address.encode()).hexdigest()[:8]}"


def fetch_module(address: str, model_dir: Path, offline: bool = False) -> Path:
    """Return the folder of the module at an address, after downloading it if necessary.

    These places are tried in order: the cache of tensorflow_hub (environment variable TFHUB_CACHE_DIR), the folder of
    an earlier download, an archive that the user saved in `model_dir`/downloads, and the server at the address, with
    TF Hub's protocol (tensorflow.org/hub/hosting: the address with ?tf-hub-format=compressed returns a .tar.gz). Only
    one process at a time downloads a module.

    Args:
        address: An http or https address.
        model_dir: The folder below which downloads are saved.
        offline: Whether downloads are forbidden.

    Returns:
        A folder with the module's files. Downloaded files have been checked against their hashes.

    Raises:
        ExtractorError: The module cannot be found or downloaded. The message states the reason and how to install the
            module manually.
    """
    folder = download_folder(address, model_dir)
    cached = _find_in_tfhub_cache(address)
    if cached is not None:
        return cached
    if _is_complete(folder):  # checked first without the lock, which cannot be created in a read-only folder
        return folder
    archive = folder.with_name(f"{folder.name}.tar.gz")
    with lock_download(folder):
        if _is_complete(folder):
            return folder
        if archive.is_file():
            log.info("Unpacking %s", archive)
            _unpack(archive, folder, address, str(archive))
        elif offline:
            raise ExtractorError(f"The module {address} is not on this machine, and `offline` forbids downloading it.",
                                 _manual_download_remedy(archive))
        else:
            _download(address, archive, folder)
    return folder


def unpack_module(archive: Path, model_dir: Path) -> Path:
    """Return the folder of a module in a .tar.gz file, after unpacking it if necessary.

    Raises:
        ExtractorError: The file is not a .tar.gz archive, or it is damaged.
    """
    name = re.sub(r"\.(tar\.gz|tgz)$", "", archive.name)
    folder = model_dir / DOWNLOADS / f"{name}-{_sha256(archive)[:12]}"
    if not _is_complete(folder):
        with lock_download(folder):
            if not _is_complete(folder):
                _unpack(archive, folder, str(archive), str(archive))
    return folder


def _manual_download_remedy(archive: Path) -> str:
    """Return the remedy for a module that cannot be downloaded."""
    return (f"Download it manually and save its .tar.gz as {archive}, or omit `handle`: {EMBEDDED} needs no "
            "download.")


def _find_in_tfhub_cache(address: str) -> Path | None:
    """Return the module's folder in the cache of tensorflow_hub, which is named after the SHA-1 of its handle."""
    cache = os.environ.get("TFHUB_CACHE_DIR")
    for handle in (address, address.rstrip("/")) if cache else ():
        folder = Path(os.path.expanduser(cache or "")) / hashlib.sha1(handle.encode()).hexdigest()
        if folder.is_dir():
            variables = folder / "variables"
            # Programs that clean up temporary folders leave empty folders behind (tensorflow/hub issue 850).
            if (folder / "saved_model.pb").is_file() and not (variables.is_dir() and not any(variables.iterdir())):
                return folder
            log.warning("The module in %s is incomplete and is not used.", folder)
    return None


@contextmanager
def lock_download(path: Path) -> Iterator[None]:
    """Let one process at a time download a file or folder; a killed process also releases the lock.

    Args:
        path: The destination of the download.

    Raises:
        ExtractorError: The lock file cannot be created.
    """
    from filelock import FileLock, Timeout  # imported here because label_image must start without it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("Another run is downloading %s; waiting for it.", path.name)
            lock.acquire()
    except OSError as error:
        raise ExtractorError(f"Modules cannot be saved in {path.parent}: {os_error_sentence(error)}",
                             "Choose another folder with `model_dir`.") from error
    try:
        yield
    finally:
        lock.release()


def _download(address: str, archive: Path, folder: Path) -> None:
    """Download a module and unpack it into `folder`."""
    parts = urllib.parse.urlsplit(address)
    query = "&".join(filter(None, [parts.query, "tf-hub-format=compressed"]))
    temporary = archive.with_name(f".{archive.name}.fetched")
    try:
        download_file(urllib.parse.urlunsplit(parts._replace(query=query)), temporary, description="Module",
                      max_bytes=MAX_BYTES, timeout=TIMEOUT_SECONDS)
        if not is_gzip(temporary):
            raise ExtractorError(f"{address} returns a web page or some other file, not a module.")
        _unpack(temporary, folder, address, address)
    except TfpoetsError as error:
        raise ExtractorError(error.problem, _manual_download_remedy(archive)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _unpack(archive: Path, folder: Path, source: str, archive_name: str) -> None:
    """Unpack an archive into a temporary folder, write the manifest, and rename the folder.

    Args:
        archive: The .tar.gz file.
        folder: The destination.
        source: The origin of the archive, which the manifest records.
        archive_name: The name of the archive in error messages.
    """
    if folder.exists() and not (folder / MANIFEST).exists():
        raise ExtractorError(f"The folder {folder} was not created by this program, and it contains no "
                             "saved_model.pb.", "Copy the module's files into it, or move the folder elsewhere.")
    if not is_gzip(archive):
        raise ExtractorError(f"{archive} is not a .tar.gz archive.",
                             "Use a module as it was downloaded, or its unpacked folder.")
    prefix = f".unpacking-{folder.name}-"
    for abandoned in folder.parent.glob(f"{glob.escape(prefix)}*"):  # from killed runs, since this run holds the lock
        shutil.rmtree(abandoned, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=prefix))
    try:
        extract_tar_gz(archive, temporary, MAX_BYTES, archive_name)
        module = _find_module_root(temporary)
        _write_manifest(module, source)
        module.chmod(0o755)  # mkdtemp makes folders private; this one need not be
        if folder.exists():
            shutil.rmtree(folder)
        module.rename(folder)
    except OSError as error:
        raise ExtractorError(f"{archive.name} cannot be unpacked into {folder.parent}: {one_line(error)}",
                             "Choose another folder with `model_dir`.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _find_module_root(folder: Path) -> Path:
    """Return the only folder in an unpacked archive, or the top folder if it contains anything else."""
    entries = list(folder.iterdir())
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder


def _write_manifest(module: Path, source: str) -> None:
    (module / MANIFEST).unlink(missing_ok=True)  # from an earlier download that was packed into the archive
    files = {path.relative_to(module).as_posix(): [path.stat().st_size, _sha256(path)]
             for path in sorted(module.rglob("*")) if path.is_file()}
    (module / MANIFEST).write_text(json.dumps({"source": source, "files": files}, indent=1), "utf-8")


def _is_complete(folder: Path) -> bool:
    """Return whether all files in the manifest are intact; a user's folder, which has none, needs a saved_model.pb."""
    if not (folder / MANIFEST).exists():
        return (folder / "saved_model.pb").is_file()
    try:
        files = json.loads((folder / MANIFEST).read_text("utf-8"))["files"]
        return bool(files) and all(_is_intact(folder / name, *entry) for name, entry in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _is_intact(path: Path, size: int, sha256: str) -> bool:
    return path.is_file() and path.stat().st_size == size and _sha256(path) == sha256


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
