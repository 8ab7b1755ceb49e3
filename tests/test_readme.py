"""The commands and examples in the README work as printed, and the flags in all pages exist."""
from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tfpoets.cli.main import COMMANDS
from tfpoets.cli.parser import MESSAGES
from tfpoets.cli.shared_flags import GRAPH_FLAGS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Flags of other programs.
OTHER_FLAGS = {"help", "version", "logdir", "gpus", "upgrade", "nginx", "shell", "ray", "head", "num", "address",
               "flag"}


def demo_commands() -> list[list[str]]:
    """Return the commands of `make demo` without the path of Python, from the Makefile."""
    makefile = (ROOT / "Makefile").read_text("utf-8").replace("\\\n", " ").replace("$(DEMO)", "tf_files/demo")
    recipe = makefile.split("\ndemo:")[1].split("\n\n")[0]
    return [shlex.split(line.replace("$(BIN)/python", "")) for line in recipe.splitlines() if "$(BIN)/python" in line]


def without_figures(text: str) -> list[str]:
    """Return the lines of an output with each number replaced by #, without repeated spaces and empty lines."""
    return [" ".join(re.sub(r"\d[\d,.]*(e-\d+)?", "#", line).split()) for line in text.splitlines() if line.strip()]


def test_make_demo_prints_what_the_readme_shows(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    printed = "".join(subprocess.run([sys.executable, *command], cwd=tmp_path, env=environment, check=True,
                                     stdout=subprocess.PIPE, text=True).stdout for command in demo_commands())
    printed = printed.partition("--image_dir=tf_files/digits\n")[2]  # after the output of sample_photos
    shown, = re.findall(r"<!-- tests/test_readme.py compares .*? -->\n```\n(.*?)```", README, re.DOTALL)
    assert without_figures(shown) == without_figures(printed)


def test_the_commands_without_make_exist() -> None:
    commands = re.findall(r"python -m scripts\.([a-z_]+)", README)
    assert set(commands) | set(re.findall(r"^\| `([a-z_]+)` \|", README, re.MULTILINE)) <= set(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_flag_in_a_page_exists(page: Path) -> None:
    modules = [importlib.import_module(f"tfpoets.cli.{name}") for name in COMMANDS]
    known = {flag.name for module in modules for group in module.FLAGS for flag in group.flags} | {
        flag.name for group in (GRAPH_FLAGS, MESSAGES) for flag in group.flags} | OTHER_FLAGS
    assert {flag for flag in re.findall(r"(?<![\w-])--([a-z_0-9]+)", page.read_text("utf-8"))} <= known
