"""Fixtures for the tests of extraction."""
from __future__ import annotations

from pathlib import Path

import pytest

from tfpoets.extractors import Extractor, open_extractor


@pytest.fixture(scope="session")
def extractor(tiny_module: Path, model_dir: Path) -> Extractor:
    """An extractor with random weights that takes 32 x 32 pixels."""
    return open_extractor(str(tiny_module), model_dir=model_dir)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A folder for a cache, which does not exist yet."""
    return tmp_path / "cache"
