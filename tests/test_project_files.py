"""The files around the code: packages, the workflow, hooks, templates and the citation."""
from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

import tfpoets

ROOT = Path(__file__).resolve().parents[1]
YAML_FILES = [".pre-commit-config.yaml", "CITATION.cff", "compose.yaml", ".github/workflows/test.yml",
              *(f".github/ISSUE_TEMPLATE/{name}.yml" for name in ("bug_report", "feature_request", "config"))]


def load_yaml(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text("utf-8"))


def make_recipe(target: str) -> list[str]:
    """Return the commands of a target of the Makefile, without the folder of the environment."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe
    return [line.strip().replace("$(BIN)/", "") for line in recipe[1].splitlines()]


@pytest.mark.parametrize("path", YAML_FILES)
def test_every_yaml_file_is_valid(path: str) -> None:
    assert isinstance(load_yaml(path), dict)


def test_no_yaml_file_is_forgotten() -> None:
    found = {path.relative_to(ROOT).as_posix() for pattern in ("*.y*ml", ".github/**/*.y*ml", "*.cff")
             for path in ROOT.glob(pattern)}
    assert found == set(YAML_FILES)


def test_the_workflow_runs_make_test_on_every_system_and_version() -> None:
    job = load_yaml(".github/workflows/test.yml")["jobs"]["test"]
    assert job["strategy"]["matrix"] == {"os": ["ubuntu-latest", "macos-latest", "windows-latest"],
                                         "python": ["3.11", "3.12", "3.13"]}
    commands = {step["if"]: step["run"] for step in job["steps"] if "run" in step}
    assert "    make test\n" in (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert commands["runner.os != 'Windows'"].startswith("make test")
    windows = commands["runner.os == 'Windows'"].replace(".venv/Scripts/", "").splitlines()
    assert windows[-4:] == [*make_recipe("lint"), *make_recipe("test")]


def test_the_versions_of_the_workflow_are_those_of_the_package() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", "utf-8")
    versions = re.findall(r"Python :: (3\.\d+)", setup["metadata"]["classifiers"])
    matrix = load_yaml(".github/workflows/test.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == versions


def test_contributing_lists_the_commands_of_make_test_for_windows() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8").replace(".venv\\Scripts\\", "")
    for command in (*make_recipe("lint"), *make_recipe("test")):
        assert f"    {command}\n" in text


def test_the_hooks_before_a_commit_are_the_checks_of_make_lint() -> None:
    hooks = [hook for repository in load_yaml(".pre-commit-config.yaml")["repos"] for hook in repository["hooks"]]
    assert [hook["entry"].replace(".venv/bin/", "") for hook in hooks] == make_recipe("lint")
    assert all(hook["language"] == "system" for hook in hooks), "other languages need a network"


def test_issue_templates_have_the_keys_that_github_requires() -> None:
    for name in ("bug_report", "feature_request"):
        template = load_yaml(f".github/ISSUE_TEMPLATE/{name}.yml")
        assert template["name"] and template["description"]
        for field in template["body"]:
            assert field["type"] == "textarea" and field["attributes"]["label"]
        identifiers = [field["id"] for field in template["body"]]
        assert len(set(identifiers)) == len(identifiers)


def test_the_version_is_the_same_everywhere() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", "utf-8")
    citation = load_yaml("CITATION.cff")
    assert setup["metadata"]["version"] == tfpoets.__version__ == citation["version"]
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the sdist and the wheel, built from a copy of the files under version control."""
    folder = tmp_path_factory.mktemp("release")
    names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                           capture_output=True, text=True)
    if names.returncode:
        pytest.skip("this copy is not a git checkout")
    for name in filter(None, names.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "source" / name)
    # Without isolation, the build needs no network; the release itself is built with it.
    done = subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--skip-dependency-check", "--outdir",
                           str(folder / "dist"), "source"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder / "dist"


@pytest.mark.slow
def test_the_wheel_contains_the_library_and_nothing_else(archives: Path) -> None:
    (wheel,) = archives.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "tfpoets"], cwd=ROOT,
                            capture_output=True, text=True).stdout.splitlines()
    library = {name for name in listed if (ROOT / name).is_file()}
    metadata = f"tfpoets-{tfpoets.__version__}.dist-info/"
    assert {name for name in names if not name.startswith(metadata)} == library
    assert {"tfpoets/py.typed", "tfpoets/report/page.html.j2", "tfpoets/serving/page/index.html",
            "tfpoets/exporting/targets/tfjs_page.html"} <= library
    assert any(name.endswith("LICENSE") for name in names)


@pytest.mark.slow
def test_the_source_archive_can_be_built_and_holds_no_photos(archives: Path) -> None:
    (sdist,) = archives.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.cfg", "pyproject.toml", "README.md", "LICENSE", "tfpoets/__init__.py", "tfpoets/py.typed",
            "tfpoets/report/page.html.j2"} <= names
    assert not any(name.startswith(("tests", "tf_files", ".venv", "scripts")) for name in names)


@pytest.mark.slow
def test_twine_accepts_the_archives(archives: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *map(str, archives.iterdir())],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2
