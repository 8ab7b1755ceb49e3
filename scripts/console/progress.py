"""Progress bars on standard error, only where a person watches."""
from __future__ import annotations

from tqdm import tqdm


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
    return tqdm(total=total, desc=what, unit="B" if bytes_ else f" {unit}", unit_scale=bytes_, initial=done,
                disable=None, dynamic_ncols=True, leave=False)
