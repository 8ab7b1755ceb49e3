"""The examples in the README work as printed."""
from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tfpoets
from tests.conftest import write_photos
from tfpoets.cli import label_image, retrain
from tfpoets.cli.main import COMMANDS
from tfpoets.cli.shared_flags import GRAPH_FLAGS
from tfpoets.data.samples import write_digits
from tfpoets.tf_runtime import import_tensorflow

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
# The Python blocks that are marked with a comment.
EXAMPLES = re.findall(r"<!-- tests/test_readme.py runs this -->\n```python\n(.*?)```", README, re.DOTALL)


def write_first_digits(count: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `folder` the working folder, and write the first `count` digits to tf_files/digits in it."""
    monkeypatch.chdir(folder)
    write_digits(folder / "tf_files" / "digits")
    for photo in sorted((folder / "tf_files" / "digits").glob("*/*.png")):
        if int(photo.stem) >= count:
            photo.unlink()


def test_the_short_python_example_trains_and_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_first_digits(100, tmp_path, monkeypatch)
    completed = subprocess.run([sys.executable, "-c", EXAMPLES[1]], capture_output=True, text=True,
                               env={**os.environ, "PYTHONPATH": str(ROOT)})
    output = re.fullmatch(r"(\d+\.\d)% of \d+ photos, 95% interval \(.*\)\n7\n", completed.stdout)
    assert output and float(output[1]) > 60, completed.stderr
    assert "photos" not in completed.stderr  # the library writes nothing there; TensorFlow writes start-up messages
    assert label_image.main(["--graph=digits.tflite", "tf_files/digits/7/0007.png"]) == 0


def test_the_python_example_of_the_individual_steps_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                          capsys: pytest.CaptureFixture) -> None:
    write_first_digits(200, tmp_path, monkeypatch)
    code = EXAMPLES[2].replace('lite0")', 'lite0", image_size=96)')
    exec(compile(code, "README.md", "exec"), {"tfpoets": tfpoets})
    assert 0.6 < float(capsys.readouterr().out) <= 1


def test_the_python_section_is_short() -> None:
    section = README.split("## Use it from Python\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert "".join(blocks) == "".join(EXAMPLES[1:]), "every block must be run by a test"
    assert len([line for line in "".join(blocks).splitlines() if line]) <= 12


@pytest.fixture
def flower_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_module: Path, model_dir: Path) -> None:
    """A working folder with a classifier of generated photos in tf_files/, and some photos."""
    monkeypatch.chdir(tmp_path)
    for hue, label in enumerate(("daisy", "rose")):
        write_photos(Path("photos") / label, 20, hue)
        shutil.copy(f"photos/{label}/000.png", f"{label}.jpg")
    shutil.copy("photos/rose/003.png", "photo.jpg")
    assert retrain.main(["--image_dir=photos", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}",
                         "--nodoctor", "--export=tflite_int8"]) == 0


@pytest.mark.parametrize("graph", ["retrained_graph", "retrained_graph_int8"])
def test_the_example_without_tensorflow_labels_a_photo(graph: str, flower_classifier: None) -> None:
    code = EXAMPLES[0].replace("tf_files/retrained_graph.", f"tf_files/{graph}.")
    completed = subprocess.run([sys.executable, "-c", f"{code}\nimport sys; assert 'tensorflow' not in sys.modules"],
                               capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.startswith("rose ")


def test_the_example_for_custom_networks_writes_its_files(flower_classifier: None) -> None:
    import_tensorflow()
    import keras
    model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(),
                              keras.layers.Dense(2)])
    exec(compile(EXAMPLES[3], "README.md", "exec"), {"model": model, "tfpoets": tfpoets})
    assert {path.name for path in Path().glob("*m*del*")} == {"my_model.pb", "my_model.txt", "my_model.tflite",
                                                             "my_model.json", "saved_model"}


def test_every_flag_in_the_readme_exists() -> None:
    modules = [importlib.import_module(f"tfpoets.cli.{name}") for name in COMMANDS]
    known = {flag.name for module in modules for group in module.FLAGS for flag in group.flags} | {
        flag.name for flag in GRAPH_FLAGS.flags} | {"help", "version", "logdir", "gpus"}
    text = README.split("## Limitations")[0]
    assert {flag for flag in re.findall(r"--([a-z_0-9]+)", text)} <= known
