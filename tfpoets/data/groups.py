"""Find the groups of photos (of one video, object or patient) in their file names."""
from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import PurePath

from tfpoets.errors import DataError

from .dataset import Dataset
from .name_patterns import compile_pattern

log = logging.getLogger(__name__)


def with_groups(dataset: Dataset, group_pattern: str, root: str | os.PathLike[str], required: bool = True) -> Dataset:
    """Return the dataset with the group of each photo that `group_pattern` finds in its name.

    Args:
        dataset: The photos.
        group_pattern: The pattern.
        root: The folder to which the paths that the pattern matches are relative.
        required: Whether the pattern must match a photo.

    Raises:
        DataError: The pattern matches no photo, although it must.
    """
    pattern = compile_pattern("group_pattern", group_pattern, "group")
    paths = [PurePath(os.path.relpath(photo.uri, root)) for photo in dataset.photos]
    groups = [pattern.find(path) for path in paths]
    n_unmatched = groups.count("")
    example = next((path for path, group in zip(paths, groups) if not group), "")
    if n_unmatched == len(groups) and required:
        raise DataError(f"`group_pattern`={group_pattern} matches none of the photos in {dataset.location}, such as "
                        f"{example}.", "Correct the pattern.")
    n_groups = len(set(groups) - {""})
    log.info("Groups: %d photos in %d groups, which are kept together.", len(groups) - n_unmatched, n_groups)
    if n_unmatched:
        log.warning("`group_pattern` does not match %d photos, such as %s; each of them is a group of its own, "
                    "unless it already belongs to a group.", n_unmatched, example)
    return replace(dataset, photos=tuple(replace(photo, group=group or photo.group)
                                         for photo, group in zip(dataset.photos, groups)))
