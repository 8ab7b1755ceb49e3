"""The program of worker processes, which `python -m tfpoets.extractors.worker` runs.

It reads pickled messages from standard input: an object whose method `run` does the work, and then what that method
expects. It writes pickled messages to standard output: a reason why the object cannot be read ("" if it can), and then
results, or an exception. It ends when its standard input does.
"""
from __future__ import annotations

import os
import pickle
import signal
import sys

from tfpoets.child_process import picklable, send, take_standard_output
from tfpoets.data import allow_stopping


def main() -> None:
    """Do the work that arrives on standard input, until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one handles Ctrl-C
    results = take_standard_output()
    allow_stopping()
    try:
        try:
            setup = pickle.load(sys.stdin.buffer)
        except Exception as error:  # for example, an object of a class that only the caller's script defines
            return send(results, f"{type(error).__name__}: {error}")
        send(results, "")
        setup.run(sys.stdin.buffer, results)
    except (EOFError, BrokenPipeError):  # the process that started this one needs no more results, or has ended
        os._exit(0)
    except BaseException as error:  # raised again in the process that started this one
        send(results, picklable(error))


if __name__ == "__main__":
    main()
