"""The notebooks in docs/walkthroughs run from the first to the last cell, on few photos and without a network."""
from __future__ import annotations

import os
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest

from tests.conftest import write_photos

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "walkthroughs"
MAX_BYTES = 300_000
MAX_CELLS = 15

# What each notebook is run with, in place of its cell of parameters.
PARAMETERS = {
    "1_tensorflow_for_poets": "PHOTOS, FLAGS = 'photos', '--image_size=64'",
    "2_classifier_as_object": "import os\nPHOTOS, EPOCHS, RESNET_EPOCHS = 'digits', 2, 1",
    "3_small_cnn": "import os\nPHOTOS, EPOCHS = 'digits', 2",
    "4_casting_inspection": "import os\nPHOTOS, N_PHOTOS, EPOCHS = 'tf_files/discs', 40, 2",
    "5_cifar": "import os\nPHOTOS, N_PHOTOS, EPOCHS = 'tf_files/shapes', 16, 2",
}


def outputs(notebook: nbformat.NotebookNode) -> str:
    """Return the text that the cells of a notebook have printed."""
    return "\n".join(output.text for cell in notebook.cells if cell.cell_type == "code"
                     for output in cell.outputs if output.output_type == "stream")


def test_there_are_five_notebooks_and_each_is_tested() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_notebook_is_short_and_has_the_outputs_of_a_real_run(name: str) -> None:
    path = FOLDER / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert path.stat().st_size < MAX_BYTES and len(code) <= MAX_CELLS
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert "Traceback" not in outputs(notebook)
    text = path.read_text("utf-8")
    assert str(Path.home()) not in text and "/tmp/" not in text, "the outputs contain paths of the machine"


@pytest.mark.slow
@pytest.mark.parametrize("name", PARAMETERS)
def test_a_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for hue, label in enumerate(("daisy", "roses", "tulips")):
        write_photos(tmp_path / "photos" / label, 20, hue)
    for digit in range(10):
        write_photos(tmp_path / "digits" / str(digit), 8, digit)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    parameters, = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source = PARAMETERS[name]
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = outputs(notebook)
    assert "Error" not in printed and "error:" not in printed, printed
    assert "accuracy" in printed or "%" in printed
