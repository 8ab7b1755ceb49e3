"""How much memory is free."""
from __future__ import annotations

from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
# The files with the limit and the usage of a group, and the statistic of pages that can be dropped, by version.
_LIMITS = (("memory.max", "memory.current", "inactive_file"),
           ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"))


def free_memory() -> int:
    """Return the number of bytes that this process can still use without swapping.

    It is the smaller of what the machine has available and what the control groups of the process (containers,
    services) leave it; pages of files that can be dropped count as free.
    """
    return min([psutil.virtual_memory().available, *_free_in_cgroups()])


def _free_in_cgroups() -> list[int]:
    free = []
    for folder in _cgroup_folders():
        for limit_name, usage_name, reclaimable in _LIMITS:
            try:
                limit, usage = int((folder / limit_name).read_text()), int((folder / usage_name).read_text())
                statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                free.append(max(0, limit - usage + int(statistics.get(reclaimable, 0))))
            except (OSError, ValueError):  # there is no such group, or its limit is "max"
                continue
    return free


def _cgroup_folders() -> list[Path]:
    """Return the folders of the control groups of this process that limit memory, with those that contain them."""
    folders = {CGROUPS, CGROUPS / "memory"}
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            root = CGROUPS / controllers
            folder = root / path.lstrip("/")
            folders.update(parent for parent in (folder, *folder.parents) if parent.is_relative_to(root))
    return sorted(folders)
