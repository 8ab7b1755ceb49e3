"""The program of the processes that parse requests, which `python -m tfpoets.serving.parser_worker` runs.

It reads pickled arguments of `parse_predict_request` from standard input, and writes pairs of an error message ("" if
there is none) and the result to standard output. It ends when its standard input does.
"""
from __future__ import annotations

import os
import pickle
import signal
import sys

from tfpoets.child_process import send, take_standard_output

from .protocol import RequestError, parse_predict_request


def main() -> None:
    """Parse the requests that arrive on standard input, until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server handles Ctrl-C
    results = take_standard_output()
    try:
        while True:
            arguments = pickle.load(sys.stdin.buffer)
            try:
                send(results, ("", parse_predict_request(*arguments)))
            except RequestError as error:
                send(results, (str(error), None))
            del arguments
    except (EOFError, BrokenPipeError):
        os._exit(0)


if __name__ == "__main__":
    main()
