"""Files that a command writes: whole or not at all, never over what is the user's, and refused before the work."""
from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from tfpoets.errors import OptionError, TfpoetsError


def as_path(option: str, value: object) -> Path:
    """Return the value of an option as a path; raise OptionError for one that is neither a path nor text."""
    if isinstance(value, str | os.PathLike) and os.fspath(value):
        return Path(value)
    raise OptionError(f"`{option}`={value!r} is not a path.")


def as_location(option: str, value: object) -> Path | str:
    """Return a place of photos: a path, or text with a scheme ("s3://..."), which a path would mangle, as it is."""
    return value if isinstance(value, str) and "://" in value else as_path(option, value)


def convert_to_paths(options: Any, *names: str) -> None:
    """Make fields of a frozen dataclass paths, for its `__post_init__`; text will do.

    Raises:
        OptionError: a value is neither a path nor text, nor None where that is the field's default.
    """
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name in names and not (value is None and field.default is None):
            object.__setattr__(options, field.name, as_path(field.name, value))


def convert_to_locations(options: Any, *names: str) -> None:
    """Do the same for places of photos, as `as_location` gives them."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name in names and not (value is None and field.default is None):
            object.__setattr__(options, field.name, as_location(field.name, value))


def write_file(path: Path, content: str | bytes) -> None:
    """Writes a file so that it appears when it is whole; text as UTF-8, what UTF-8 cannot say with backslashes.

    Raises:
        TfpoetsError: it cannot be written.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        if part.is_file():
            part.unlink()
        raise TfpoetsError(f"{path} cannot be written: {error.strerror}.") from error


def check_output_file(path: Path, option: str, image_dir: Path | str | None = None) -> None:
    """Makes the folder of a file that will be written.

    Raises:
        TfpoetsError: it could not be written, or would lie among the photos of a class in `image_dir`.
    """
    if path.is_dir() or not path.name:
        raise OptionError(f"`{option}`={path} is a folder; a file is to be written there.")
    if image_dir is not None:
        check_not_below_image_dir(path.parent, option, image_dir, path)
    check_output_folder(path.parent)


def check_output_folder(folder: Path) -> None:
    """Makes a folder; raises a TfpoetsError where nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TfpoetsError(f"The folder {folder} cannot be made: {error.strerror}.") from error
    if not os.access(folder, os.W_OK):
        raise TfpoetsError(f"Nothing can be written into {folder}.", "Choose another place.")


def check_outside_image_dir(folder: Path, option: str, image_dir: Path | str, given: Path) -> None:
    """Raise an OptionError where a folder is that of the photos or lies below it: folders in there are classes."""
    if isinstance(image_dir, Path) and folder.resolve() == image_dir.resolve():
        raise OptionError(f"`{option}`={given} is the folder of the photos.", "Give another.")
    check_not_below_image_dir(folder, option, image_dir, given)


def check_not_below_image_dir(folder: Path, option: str, image_dir: Path | str, given: Path) -> None:
    """Raise an OptionError where a folder lies below the one of the photos: it would count as a class."""
    if isinstance(image_dir, Path) and image_dir.resolve() in folder.resolve().parents:
        photos = image_dir if image_dir.name else image_dir.resolve()
        raise OptionError(f"`{option}`={given} lies among the photos of {photos}.", "Give a place outside, or start "
                          "the command in another folder.")
