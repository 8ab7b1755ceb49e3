"""Paths as option values, checks of output paths before any work is done, and atomic writing of files."""
from __future__ import annotations

import contextlib
import dataclasses
import glob
import os
import re
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tfpoets.errors import OptionError, TfpoetsError

# A temporary file that is older than this was left behind by a run that was killed.
ABANDONED_SECONDS = 60.0
# Parameters of the signed URLs of Azure, Amazon and Google, and others that usually hold a secret.
_SECRET_PARAMETER = re.compile(r"[?&](sig|signature|token|key|password|secret|(x-amz|x-goog)-[a-z-]+|awsaccesskeyid|"
                               r"access_token)=", re.IGNORECASE)


def as_path(option: str, value: object) -> Path:
    """Return the value of an option as a path; raise OptionError if it is not a path, for example an address."""
    if isinstance(value, str) and "://" in value:
        raise OptionError(f"`{option}`={value} is an address, but a local path is needed.")
    if isinstance(value, str | os.PathLike) and os.fspath(value):
        return Path(value)
    raise OptionError(f"`{option}`={value!r} is not a path.")


def as_location(option: str, value: object) -> Path | str:
    """Return a location of photos as a path; one with a scheme ("s3://...") is returned unchanged, as a string.

    Raises:
        OptionError: It is neither a path nor a non-empty string, or an address with a password or a key.
    """
    if isinstance(value, str) and "://" in value:
        check_no_credentials(value, option)
        return value
    return as_path(option, value)


def check_no_credentials(address: str, option: str = "") -> None:
    """Raise OptionError, without showing the address, if it contains a password, a key or a signature.

    Addresses appear in messages, reports and metadata. A name in front of the host is allowed only where it is not
    secret: abfs://CONTAINER@ACCOUNT.dfs.core.windows.net.
    """
    scheme, _, rest = address.partition("://")
    user, at_sign, _ = rest.partition("/")[0].rpartition("@")
    has_user = bool(at_sign) and (":" in user or not scheme.lower().startswith(("abfs", "az")))
    if has_user or _SECRET_PARAMETER.search(rest):
        raise OptionError(f"{f'`{option}`' if option else 'An address'} contains a password, a key or a signature, "
                          "which would be stored and shown.",
                          "Set the credentials in the environment instead; docs/cloud.md lists the variables.", option)


def convert_to_paths(options: Any, *names: str) -> None:
    """Convert fields of a frozen dataclass from strings to paths; to be called in its `__post_init__`.

    Raises:
        OptionError: A value is neither a path nor a string. None is allowed only if it is the default of the field.
    """
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name in names and not (value is None and field.default is None):
            object.__setattr__(options, field.name, as_path(field.name, value))


def convert_to_locations(options: Any, *names: str) -> None:
    """Convert fields of a frozen dataclass like `convert_to_paths`, but with `as_location`."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name in names and not (value is None and field.default is None):
            object.__setattr__(options, field.name, as_location(field.name, value))


def write_file(path: Path, content: str | bytes | Iterable[str]) -> None:
    """Write a file atomically: it appears under its name only when it is complete.

    Args:
        path: The file to write. Missing folders are created.
        content: The whole content, or its parts in order, so that a large text need not be in memory. Text is encoded
            as UTF-8; characters that UTF-8 cannot encode are escaped with backslashes.

    Raises:
        TfpoetsError: The file cannot be written.
    """
    parts = [content] if isinstance(content, str | bytes) else content
    partial = partial_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned_parts(path, ABANDONED_SECONDS)
        with partial.open("wb") as file:
            file.writelines(part.encode("utf-8", "backslashreplace") if isinstance(part, str) else part
                            for part in parts)
        sync_file(partial)
        os.replace(partial, path)
    except OSError as error:
        raise TfpoetsError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def partial_path(path: Path) -> Path:
    """Return a hidden path next to a file, for its content while it is incomplete; it differs in every call."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


def remove_abandoned_parts(path: Path, min_age: float = 0.0) -> None:
    """Remove the incomplete files that killed runs left behind at a `partial_path`.

    Args:
        path: The file that they would have become.
        min_age: How old they must be, in seconds; 0 if no other run can be writing the file.
    """
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime >= min_age:
                part.unlink()


def sync_file(path: Path) -> None:
    """Write a file to the disk, since a file that is renamed before this can be empty after a power failure."""
    with contextlib.suppress(OSError), path.open("rb+") as file:  # some file systems cannot do this
        os.fsync(file.fileno())


def check_output_file(path: Path, option: str, image_dir: Path | str | None = None) -> None:
    """Check that a file can be written, and create its folder.

    Args:
        path: The file.
        option: The name of the option that holds `path`.
        image_dir: A photo folder; the file must not lie in one of its class folders.

    Raises:
        TfpoetsError: The file cannot be written, or would be inside the folder of a class.
    """
    if path.is_dir() or not path.name:
        raise OptionError(f"`{option}`={path} is a folder.", "Choose the name of a file.")
    if image_dir is not None:
        check_not_below_image_dir(path.parent, option, image_dir, path)
    check_output_folder(path.parent)


def check_output_folder(folder: Path) -> None:
    """Create a folder if it is missing; raise TfpoetsError if nothing can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TfpoetsError(f"The folder {folder} cannot be created: {error.strerror}.") from error
    if not os.access(folder, os.W_OK):
        raise TfpoetsError(f"The folder {folder} is not writable.", "Choose another one.")


def real_path(path: Path) -> Path:
    """Return a path as absolute and without links; unlike `Path.resolve`, also that of a link that leads to itself."""
    return Path(os.path.realpath(path))


def check_outside_image_dir(folder: Path, option: str, image_dir: Path | str, value: Path) -> None:
    """Raise OptionError if a folder is `image_dir` or lies below it, since every folder in `image_dir` is a class.

    Args:
        folder: The folder to check.
        option: The name of the option that determines the folder.
        image_dir: The photo folder, or a location with a scheme, which contains no local folder.
        value: The value of the option, for the message: `folder`, or a file in it.
    """
    if isinstance(image_dir, Path) and real_path(folder) == real_path(image_dir):
        raise OptionError(f"`{option}`={value} is the photo folder.", "Choose a different folder.")
    check_not_below_image_dir(folder, option, image_dir, value)


def check_not_below_image_dir(folder: Path, option: str, image_dir: Path | str, value: Path) -> None:
    """Raise OptionError if a folder lies below `image_dir`; the arguments are those of `check_outside_image_dir`."""
    if isinstance(image_dir, Path) and real_path(image_dir) in real_path(folder).parents:
        photos = image_dir if image_dir.name else real_path(image_dir)
        raise OptionError(f"`{option}`={value} is inside the photo folder {photos}.",
                          "Choose a location outside it, or run the command in another folder.")
