"""What the README shows works as it stands."""
from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts import label_image
from scripts.photos.samples import write_digits

README = (Path(__file__).resolve().parents[1] / "README.md").read_text("utf-8")


def test_the_python_example_trains_and_writes_a_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                           capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    write_digits(tmp_path / "tf_files" / "digits")
    for photo in sorted((tmp_path / "tf_files" / "digits").glob("*/*.png")):
        if int(photo.stem) >= 400:  # the rest would only take longer
            photo.unlink()
    code, = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(code.replace('models")', 'models", 96)'), "README.md", "exec"), {})
    said = re.fullmatch(r"(\d+\.\d)% of \d+ test photos, 95% interval .*\n", capsys.readouterr().out)
    assert said and float(said[1]) > 60
    assert label_image.main(["--graph=digits.tflite", "tf_files/digits/7/0007.png"]) == 0


def test_every_flag_that_it_names_is_one() -> None:
    settings = (Path(label_image.__file__).parent / "console" / "settings").glob("*.py")
    known = set(re.findall(r'"--?([a-z_0-9]+)"', "".join(path.read_text("utf-8") for path in settings))) | {
        "help", "logdir", "input_height", "input_width", "input_mean", "input_std", "input_layer", "output_layer",
        "random_crop", "random_scale", "random_brightness"}
    told = README.split("## What is not there yet")[0]
    assert {flag for flag in re.findall(r"--([a-z_0-9]+)", told)} <= known
