"""Options that specify where the labels and groups of photos are."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tfpoets.errors import OptionError, check_type
from tfpoets.files import as_path

from .name_patterns import compile_pattern


@dataclass(frozen=True)
class DatasetOptions:
    """Where the labels and groups of photos are, if not in the names of folders.

    Attributes:
        manifest: Tables that list the photos with their labels; empty to read folders. A single path, or a string with
            commas between paths, is converted.
        label_pattern: The pattern of file names that contain labels, such as "{index}_{label}.png", or a regular
            expression with a group named label; empty if the names of folders are the labels.
        group_pattern: The pattern of file names that contain the group of a photo (the video, object or patient), such
            as "video{group}_frame*", or a regular expression with a group named group. Photos of one group are in the
            same part of the split.
    """

    manifest: tuple[Path, ...] = ()
    label_pattern: str = ""
    group_pattern: str = ""

    def __post_init__(self) -> None:
        manifest: object = self.manifest
        if isinstance(manifest, str):
            manifest = [name.strip() for name in manifest.split(",") if name.strip()]
        if not isinstance(manifest, list | tuple):
            manifest = [manifest]
        object.__setattr__(self, "manifest", tuple(as_path("manifest", path).expanduser() for path in manifest))
        for name, field in (("label_pattern", "label"), ("group_pattern", "group")):
            check_type(name, getattr(self, name), str)
            if getattr(self, name):
                compile_pattern(name, getattr(self, name), field)
        if self.manifest and self.label_pattern:
            raise OptionError("`manifest` and `label_pattern` both determine the labels.", "Omit one of them.")
