"""Curves and images for TensorBoard, written by TensorBoard's own code, which does not need TensorFlow."""
from __future__ import annotations

import io
import itertools
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .curves import Curves

_file_numbers = itertools.count()


def write_summaries(folder: Path, curves: Curves, images: dict[str, np.ndarray] | None = None) -> None:
    """Write each curve as a run, and the images as the run `test`.

    Args:
        folder: The log folder of this training run. Nothing in it is deleted.
        curves: The points of each run, each with its `step` and the metrics at that step.
        images: uint8 [height, width, 3], by name.
    """
    for run, points in curves.items():
        with _open_log(folder / run) as log:
            for point in points:
                for name, value in point.items():
                    if name != "step":
                        log.add(int(point["step"]), tag=name, simple_value=value)
    if images:
        with _open_log(folder / "test") as log:
            for name, image in images.items():
                log.add_image(name, image)


class _EventLog:
    """An event file, to which values can be added."""

    def __init__(self, records: Any):
        from tensorboard.compat.proto import event_pb2, summary_pb2
        self._records, self._events, self._summaries = records, event_pb2, summary_pb2
        self._write(file_version="brain.Event:2")

    def _write(self, **fields: Any) -> None:
        self._records.write(self._events.Event(wall_time=time.time(), **fields).SerializeToString())

    def add(self, step: int, **fields: Any) -> None:
        """Add a value at a step; the fields are those of the message Summary.Value."""
        self._write(step=step, summary=self._summaries.Summary(value=[self._summaries.Summary.Value(**fields)]))

    def add_image(self, name: str, image: np.ndarray) -> None:
        """Add an image at step 0: uint8 [height, width, 3]."""
        content = io.BytesIO()
        Image.fromarray(image).save(content, "PNG")
        height, width, channels = image.shape
        self.add(0, tag=name, image=self._summaries.Summary.Image(
            height=height, width=width, colorspace=channels, encoded_image_string=content.getvalue()))


@contextmanager
def _open_log(folder: Path) -> Iterator[_EventLog]:
    """Create an event file with a unique name, which TensorBoard recognizes."""
    from tensorboard.summary.writer.record_writer import RecordWriter
    folder.mkdir(parents=True, exist_ok=True)
    name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.{next(_file_numbers)}.v2"
    with open(folder / name, "xb") as file:
        yield _EventLog(RecordWriter(file))
