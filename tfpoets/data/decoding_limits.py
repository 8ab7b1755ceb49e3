"""Limit the time and the memory that decoding a photo takes, in a process that exists for this purpose."""
from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

if sys.platform != "win32":
    import resource

# The signals that end a process whose time is up. They are sent by timers of the operating system, whatever the
# decoder is doing.
STOP_SIGNALS = frozenset({"SIGPROF", "SIGALRM"})
# The wall-clock time may be this much longer than the CPU time, because other programs run as well.
CLOCK_FACTOR, CLOCK_EXTRA_SECONDS = 4.0, 5.0

_may_be_stopped = False


def allow_stopping() -> None:
    """Allow decoding to end this process when a photo exceeds its time; only for processes without other work."""
    global _may_be_stopped
    _may_be_stopped = True
    if sys.platform != "win32":
        for number in (signal.SIGPROF, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGPROF, signal.SIGALRM))
    from PIL import AvifImagePlugin
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # the memory for a thread per core would count


def may_be_stopped() -> bool:
    """Return whether decoding may end this process."""
    return _may_be_stopped


def clock_seconds(seconds: float) -> float:
    """Return the limit on the wall-clock time of something that may take `seconds` of CPU time."""
    return seconds * CLOCK_FACTOR + CLOCK_EXTRA_SECONDS


@contextlib.contextmanager
def limited(seconds: float, memory: int) -> Iterator[None]:
    """Limit what the code in a `with` statement takes.

    Beyond the memory, allocations fail. When the time is up, the process is ended by one of STOP_SIGNALS. Windows has
    neither of these limits, and macOS has no limit on memory.

    Args:
        seconds: The CPU time of all threads together, in seconds. `clock_seconds` derives the wall-clock time from it.
        memory: The additional memory in bytes.
    """
    if sys.platform == "win32":
        yield
        return
    _set_timers(seconds, clock_seconds(seconds))
    unlimited = _limit_memory(memory)
    try:
        yield
    finally:
        if unlimited is not None:
            resource.setrlimit(resource.RLIMIT_AS, unlimited)
        _set_timers(0, 0)


@functools.cache
def _open_memory_use() -> int:
    """Return a descriptor of the file in which Linux tells the memory use of this process, in pages."""
    return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)


def _set_timers(seconds: float, on_clock: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, on_clock)


def _limit_memory(memory: int) -> Any:
    """Limit the address space to what is used now and `memory`, and return the previous limits; None if impossible."""
    try:
        limit = int(os.pread(_open_memory_use(), 100, 0).split()[0]) * resource.getpagesize() + memory
        soft, hard = previous = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            limit = min(limit, soft)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
        return previous
    except (OSError, ValueError):
        return None
