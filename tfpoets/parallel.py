"""Apply a function to many items in threads, without working far ahead of whoever uses the results."""
from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
# The number of results per thread that are computed in advance.
LOOKAHEAD = 4


def map_in_order(function: Callable[[Item], Result], items: Iterable[Item], workers: int, more: int = 0
                 ) -> Iterator[Result]:
    """Apply a function to items in threads, and yield the results in the order of the items.

    `Executor.map` consumes all items at once before Python 3.14 (which adds `buffersize`). If its results are not used
    as fast as they are computed, all of them are in memory. Here, at most `workers` * LOOKAHEAD + `more` items have
    been consumed whose results have not been yielded.

    Args:
        function: The function; it is called by several threads at once.
        items: The items; there may be infinitely many.
        workers: The number of threads, at least 1.
        more: The number of further items to consume in advance.

    Raises:
        Exception: The error that `function` raised for an item, when its result would be yielded. The items that
            follow it are no longer started.
    """
    remaining, lookahead = iter(items), workers * LOOKAHEAD + more
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            while True:
                pending.extend(pool.submit(function, item) for item in islice(remaining, lookahead - len(pending)))
                if not pending:
                    return
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
