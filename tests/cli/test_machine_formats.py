"""JSON and CSV are always UTF-8, whatever encoding the environment sets."""
from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import write_photos
from tfpoets.cli import retrain

ROOT = Path(__file__).resolve().parents[2]
LABELS = {"🌻 Sonne", "größe"}
ENVIRONMENTS = {
    "Windows": {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
    "ASCII": {"PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"},
    "UTF-16": {"PYTHONIOENCODING": "utf-16", "PYTHONUTF8": "0"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, tiny_module: Path, model_dir: Path) -> Path:
    """A folder with a classifier whose labels are LABELS, and photos with such names."""
    folder = tmp_path_factory.mktemp("emoji")
    for hue, label in enumerate(sorted(LABELS)):
        write_photos(folder / "photos" / label, 12, hue)
    shutil.copy(folder / "photos" / "größe" / "000.png", folder / "🌻.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert retrain.main(["--image_dir=photos", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}",
                             "--nodoctor"]) == 0
    return folder


def run(workspace: Path, environment: str, *arguments: str) -> bytes:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    completed = subprocess.run([sys.executable, "-m", "tfpoets", *arguments], cwd=workspace, capture_output=True,
                               env={**inherited, "PYTHONPATH": str(ROOT), **ENVIRONMENTS[environment]}, timeout=120)
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_label_image_writes_utf8(environment: str, workspace: Path) -> None:
    output = run(workspace, environment, "label_image", "🌻.png", "--format=jsonl")
    prediction = json.loads(output.decode())
    assert prediction["image"] == "🌻.png" and {entry["label"] for entry in prediction["labels"]} == LABELS
    assert "🌻 Sonne".encode() in output
    table = run(workspace, environment, "label_image", "🌻.png", "--format=csv").decode()
    rows = list(csv.DictReader(io.StringIO(table)))
    assert {row["label"] for row in rows} == LABELS and {row["image"] for row in rows} == {"🌻.png"}


@pytest.mark.parametrize("environment", ["Windows", "UTF-16"])
def test_evaluate_writes_utf8(environment: str, workspace: Path) -> None:
    output = run(workspace, environment, "evaluate", "--image_dir=photos", "--format=json").decode()
    metrics = json.loads(output)
    assert "🌻 Sonne" in output and set(metrics["labels"]) == LABELS
    # The photos of the two classes have different colours.
    assert metrics["accuracy"] == 1 and metrics["count"] == sum(map(sum, metrics["confusion_matrix"])) > 0


def test_human_readable_text_is_escaped_for_the_encoding_of_the_terminal(workspace: Path) -> None:
    assert b"\\U0001f33b Sonne (score=" in run(workspace, "Windows", "label_image", "🌻.png")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems store names in Unicode")
def test_the_bytes_of_a_name_that_is_not_text_are_escaped(workspace: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    shutil.copy(workspace / "🌻.png", workspace / name)
    assert json.loads(run(workspace, "Windows", "label_image", name, "--format=jsonl").decode())["image"] == name
    assert "caf\\udce9.png" in run(workspace, "Windows", "label_image", name, "--format=csv").decode()
