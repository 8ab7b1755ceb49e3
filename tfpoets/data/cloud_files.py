"""List and read files in cloud storage through fsspec."""
from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterable
from concurrent.futures import CancelledError, Future
from typing import Any, BinaryIO

from tfpoets.errors import DataError, PhotoError

from .cloud_address import PACKAGES, CloudPath, bucket_of, scheme_of
from .cloud_errors import is_empty_file, is_missing, listing_error, photo_error
from .file_tree import MAX_DEPTH, FileTree, is_junk
from .formats import has_photo_suffix
from .photo_files import MAX_BYTES, too_large_reason
from .read_ahead import MAX_FILES, ReadAhead

# How many folders are listed at the same time. The description of a file takes about 2 KB until it has been read.
MAX_LISTINGS = 8
# A request may take this long, and longer if the files that are read at the same time arrive at this speed, in bytes
# per second, all together.
DEADLINE_SECONDS, MIN_BYTES_PER_SECOND = 60.0, 200_000
# Files that are not larger than this count as this large, so that workers need not know the sizes of all files.
SMALL_BYTES = 4 * 2 ** 20
# If this many photos in a row cannot be read, something other than the photos is wrong.
MAX_FAILURES = 20

# Options of the file systems. Every request is tried twice by the client of the service and twice by fsspec.
OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "s3": {"config_kwargs": {"connect_timeout": 5, "read_timeout": 15, "max_pool_connections": 2 * MAX_FILES,
                             "retries": {"mode": "standard", "total_max_attempts": 2}}}}
RETRIES = 2
# The clients of other services repeat a request for more than a minute before they report that there is no network.
# Their first answer must arrive within this time, in seconds.
ANSWER_SECONDS = 20.0


class CloudFiles:
    """A reader of files in one bucket or below one folder of it.

    It can be pickled, and connects when it is first used, in each process. The credentials are those of the
    environment; they are not part of this object.

    Args:
        root: The address of the bucket or folder.
    """

    def __init__(self, root: CloudPath):
        self.root = root
        self._stamps: dict[str, str] = {}
        self._large: dict[str, int] = {}
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._system: Any = None
        self._process = os.getpid()
        self._ahead = ReadAhead(self._request, lambda uri: self._large.get(uri, SMALL_BYTES))
        self._failures = 0

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "_large": self._large}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _stamps={})
        self._reset()

    def list_tree(self, folder: CloudPath) -> FileTree:
        """List a folder and everything below it, and remember the stamps of the files.

        A file is a photo if its name has the suffix of an image format; no file is opened.

        Raises:
            DataError: The folder cannot be listed.
        """
        self._connect()
        try:
            self._submit(self._check_server()).result()
            return self._submit(self._list_folder(folder)).result()
        except Exception as error:
            raise listing_error(error, str(folder)) from error

    def list_folders(self, folder: CloudPath) -> list[str]:
        """Return the names of the folders directly in a folder; raise DataError if it cannot be listed."""
        self._connect()
        try:
            entries = self._submit(self._system._ls(self._system._strip_protocol(str(folder)), detail=True)).result()
        except Exception as error:
            raise listing_error(error, str(folder)) from error
        return [entry["name"].rstrip("/").rpartition("/")[2] for entry in entries if entry["type"] == "directory"]

    def open(self, uri: str) -> BinaryIO:
        """Open a file, which has been read completely.

        Raises:
            PhotoError: The file cannot be read; the message is the reason.
            DataError: Many files in a row cannot be read.
        """
        self._connect()
        future = self._ahead.take(uri) or self._request(uri)
        try:
            try:
                data = future.result()
            except CancelledError:  # by another thread
                data = self._request(uri).result()
        except Exception as error:
            raise self._explain(uri, error) from error
        self._failures = 0
        if len(data) > MAX_BYTES:
            raise PhotoError(too_large_reason())
        return io.BytesIO(data)

    def stamps(self, uris: Iterable[str]) -> dict[str, str]:
        """Return the stamps of files from when the folder was listed: the size, and the ETag or the time."""
        return {uri: self._stamps.get(uri, "") for uri in uris}

    def prefetch(self, uris: Iterable[str]) -> None:
        """Begin to read files, in this order, within limits; `open` then returns them sooner."""
        self._connect()
        self._ahead.add(uris)

    def cancel(self) -> None:
        """Drop the files that were read ahead and not opened."""
        self._ahead.clear()

    def _connect(self) -> Any:
        """Return the file system."""
        if self._process != os.getpid():  # after a fork, which copies neither threads nor connections
            self._reset()
        with self._lock:
            if self._system is None:
                self._system = _open_file_system(str(self.root))
            return self._system

    def _submit(self, coroutine: Any) -> Future[Any]:
        """Run a coroutine in the thread of fsspec, which handles all requests."""
        import asyncio  # imported here, because it takes long, and few photos are in cloud storage
        return asyncio.run_coroutine_threadsafe(coroutine, self._system.loop)

    def _request(self, uri: str) -> Future[bytes]:
        size = self._large.get(uri, SMALL_BYTES)
        seconds = DEADLINE_SECONDS + MAX_FILES * size / MIN_BYTES_PER_SECOND
        return self._submit(_read(self._system, uri, seconds))

    async def _check_server(self) -> None:
        """Raise TimeoutError if a server that does not limit the number of attempts does not answer."""
        import asyncio
        if scheme_of(str(self.root)) in OPTIONS:
            return
        try:
            await asyncio.wait_for(self._system._info(self._system._strip_protocol(bucket_of(self.root))),
                                   ANSWER_SECONDS)
        except TimeoutError:
            raise
        except Exception:  # an answer, though perhaps without the permission to see the bucket
            pass

    async def _list_folder(self, path: CloudPath, depth: int = 0, turns: Any = None) -> FileTree:
        import asyncio
        tree, folders, turns = FileTree(path), [], turns or asyncio.Semaphore(MAX_LISTINGS)
        async with turns:
            own_name = self._system._strip_protocol(str(path))
            for entry in await self._system._ls(own_name, detail=True):
                name = entry["name"].rstrip("/").rpartition("/")[2]
                if entry["name"].rstrip("/") == own_name or not name or is_junk(name):
                    continue  # the folder itself, which some programs store as an empty object, or junk
                if entry["type"] == "directory":
                    folders.append(name)
                elif has_photo_suffix(name):
                    tree.photos.append(name)
                    self._remember(str(path / name), entry)
                else:
                    tree.other_files.append(name)
        if depth < MAX_DEPTH:
            tree.folders = await asyncio.gather(*(self._list_folder(path / name, depth + 1, turns)
                                                  for name in sorted(folders)))
        tree.photos.sort()
        tree.other_files.sort()
        tree.total = len(tree.photos) + sum(folder.total for folder in tree.folders)
        return tree

    def _remember(self, uri: str, entry: dict[str, Any]) -> None:
        size = entry.get("size") or 0
        version = next((entry[key] for key in ("ETag", "etag", "LastModified", "last_modified", "updated")
                        if entry.get(key)), "")
        self._stamps[uri] = f"{size} {version}" if version else ""
        if size > SMALL_BYTES:
            self._large[uri] = size

    def _explain(self, uri: str, error: Exception) -> PhotoError | DataError:
        """Return the error for a photo, or for all of them if too many in a row could not be read."""
        if not is_missing(error):
            self._failures += 1
            if self._failures >= MAX_FAILURES:
                return listing_error(error, str(self.root))
        return photo_error(error)


def _open_file_system(address: str) -> Any:
    """Return the file system of fsspec for an address, with the settings of the environment.

    Raises:
        DataError: A package is missing, or there are no credentials.
    """
    scheme = scheme_of(address)
    try:
        import fsspec  # imported here, because it is an optional package
        cls = fsspec.get_filesystem_class(scheme)
    except ImportError:
        raise DataError(f"Reading {scheme}:// addresses needs the package {PACKAGES[scheme]}.",
                        f"Run: pip install fsspec {PACKAGES[scheme]}") from None
    own = fsspec.config.conf.get(scheme, {})  # has precedence over OPTIONS
    options = {key: {**value, **own.get(key, {})} for key, value in OPTIONS.get(scheme, {}).items()}
    try:
        system = cls(skip_instance_cache=True, use_listings_cache=False, **options,
                     **cls._get_kwargs_from_urls(address))
    except Exception as error:
        raise listing_error(error, address) from error
    system.retries = RETRIES
    return system


async def _read(system: Any, uri: str, seconds: float) -> bytes:
    """Return the content of a file, or one byte more than MAX_BYTES of it."""
    import asyncio
    try:
        return await asyncio.wait_for(
            system._cat_file(system._strip_protocol(uri), start=0, end=MAX_BYTES + 1), seconds)
    except Exception as error:
        if is_empty_file(error):
            return b""
        raise
