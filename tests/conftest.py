"""Fixtures and helpers for all tests: real photos if available, generated photos, and a module with random weights."""
from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tfpoets.cli import retrain
from tfpoets.tf_runtime import import_tensorflow

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photos and modules next to the checkout; tests are skipped if it is missing."""
    if not SHARED_DATA.is_dir():
        if os.environ.get("TFPOETS_REQUIRE_SHARED_DATA"):
            pytest.fail(f"{SHARED_DATA} is missing, but TFPOETS_REQUIRE_SHARED_DATA is set")
        pytest.skip("needs the real photos in ../shared/data, which are not part of this repository")
    return SHARED_DATA


@pytest.fixture(scope="session")
def flowers(shared_data: Path) -> Path:
    """A folder of 600 flower photos in five classes."""
    return shared_data / "photos" / "flowers"


@pytest.fixture(autouse=True, scope="session")
def own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Remember in a folder of this session, also in other processes, which models ran before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def first_runs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run models that were not written here in this process, since starting TensorFlow in another one takes seconds.

    Tests about these processes have the marker `first_run`.
    """
    if request.node.get_closest_marker("first_run") is None:
        monkeypatch.setattr("tfpoets.limited_process.run_limited",
                            lambda function, *arguments, **limits: function(*arguments))


def accept_interrupts() -> None:
    """Let SIGINT end a new process (`preexec_fn` of Popen), even if this one ignores it, as background jobs do."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def write_photos(folder: Path, count: int, hue: int, size: int = 48, seed: int = 0, suffix: str = ".png") -> None:
    """Write photos of random bright spots on a background of one colour; no two of them are near duplicates."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, hue])
    for number in range(count):
        spots = rng.random((4, 4, 1)) * np.array([200, 200, 200])
        background = np.zeros(3)
        background[hue % 3] = 255
        pixels = np.clip(0.6 * spots + 0.4 * background + rng.normal(0, 12, (4, 4, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC).save(folder / f"{number:03d}{suffix}")


def retrain_json(capsys: pytest.CaptureFixture, *arguments: str) -> dict[str, Any]:
    """Run `retrain --format=json` and return its result; standard output must be one JSON object on one line."""
    capsys.readouterr()
    assert retrain.main([*arguments, "--format=json"]) == 0
    line, = capsys.readouterr().out.splitlines()
    return json.loads(line)


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    """A folder with three classes of 20 small generated photos each, which a small module can tell apart."""
    root = tmp_path / "photos"
    for hue, label in enumerate(("red", "green", "blue")):
        write_photos(root / label, 20, hue)
    return root


def save_module(folder: Path, size: int | None = 32, depth: int = 24, seed: int = 0) -> Path:
    """Write a TensorFlow 2 SavedModel that computes feature vectors of photos with one random convolution."""
    tensorflow = import_tensorflow()
    module = tensorflow.Module()
    rng = np.random.default_rng(seed)
    module.kernel = tensorflow.Variable(rng.normal(0, 0.4, (5, 5, 3, depth)).astype(np.float32))

    def features(images):
        maps = tensorflow.nn.conv2d(images, module.kernel, 4, "SAME")
        return {"features": tensorflow.reduce_mean(tensorflow.nn.relu(maps), [1, 2])}
    spec = tensorflow.TensorSpec([None, size, size, 3], tensorflow.float32, name="images")
    module.serve = tensorflow.function(features, input_signature=[spec])
    tensorflow.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    return folder


@pytest.fixture(scope="session")
def tiny_module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A module with random weights that computes 24 features of 32 x 32 pixels in well under a millisecond."""
    return save_module(tmp_path_factory.mktemp("modules") / "tiny")


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of prepared extractors for all tests of a session, since preparing one takes seconds."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def retrained(tmp_path_factory: pytest.TempPathFactory, tiny_module: Path, model_dir: Path) -> Path:
    """A folder with photos/, a classifier in tf_files/ and saved/, and one with a reject option in unknown/.

    All tests of a session share it; tests that write to it must use a copy.
    """
    folder = tmp_path_factory.mktemp("retrained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for hue, label in enumerate(("red", "green", "blue")):
            write_photos(Path("photos") / label, 40, hue, suffix=".jpg")
        command = ["--image_dir=photos", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}", "--nodoctor",
                   "--testing_percentage=20", "--validation_percentage=20"]
        assert retrain.main([*command, "--saved_model_dir=saved"]) == 0
        assert retrain.main([*command, "--output_graph=unknown/g.pb", "--output_labels=unknown/l.txt",
                             "--unknown_coverage=0.9"]) == 0
    return folder
