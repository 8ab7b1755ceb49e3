"""Run a function that needs TensorFlow in a second process, which imports TensorFlow while this process continues.

The import takes seconds and holds Python's global interpreter lock, so a thread would gain nothing.
"""
from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from tfpoets.child_process import end_process, picklable, send, start_module, take_standard_output
from tfpoets.memory_errors import OUT_OF_MEMORY, ended_for_memory, is_memory_error
from tfpoets.tf_runtime import import_tensorflow

Result = TypeVar("Result")
# How long to wait for a process that has closed its pipes.
END_SECONDS = 10.0


class TensorFlowProcess:
    """A Python process that imports TensorFlow and then runs one function.

    It is a context manager, which ends the process on exit. The process also ends when this one is killed. What
    it prints is discarded.

    `start` returns an object without a process if TensorFlow has already been imported here, so that a second process
    would gain nothing, or if the process cannot be started. The function then runs in this process.
    """

    def __init__(self, process: subprocess.Popen[bytes] | None) -> None:
        self._process = process
        self._pool = ThreadPoolExecutor(1)

    @classmethod
    def start(cls) -> TensorFlowProcess:
        """Start the process, and return without waiting for it."""
        if "tensorflow" in sys.modules:
            return cls(None)
        try:
            # Without GPUs: this process may use them, and TensorFlow takes all of their memory.
            return cls(start_module(__name__, {"CUDA_VISIBLE_DEVICES": "-1"}))
        except OSError:
            return cls(None)

    def __enter__(self) -> TensorFlowProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            self._pool.shutdown()
        else:
            end_process(self._process, self._pool.shutdown)

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Callable[[], Result]:
        """Run a function in the process; call this once.

        Args:
            function: A module-level function.
            *arguments: Its arguments, which are pickled.

        Returns:
            A function that waits for the result and returns it, or raises the exception of `function`. If the process
            has ended early or cannot load the arguments, it runs `function` in this process. It raises MemoryError if
            the process had too little memory, which this process would have as well.
        """
        process = self._process
        if process is None:
            return lambda: function(*arguments)
        outcome: Future[tuple[bool, Any]] = self._pool.submit(self._exchange, process, (function, arguments))

        def wait() -> Result:
            try:
                returned, value = outcome.result()
            except (OSError, EOFError) as error:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    if ended_for_memory(process.wait(END_SECONDS)):
                        raise MemoryError("the process that runs TensorFlow has too little memory") from error
                return function(*arguments)
            except (pickle.PickleError, AttributeError, ImportError, TypeError):
                return function(*arguments)
            if not returned:
                raise value
            return value
        return wait

    @staticmethod
    def _exchange(process: subprocess.Popen[bytes], call: tuple[Callable[..., Any], tuple[Any, ...]]
                  ) -> tuple[bool, Any]:
        """Send the call and receive whether it returned, with the result or the exception; runs in a thread."""
        assert process.stdin and process.stdout
        send(process.stdin, call)
        return pickle.load(process.stdout)


def main() -> None:
    """Import TensorFlow, run the function that arrives on standard input, and write the outcome to standard output."""
    results = take_standard_output()
    # TensorFlow imports Keras, and Keras imports Matplotlib and scikit-learn, which takes as long as the rest. None
    # makes the import fail, which TensorFlow permits.
    sys.modules["keras"] = None  # type: ignore[assignment]
    try:
        import_tensorflow()
        function, arguments = pickle.load(sys.stdin.buffer)
        threading.Thread(target=_end_with_parent, daemon=True).start()
    except Exception as error:
        if not is_memory_error(error):
            raise
        os._exit(OUT_OF_MEMORY)
    try:
        outcome = True, function(*arguments)
    except Exception as error:
        outcome = False, MemoryError(str(error)) if is_memory_error(error) else picklable(error)
    send(results, outcome)
    os._exit(0)  # does not wait for TensorFlow's threads


def _end_with_parent() -> None:
    """Wait until the parent closes standard input, or is killed, and end this process."""
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main()
