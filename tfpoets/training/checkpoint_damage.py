"""Recognize damaged checkpoints before TensorFlow reads them."""
from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tfpoets.files import write_file
from tfpoets.tf_runtime import import_tensorflow

# The hashes of the files of the newest checkpoint in a folder. Earlier versions did not write them.
CHECKSUMS_FILE = "checksums.json"
# The file that names the newest checkpoint, and the variable with the finished epochs (training_run.py).
STATE_FILE, HISTORY = "checkpoint", "history/.ATTRIBUTES/VARIABLE_VALUE"


def write_checksums(folder: Path, name: str) -> None:
    """Write the hashes of the files of a checkpoint.

    Args:
        folder: The folder of the checkpoint.
        name: Its name, with which the names of its files begin.
    """
    hashes = {path.name: _hash_file(path) for path in sorted(folder.glob(f"{name}.*"))}
    write_file(folder / CHECKSUMS_FILE, json.dumps(hashes, indent=1))


def is_intact(folder: Path) -> bool:
    """Return whether the checkpoints of a training run can be used: those in its subfolders `last` and `best`.

    There is no best epoch before the first one has ended.
    """
    last, best = (_find_checkpoint(folder / name) for name in ("last", "best"))
    if "" in (last, best):
        return False
    if last is None:
        return best is None
    return best is not None or _count_epochs(folder / "last" / last) == 0


def _find_checkpoint(folder: Path) -> str | None:
    """Return the name of the newest checkpoint in a folder; None if there is none, "" if it is damaged."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    try:
        latest = import_tensorflow().train.latest_checkpoint(str(folder))
    except Exception:  # TensorFlow raises many kinds of errors for damaged files
        return ""
    if latest is None or Path(latest).parent != folder:
        return ""
    name = Path(latest).name
    try:
        hashes = json.loads((folder / CHECKSUMS_FILE).read_text("utf-8"))
        files = {path.name for path in folder.glob(f"{name}.*")}
        if files & hashes.keys():
            is_valid = files == hashes.keys() and all(_hash_file(folder / file) == hashes[file] for file in files)
            return name if is_valid else ""
    except FileNotFoundError:
        pass
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""
    # An earlier version wrote it, or the run was killed before it wrote the hashes.
    return name if _is_readable(latest) else ""


def _is_readable(prefix: str) -> bool:
    """Return whether TensorFlow can read all variables, whose checksums it verifies."""
    try:
        reader = import_tensorflow().train.load_checkpoint(prefix)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
        return True
    except Exception:
        return False


def _count_epochs(prefix: Path) -> int:
    history = import_tensorflow().train.load_checkpoint(str(prefix)).get_tensor(HISTORY)
    return len(json.loads(history))


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
