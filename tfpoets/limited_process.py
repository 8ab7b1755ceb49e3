"""Run a function in a new process with limits on its time and memory, so that it cannot take this process with it."""
from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tfpoets.child_process import end_process, picklable, send, start_module, take_standard_output

Result = TypeVar("Result")

# Importing TensorFlow takes seconds, and minutes on a machine that is busy with other work.
START_SECONDS = 300.0
READY = "ready"
# It does not use GPUs: this process may use them, and TensorFlow takes all of their memory.
ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONDONTWRITEBYTECODE": "1"}


class LimitError(Exception):
    """A function was ended because it reached a limit, or it crashed; the message is the end of a sentence."""


class StartError(Exception):
    """No process can be started."""


def run_limited(function: Callable[..., Result], *arguments: Any, seconds: float, memory_bytes: int,
                modules: Sequence[str] = ()) -> Result:
    """Run a function in a new process, and return its result.

    On Linux, the process cannot allocate more than `memory_bytes`. On Linux and macOS, it cannot write to files. It is
    killed if it takes longer than `seconds`, or if this process ends.

    Args:
        function: A module-level function.
        *arguments: Its arguments, which are pickled.
        seconds: The limit on its time, which starts when the process has started and imported `modules`.
        memory_bytes: The limit on the memory that it allocates.
        modules: Names of modules to import before the time starts. TensorFlow is imported without Keras.

    Raises:
        LimitError: The function reached a limit, or crashed.
        StartError: No process can be started.
        Exception: The error that the function raised.
    """
    try:
        process = start_module(__name__, ENVIRONMENT)
    except OSError as error:
        raise StartError(str(error)) from error
    timer = _Killer(process, START_SECONDS)
    try:
        assert process.stdin and process.stdout
        with contextlib.suppress(BrokenPipeError):  # it has crashed, which the end of its output shows as well
            send(process.stdin, (memory_bytes, tuple(modules)))
            send(process.stdin, (function, arguments))
        try:
            if pickle.load(process.stdout) == READY:
                timer.restart(seconds)
            returned, value = pickle.load(process.stdout)
        except (EOFError, pickle.UnpicklingError):
            raise LimitError(_end_reason(process, timer)) from None
    finally:
        timer.cancel()
        end_process(process)
    if not returned:
        raise LimitError("needs too much memory") if isinstance(value, MemoryError) else value
    return value


class _Killer:
    """A timer that kills a process."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float):
        self._process, self.has_killed, self.seconds = process, False, seconds
        self._timer = self._start()

    def restart(self, seconds: float) -> None:
        self._timer.cancel()
        self.seconds = seconds
        self._timer = self._start()

    def _start(self) -> threading.Timer:
        timer = threading.Timer(self.seconds, self._kill)
        timer.daemon = True
        timer.start()
        return timer

    def cancel(self) -> None:
        self._timer.cancel()

    def _kill(self) -> None:
        self.has_killed = True
        self._process.kill()


def _end_reason(process: subprocess.Popen[bytes], timer: _Killer) -> str:
    code = process.wait()
    if timer.has_killed:
        return f"takes longer than {timer.seconds:g} seconds"
    with contextlib.suppress(ValueError):
        return f"crashes ({signal.Signals(-code).name})"
    return f"crashes (exit code {code})"


def main() -> None:
    """Import modules, run the function that arrives on standard input, and write the outcome to standard output."""
    results = take_standard_output()
    memory_bytes, modules = pickle.load(sys.stdin.buffer)
    if "tensorflow" in modules:
        # TensorFlow imports Keras, which takes as long as the rest. None makes the import fail, which TensorFlow
        # permits.
        sys.modules["keras"] = None  # type: ignore[assignment]
    for module in modules:
        importlib.import_module(module)
    function, arguments = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    send(results, READY)
    _set_limits(memory_bytes)
    try:
        outcome: tuple[bool, Any] = True, function(*arguments)
    except Exception as error:
        # TensorFlow's error for this cannot be sent to another process.
        is_memory_error = isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError"
        outcome = False, MemoryError() if is_memory_error else picklable(error)
    send(results, outcome)
    os._exit(0)  # does not wait for threads of libraries


def _set_limits(memory_bytes: int) -> None:
    """Limit the memory, beyond what is in use, and forbid writing to files."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0)]
    if sys.platform == "linux":
        limits.append((resource.RLIMIT_DATA, _data_bytes() + memory_bytes))
    for limit, value in limits:
        hard = resource.getrlimit(limit)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (value, value))


def _data_bytes() -> int:
    """Return the size of what RLIMIT_DATA counts (proc(5), VmData)."""
    with contextlib.suppress(OSError, ValueError, StopIteration), open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("VmData:")).split()[1]) * 1024
    return 0


def _end_with_parent() -> None:
    """Wait until the parent closes standard input, or is killed, and end this process."""
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main()
