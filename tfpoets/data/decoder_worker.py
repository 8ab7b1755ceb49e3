"""The program of decoder processes, which `python -m tfpoets.data.decoder_worker` runs.

It reads pickled messages from standard input: a function and the bytes of a photo. It writes pickled messages to
standard output: whether the function returned, and its result or the reason why the photo cannot be used. It ends when
its standard input does.
"""
from __future__ import annotations

import os
import pickle
import signal
import sys
from typing import Any

from tfpoets.child_process import send, take_standard_output
from tfpoets.errors import PhotoError

from .decoding_limits import allow_stopping


def main() -> None:
    """Decode the photos that arrive on standard input, until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one handles Ctrl-C
    results = take_standard_output()
    allow_stopping()
    try:
        while True:
            send(results, _decode(*pickle.load(sys.stdin.buffer)))
    except (EOFError, BrokenPipeError):  # the process that started this one needs no more results, or has ended
        os._exit(0)


def _decode(function: Any, data: bytes) -> tuple[bool, Any]:
    try:
        return True, function(data)
    except PhotoError as error:
        return False, str(error)


if __name__ == "__main__":
    main()
