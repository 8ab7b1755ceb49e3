"""Apply a function to many items on all cores, without working far ahead of whoever uses the results."""
from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
# The number of results per thread that are computed in advance by default.
LOOKAHEAD = 4


def core_count() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_in_order(function: Callable[[Item], Result], items: Iterable[Item], workers: int, more: int = 0,
                 lookahead: int = LOOKAHEAD) -> Iterator[Result]:
    """Apply a function to items in threads, and yield the results in the order of the items.

    `Executor.map` consumes all items at once before Python 3.14 (which adds `buffersize`). If its results are not used
    as fast as they are computed, all of them are in memory. Here, at most `workers` * `lookahead` + `more` items have
    been consumed whose results have not been yielded.

    Args:
        function: The function; it is called by several threads at once.
        items: The items; there may be infinitely many.
        workers: The number of threads, at least 1.
        more: The number of further items to consume in advance.
        lookahead: The number of results per thread that are computed in advance, at least 1; few if they are large.

    Raises:
        Exception: The error that `function` raised for an item, when its result would be yielded. The items that
            follow it are no longer started.
    """
    remaining, max_pending = iter(items), workers * lookahead + more
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            while True:
                pending.extend(pool.submit(function, item) for item in islice(remaining, max_pending - len(pending)))
                if not pending:
                    return
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
