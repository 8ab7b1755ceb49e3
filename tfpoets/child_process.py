"""Start Python processes that do part of the work of this one, and return their errors."""
from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, BinaryIO


# For processes that use a single thread. With the malloc options, glibc keeps up to 64 MB of freed memory for the next
# photo. Otherwise the system would clear more than a hundred new memory pages for every photo, which takes a tenth of
# the time of decoding. A single arena keeps the address space of threads of decoders small.
SINGLE_THREADED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_TRIM_THRESHOLD_": str(2 ** 26),
                   "MALLOC_MMAP_THRESHOLD_": str(2 ** 26), "MALLOC_ARENA_MAX": "1"}


def start_module(module: str, environment: Mapping[str, str], descriptors: Sequence[int] = ()
                 ) -> subprocess.Popen[bytes]:
    """Run a module of this package in a new process, with pipes for its standard input and output.

    The process finds the same modules as this one, but does not import the program's main module, so a script need not
    protect its code with `if __name__ == "__main__"`. It does not receive Ctrl-C from the terminal, and what it writes
    to standard error is discarded. It should end when its standard input does, so that it does not outlive this
    process.

    Args:
        module: The name of the module.
        environment: Environment variables to set, in addition to those of this process.
        descriptors: File descriptors that the process inherits (POSIX).

    Raises:
        OSError: The process cannot be started.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        raise OSError("this program is not run by a Python interpreter that can be started again")
    options: dict[str, Any] = {"pass_fds": descriptors, "start_new_session": True}
    if sys.platform == "win32":
        options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path if isinstance(path, str))  # others are ignored
    return subprocess.Popen(
        # -P: without the current folder, whose files the user may not trust.
        [sys.executable, "-P", "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, env={**os.environ, **environment, "PYTHONPATH": paths}, **options)


def end_process(process: subprocess.Popen[bytes], join_reader: Callable[[], object] = lambda: None) -> None:
    """End a process if it is still running, wait for it, and close its pipes.

    Args:
        process: The process.
        join_reader: Waits for the thread that reads the output of the process, before the pipes are closed.
    """
    process.kill()
    process.wait()
    join_reader()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # data that the process did not read before it ended
            pipe and pipe.close()


def picklable(error: BaseException) -> BaseException:
    """Return an exception, or a RuntimeError with the same message if it cannot be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:  # exceptions whose constructor takes other arguments, and any error of their own __reduce__
        return RuntimeError(f"{type(error).__name__}: {error}")


def send(pipe: IO[bytes], message: Any) -> None:
    """Write a pickled message to a pipe."""
    pickle.dump(message, pipe, pickle.HIGHEST_PROTOCOL)
    pipe.flush()


def take_standard_output() -> BinaryIO:
    """Return standard output for messages, and redirect whatever else is printed to os.devnull."""
    results = os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "wb") as devnull:
        os.dup2(devnull.fileno(), 1)
    return results
