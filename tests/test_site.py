"""docs/ builds into a site without warnings; its pages are short and can all be reached."""
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
MAX_LINES = 150


def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    completed = subprocess.run([sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html",
                                str(ROOT / "docs"), str(tmp_path)], capture_output=True, text=True, cwd=ROOT)
    assert completed.returncode == 0, completed.stderr
    api = (tmp_path / "api.html").read_text("utf-8")
    assert "tfpoets.retrain" in api and "Returns" in api, "the docstrings are missing"


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_a_page_is_short(page: Path) -> None:
    assert len(page.read_text("utf-8").splitlines()) <= MAX_LINES


def test_every_page_is_in_the_table_of_contents() -> None:
    contents = (ROOT / "docs" / "index.md").read_text("utf-8")
    assert {page.stem for page in PAGES} - {"index"} == set(re.findall(r"^([a-z_]+)$", contents, re.MULTILINE))


def test_links_in_the_readme_lead_to_files() -> None:
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", (ROOT / "README.md").read_text("utf-8")):
        assert (ROOT / link).exists(), link
