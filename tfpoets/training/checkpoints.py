"""Checkpoints of a training run: the last state, to resume from, and the weights of the best epoch."""
from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfpoets.errors import TrainingError, one_line
from tfpoets.publication import clean_up
from tfpoets.tf_runtime import import_tensorflow

from .checkpoint_damage import is_intact, write_checksums
from .schedules import count_constant_epochs

log = logging.getLogger(__name__)

SAVE_SECONDS = 30.0
# Increase this when the meaning of steps, metrics or variables changes. Checkpoints of other versions are not resumed,
# except those of COSINE_LOOP_VERSION, in which the learning rate had a cosine decay.
LOOP_VERSION, COSINE_LOOP_VERSION = 3, 2


class RunFolder:
    """The folder of the checkpoints of one training run.

    Training runs that differ only in the number of epochs share a folder. It has a subfolder epochs-N for each of
    them, and constant-N for the state after N epochs at the constant learning rate, from which longer runs continue.

    Args:
        folder: The shared folder; or the folder of a training run of an earlier version, which has no subfolders.
        epochs: The number of epochs of this training run.
        schedule: How its learning rate decreases: one of SCHEDULES.
    """

    def __init__(self, folder: Path, epochs: int, schedule: str = "constant"):
        self.shared, self._n_constant = folder, count_constant_epochs(epochs, schedule)
        self.is_earlier_version = (folder / "last").is_dir()
        self.path = folder if self.is_earlier_version else folder / f"epochs-{epochs}"

    def set_damaged_aside(self) -> bool:
        """Rename the state of this run, or the one from which it would continue, if it is damaged.

        No other run may use the shared folder.

        Returns:
            Whether the state of this run was renamed. An object for the folder must then be created again.
        """
        while not self.path.is_dir() and (shorter := self._shorter()) and not is_intact(shorter):
            _rename_damaged(shorter)
        if not self.path.is_dir() or is_intact(self.path):
            return False
        states = [self.path / name for name in ("last", "best")] if self.is_earlier_version else [self.path]
        for state in states:
            _rename_damaged(state)
        return True

    def remove_parts(self) -> None:
        """Remove what a killed run left unfinished; no other run may use the shared folder."""
        clean_up(self.shared, "extractor-")
        for part in (*self.shared.glob("*.part"), *self.shared.glob("**/*_temp")):
            shutil.rmtree(part, ignore_errors=True)

    def can_continue(self) -> bool:
        """Return whether this training run, or a shorter one from which it continues, has saved its state."""
        return (self.path / "last" / "checkpoint").is_file() or not self.path.is_dir() and self._shorter() is not None

    def copy_shorter_run(self) -> None:
        """Start from the kept state with the most epochs that this run can continue, unless it has already started."""
        shorter = self._shorter()
        if shorter and not self.path.is_dir():
            _copy_folder(shorter, self.path)

    def keep(self, epochs: int) -> None:
        """Keep the current state, after this number of epochs, for longer runs."""
        if not self.is_earlier_version and not self._kept(epochs).is_dir():
            _copy_folder(self.path, self._kept(epochs))

    def _shorter(self) -> Path | None:
        kept = [self._kept(epochs) for epochs in range(self._n_constant, 0, -1)]
        return next((folder for folder in kept if folder.is_dir()), None)

    def _kept(self, epochs: int) -> Path:
        return self.shared / f"constant-{epochs}"


def _rename_damaged(folder: Path) -> None:
    """Rename a folder of damaged checkpoints, if it exists, and remove the one that was renamed before."""
    if not folder.is_dir():
        return
    for earlier in folder.parent.glob(f"{folder.name}.broken-*"):
        shutil.rmtree(earlier, ignore_errors=True)
    broken = folder.with_name(f"{folder.name}.broken-{time.strftime('%Y%m%d-%H%M%S')}")
    try:
        folder.rename(broken)
    except OSError as error:
        raise _write_error(folder) from error
    log.warning("The checkpoints in %s were damaged. They were renamed to %s, and are not used.", folder, broken.name)


def _copy_folder(source: Path, destination: Path) -> None:
    """Copy a folder so that the destination appears only when it is complete.

    Another process may copy the same folder at the same time.
    """
    try:
        part = Path(tempfile.mkdtemp(prefix=f"{destination.name}.", suffix=".part", dir=destination.parent))
        try:
            shutil.copytree(source, part, dirs_exist_ok=True)
            part.rename(destination)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        if not destination.is_dir():
            raise _write_error(destination) from error


class Checkpoints:
    """Saves and restores TensorFlow variables.

    Args:
        folder: The folder of this training run.
        weights: The variables of the network and the head.
        state: The other variables that are needed to resume training, by name.

    Raises:
        TrainingError: The existing checkpoints are damaged.
    """

    def __init__(self, folder: RunFolder, weights: Sequence[Any], state: Mapping[str, Any]):
        self._tf = import_tensorflow()
        self._shared_folder = folder.shared
        named_weights = {f"variable{number}": variable for number, variable in enumerate(weights)}
        self._last = self._create_manager(folder.path / "last", {**named_weights, **state})
        self._best = self._create_manager(folder.path / "best", named_weights)
        self._saved_at = time.monotonic()

    def _create_manager(self, folder: Path, variables: dict[str, Any]) -> Any:
        try:
            return self._tf.train.CheckpointManager(self._tf.train.Checkpoint(**variables), str(folder), max_to_keep=1)
        except ValueError as error:
            raise self._read_error(folder, one_line(error)) from error

    def restore_last(self) -> None:
        """Restore the last state, if there is one."""
        if self._last.latest_checkpoint:
            self._restore(self._last)

    def restore_best(self) -> None:
        """Restore the weights of the best epoch; raise TrainingError if they are missing or damaged."""
        self._restore(self._best)

    def save_last(self) -> None:
        """Save the current state; raise TrainingError if it cannot be written."""
        self._save(self._last)
        self._saved_at = time.monotonic()

    def save_last_if_due(self) -> None:
        """Save the current state if more than SAVE_SECONDS have passed since the last save."""
        if time.monotonic() - self._saved_at > SAVE_SECONDS:
            self.save_last()

    def save_best(self) -> None:
        """Save the current weights as the best ones; raise TrainingError if they cannot be written."""
        self._save(self._best)

    def _save(self, manager: Any) -> None:
        try:
            manager.save()
            write_checksums(Path(manager.directory), Path(manager.latest_checkpoint).name)
        except (OSError, self._tf.errors.OpError) as error:
            raise _write_error(Path(manager.directory)) from error

    def _restore(self, manager: Any) -> None:
        try:
            if manager.restore_or_initialize():
                return
            reason = "it is missing."
        except Exception as error:  # TensorFlow raises many kinds of errors for damaged files
            reason = one_line(error)
        raise self._read_error(Path(manager.directory), reason)

    def _read_error(self, folder: Path, reason: str) -> TrainingError:
        return TrainingError(f"The checkpoint in {folder} cannot be read: {reason}",
                             f"Delete {self._shared_folder} to train from the beginning.")


def _write_error(folder: Path) -> TrainingError:
    return TrainingError(f"Checkpoints cannot be written to {folder}: is the disk full?",
                         "Free some space, or choose another `bottleneck_dir`.")
