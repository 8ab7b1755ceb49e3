"""A small attack on the readers of files and flags; `python -m tests.attack.readers` runs larger ones."""
from __future__ import annotations

import pytest

from tests.attack.readers import PROPERTIES, run


@pytest.mark.parametrize("check", PROPERTIES, ids=lambda check: check.__name__)
def test_a_reader_returns_a_result_or_raises_an_error_of_this_library(check) -> None:
    run(check, count=50, seed=1)
