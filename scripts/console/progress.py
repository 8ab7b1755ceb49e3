"""Progress bars on standard error, only where a person watches."""
from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

log = logging.getLogger(__name__)


class _StandardError:
    """Whatever standard error is at the moment of writing; see `quiet_native_code`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


def progress_bar(total: int | None, what: str, unit: str, done: int = 0, bytes_: bool = False) -> tqdm:
    """A bar with rate and time left; silent when standard error is not a terminal.

    Args:
        total: how many units there are in all, or None when not known.
        what: what is being done, at the left of the bar.
        unit: singular noun of what is counted; with `bytes_` it is ignored and sizes are shown.
        done: units that were there before.
        bytes_: count bytes, shown as kB and MB.

    Returns:
        A tqdm bar: call `update(n)`, use it as a context manager.
    """
    from tqdm import tqdm  # here, because label_image starts without
    return tqdm(total=total, desc=what, unit="B" if bytes_ else f" {unit}", unit_scale=bytes_, initial=done,
                file=_StandardError(), disable=None, dynamic_ncols=True, leave=False)


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """Says at --logging_verbosity=DEBUG how long a part of a command took."""
    start = time.perf_counter()
    yield
    log.debug("Stage %s: %.3f s", name, time.perf_counter() - start)
