"""Checkpoints of a training run: the last state, to resume from, and the weights of the best epoch."""
from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfpoets.errors import TrainingError, one_line
from tfpoets.tf_runtime import import_tensorflow

SAVE_SECONDS = 30.0
# Increase this when the meaning of steps, metrics or variables changes. Checkpoints of other versions are not resumed.
LOOP_VERSION = 2


class Checkpoints:
    """Saves and restores TensorFlow variables.

    Args:
        folder: The folder for the checkpoints of this training run only.
        weights: The variables of the network and the head.
        state: The other variables that are needed to resume training, by name.

    Raises:
        TrainingError: The existing checkpoints are damaged.
    """

    def __init__(self, folder: Path, weights: Sequence[Any], state: Mapping[str, Any]):
        self._tf = import_tensorflow()
        named_weights = {f"variable{number}": variable for number, variable in enumerate(weights)}
        self._last = self._create_manager(folder / "last", {**named_weights, **state})
        self._best = self._create_manager(folder / "best", named_weights)
        self._saved_at = time.monotonic()

    def _create_manager(self, folder: Path, variables: dict[str, Any]) -> Any:
        try:
            return self._tf.train.CheckpointManager(self._tf.train.Checkpoint(**variables), str(folder), max_to_keep=1)
        except ValueError as error:
            raise _read_error(folder, one_line(error)) from error

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
        except (OSError, self._tf.errors.OpError) as error:
            raise TrainingError(f"Checkpoints cannot be written to {manager.directory}: is the disk full?",
                                "Free some space, or choose another `bottleneck_dir`.") from error

    def _restore(self, manager: Any) -> None:
        try:
            if manager.restore_or_initialize():
                return
            reason = "it is missing."
        except Exception as error:  # TensorFlow raises many kinds of errors for damaged files
            reason = one_line(error)
        raise _read_error(Path(manager.directory), reason)


def _read_error(folder: Path, reason: str) -> TrainingError:
    return TrainingError(f"The checkpoint in {folder} cannot be read: {reason}",
                         f"Delete {folder.parent} to train from the beginning.")
