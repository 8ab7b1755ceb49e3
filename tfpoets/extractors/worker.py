"""A worker process that processes photos; `python -m tfpoets.extractors.worker` runs it.

It reads pickled messages from standard input: a WorkerSetup, then lists of Tasks. It writes pickled messages to
standard output: a reason why it cannot start ("" if it can), then lists of task numbers and PhotoResults, or an
exception. It ends when its standard input does, so it does not outlive the process that started it.
"""
from __future__ import annotations

import os
import pickle
import signal
import sys
import time
from typing import Any, BinaryIO

from .photo_processor import PhotoProcessor, PhotoResult
from .worker_protocol import Task, WorkerSetup

# Results are sent at least this often, in seconds, so that little work is lost if the run is killed.
SEND_SECONDS = 0.25


def main() -> None:
    """Process photos until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one decides what Ctrl-C means
    tasks, results = sys.stdin.buffer, _take_standard_output()
    try:
        try:
            setup: WorkerSetup = pickle.load(tasks)
        except Exception as error:  # for example, an object of a class that only the caller's script defines
            return _send(results, f"{type(error).__name__}: {error}")
        _send(results, "")
        _process_tasks(setup, tasks, results)
    except BrokenPipeError:  # the process that started this one has ended
        os._exit(1)
    except BaseException as error:  # raised again in the process that started this one
        _send(results, _picklable(error))


def _take_standard_output() -> BinaryIO:
    """Return standard output for messages, and redirect whatever else is printed to os.devnull."""
    results = os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "wb") as devnull:
        os.dup2(devnull.fileno(), 1)
    return results


def _process_tasks(setup: WorkerSetup, tasks: BinaryIO, results: BinaryIO) -> None:
    processor = PhotoProcessor(setup.job, setup.engine, setup.claims)
    while True:
        try:
            chunk: list[Task] = pickle.load(tasks)
        except EOFError:
            return
        finished, sent_at = [], time.monotonic()
        for task in chunk:
            result = processor.process(setup.photo(task), task.repeated)
            _move_pixels(result, task, setup)
            finished.append((task.number, result))
            if time.monotonic() - sent_at > SEND_SECONDS:
                _send(results, finished)
                finished, sent_at = [], time.monotonic()
        if finished:
            _send(results, finished)


def _move_pixels(result: PhotoResult, task: Task, setup: WorkerSetup) -> None:
    """Move the pixels of a result, if any, to the shared memory."""
    if result.pixels and setup.slots:
        result.slots = task.slots[:len(result.pixels)]
        for slot, pixels in zip(result.slots, result.pixels):
            setup.slots.array[slot] = pixels
        result.pixels = ()


def _send(results: BinaryIO, message: Any) -> None:
    pickle.dump(message, results, pickle.HIGHEST_PROTOCOL)
    results.flush()


def _picklable(error: BaseException) -> BaseException:
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:  # exceptions whose constructor takes other arguments, and any error of their own __reduce__
        return RuntimeError(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
