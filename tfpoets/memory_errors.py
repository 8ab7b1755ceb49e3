"""Recognize errors that mean that there is too little memory; many libraries have none of their own for this."""
from __future__ import annotations

import contextlib
import errno
import re
import sys
from collections.abc import Iterator

from tfpoets.errors import PhotoError, TfpoetsError

# What libraries write: the C++ runtime, Python's threads, the dynamic linker, Protocol Buffers, NumPy, TensorFlow and
# LiteRT, whose delegate gives no other reason.
_TEXT = re.compile(r"bad_alloc|can't start new thread|failed to map segment|cannot allocate|can't allocate|"
                   r"unable to allocate|arena alloc failed|out of memory|\bOOM\b|failed to create XNNPACK runtime|"
                   r"not enough memory", re.IGNORECASE)
# Classes of TensorFlow and of concurrent.futures, which need not be imported to recognize them.
_CLASSES = ("ResourceExhaustedError", "BrokenProcessPool")
# A process that has used this part of the address space that it may use has probably failed for this reason.
_NEARLY_ALL = 0.8
# The signals that end a process when an allocation fails in C++ (SIGABRT), and when the system is out of memory
# (SIGKILL).
_SIGNALS = (6, 9)
# The code with which a child process of this package exits if it has too little memory.
OUT_OF_MEMORY = errno.ENOMEM


def is_memory_error(error: BaseException) -> bool:
    """Return whether an error, or one that led to it, was caused by too little memory."""
    if any(_is_memory_error(cause) for cause in _causes(error)):
        return True
    return not isinstance(error, TfpoetsError) and limit_is_near()


def limit_is_near() -> bool:
    """Return whether this process has used nearly all of the address space that it is limited to (`ulimit -v`)."""
    if sys.platform != "linux":
        return False
    import resource
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    with contextlib.suppress(OSError, ValueError, StopIteration), open("/proc/self/status") as file:
        peak = int(next(line for line in file if line.startswith("VmPeak:")).split()[1]) * 1024
        return limit != resource.RLIM_INFINITY and peak > _NEARLY_ALL * limit
    return False


def ended_for_memory(return_code: int) -> bool:
    """Return whether a child process with this return code (see `subprocess`) was probably out of memory."""
    return -return_code in _SIGNALS or return_code == OUT_OF_MEMORY


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that led to it; errors of a single photo are not followed."""
    current: BaseException | None = error
    seen: set[int] = set()
    while current is not None and id(current) not in seen and not isinstance(current, PhotoError):
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _is_memory_error(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ in _CLASSES:
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    if isinstance(error, BlockingIOError) and error.filename is None:  # the system refused another process
        return True
    return not isinstance(error, TfpoetsError) and _TEXT.search(str(error)) is not None
