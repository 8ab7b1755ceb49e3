"""Import TensorFlow lazily and, if requested, without its messages; change its precision settings temporarily."""
from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TextIO

_hidden = False
_imported = False


def hide_native_messages(hidden: bool = True) -> None:
    """Hide, from now on, what TensorFlow and LiteRT write directly to standard error.

    Both print start-up lines that no environment variable turns off (abseil/abseil-cpp#1957), so the file descriptor
    itself is redirected while they run. Only the command line requests this; host programs keep their messages and
    descriptors.
    """
    global _hidden
    _hidden = hidden


class _StderrRedirection:
    """Redirection of the process's standard error to os.devnull, shared by all threads that are inside the block.

    The first thread to enter redirects the file descriptor, and the last one to leave restores it. Meanwhile
    sys.stderr writes to a copy of the original descriptor, so that messages from Python still appear.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        self._saved_fd = -1
        self._saved_stderr: TextIO | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._n_inside += 1
            if self._n_inside > 1:
                return
            sys.stderr.flush()
            self._saved_fd = os.dup(2)
            with open(os.devnull, "wb") as devnull:
                os.dup2(devnull.fileno(), 2)
            original = sys.__stderr__
            if original is not None and sys.stderr is original:  # otherwise sys.stderr does not use descriptor 2
                self._saved_stderr = original
                sys.stderr = open(self._saved_fd, "w", encoding=original.encoding, errors="backslashreplace",
                                  buffering=1, closefd=False)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._n_inside:
                return
            if self._saved_stderr is not None:
                sys.stderr.flush()
                sys.stderr, self._saved_stderr = self._saved_stderr, None
            os.dup2(self._saved_fd, 2)
            os.close(self._saved_fd)


_stderr_redirection = _StderrRedirection()


@contextlib.contextmanager
def redirect_native_stderr() -> Iterator[None]:
    """Discard what native code writes to standard error inside the block, if `hide_native_messages` was called.

    What Python writes to sys.stderr still appears.
    """
    if not _hidden:
        yield
        return
    with _stderr_redirection:
        yield


def import_tensorflow() -> ModuleType:
    """Import TensorFlow, which takes about 3 s, and return it.

    All code imports TensorFlow with this function, inside functions. If `hide_native_messages` was called, this also
    hides TensorFlow's start-up messages and log lines.
    """
    global _imported
    if not _hidden or _imported:  # the redirection affects all threads, so it is used for the first import only
        import tensorflow
        return tensorflow
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings(), redirect_native_stderr():
        warnings.simplefilter("ignore")
        import tensorflow
        from absl import logging as absl_logging
    tensorflow.get_logger().setLevel(logging.ERROR)
    absl_logging.set_verbosity(absl_logging.ERROR)
    _imported = True
    return tensorflow


class _TemporarySetting:
    """A process-wide setting that has a different value while any thread is inside the block.

    Args:
        value: The value inside the block.
        read: Returns the current value.
        write: Sets the value.
    """

    def __init__(self, value: bool, read: Callable[[], bool], write: Callable[[bool], None]):
        self._value, self._read, self._write = value, read, write
        self._lock = threading.Lock()
        self._n_inside = 0
        self._original = value

    def __enter__(self) -> None:
        with self._lock:
            if self._n_inside == 0:
                self._original = self._read()
                self._write(self._value)
            self._n_inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                self._write(self._original)


# By default, NVIDIA GPUs since 2020 multiply float32 matrices with a 10-bit mantissa (TensorFloat-32). Feature vectors
# then differ from those of a CPU by 0.2% of the largest value (measured on an H200). TensorFloat-32 is turned off
# wherever vectors are computed or compared; training keeps the faster default.
full_precision = _TemporarySetting(
    False, lambda: import_tensorflow().config.experimental.tensor_float_32_execution_enabled(),
    lambda enabled: import_tensorflow().config.experimental.enable_tensor_float_32_execution(enabled))

# Functions that are decorated with tf.function run like other Python functions, so that their values can be examined.
eager_functions = _TemporarySetting(
    True, lambda: import_tensorflow().config.functions_run_eagerly(),
    lambda enabled: import_tensorflow().config.run_functions_eagerly(enabled))


def xla_works() -> bool:
    """Return whether functions can be compiled with XLA for the default device.

    On a GPU, this requires files of the CUDA toolkit that TensorFlow itself does not need.
    """
    tensorflow = import_tensorflow()
    power = tensorflow.function(lambda x: x ** x, jit_compile=True)  # needs libdevice.10.bc on a GPU
    try:
        with redirect_native_stderr(), tensorflow.init_scope():
            power(tensorflow.constant(1.5))
    except tensorflow.errors.OpError:
        return False
    return True
