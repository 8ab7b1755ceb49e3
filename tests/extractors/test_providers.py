"""Any SavedModel with an image feature vector becomes an extractor; for others, an error states what is wrong."""
from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import save_module
from tfpoets.errors import TfpoetsError
from tfpoets.extractors import ExtractorOptions, LiteRTModel, open_extractor
from tfpoets.graphs import load_frozen_graph
from tfpoets.tf_runtime import import_tensorflow


def copy_module(module: Path, destination: Path) -> Path:
    shutil.copytree(module, destination)
    return destination


def test_size_and_depth_are_read_from_the_module(tiny_module: Path, model_dir: Path) -> None:
    extractor = open_extractor(str(tiny_module), model_dir=model_dir)
    assert (extractor.height, extractor.width, extractor.depth) == (32, 32, 24)


def test_options_can_be_an_object_or_keyword_arguments(tiny_module: Path, model_dir: Path) -> None:
    options = ExtractorOptions(str(tiny_module), model_dir)
    assert open_extractor(options) == open_extractor(str(tiny_module), model_dir=model_dir)
    assert open_extractor(options, views=2) == open_extractor(str(tiny_module), model_dir=model_dir, views=2)
    assert open_extractor(options, views=2) != open_extractor(options)
    with pytest.raises(TfpoetsError, match="`image_size`"):
        open_extractor(options, image_size=0)


@pytest.mark.parametrize("name, size, depth", [
    ("mobilenet_v1_025_128", 128, 256), ("mobilenet_v2_035_224", 224, 1280), ("mobilenet_v2_050_96", 96, 1280)])
def test_both_engines_give_the_same_features_as_the_original_saved_model(
        shared_data: Path, model_dir: Path, name: str, size: int, depth: int) -> None:
    extractor = open_extractor(str(shared_data / "modules" / name), model_dir=model_dir)
    assert (extractor.height, extractor.width, extractor.depth) == (size, size, depth)
    photo = np.random.default_rng(3).random((1, size, size, 3), np.float32)
    loaded = import_tensorflow().saved_model.load(str(shared_data / "modules" / name))
    expected = np.asarray(list(loaded.signatures["serving_default"](import_tensorflow().constant(photo)).values())[0])
    for run in (LiteRTModel(extractor.tflite_path).run,
                load_frozen_graph(extractor.graph_path.read_bytes(), "input", "bottleneck")):
        assert np.abs(run(photo) - expected).max() < 1e-4 * np.abs(expected).max()


def test_a_prepared_extractor_is_reused_and_a_damaged_one_is_prepared_again(
        tiny_module: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    extractor = open_extractor(str(tiny_module), model_dir=tmp_path)
    assert open_extractor(str(tiny_module), model_dir=tmp_path) == extractor
    assert len(caplog.records) == 1
    intact = extractor.tflite_path.read_bytes()
    extractor.tflite_path.write_bytes(intact[:-100])
    open_extractor(str(tiny_module), model_dir=tmp_path)
    assert extractor.tflite_path.read_bytes() == intact and len(caplog.records) == 2


def test_the_key_of_the_cache_depends_on_the_modules_content_not_on_its_path(tiny_module: Path, tmp_path: Path,
                                                                             model_dir: Path) -> None:
    copy = copy_module(tiny_module, tmp_path / "elsewhere")
    digest = open_extractor(str(tiny_module), model_dir=model_dir).digest
    assert open_extractor(str(copy), model_dir=model_dir).digest == digest
    other = save_module(tmp_path / "other", seed=9)
    assert open_extractor(str(other), model_dir=model_dir).digest != digest


def test_a_module_that_takes_any_size_uses_the_requested_one(tmp_path: Path, model_dir: Path) -> None:
    module = str(save_module(tmp_path / "any", size=None))
    assert open_extractor(module, model_dir=model_dir).height == 224
    small = open_extractor(module, model_dir=model_dir, image_size=64)
    assert small.height == 64 and small.digest != open_extractor(module, model_dir=model_dir).digest


def test_the_fixed_size_of_a_module_can_be_requested_and_no_other(tiny_module: Path, model_dir: Path) -> None:
    extractor = open_extractor(str(tiny_module), model_dir=model_dir)
    assert open_extractor(str(tiny_module), model_dir=model_dir, image_size=32).digest == extractor.digest
    with pytest.raises(TfpoetsError, match="takes only photos of 32 x 32 pixels, not of 64 x 64"):
        open_extractor(str(tiny_module), model_dir=model_dir, image_size=64)


@pytest.mark.parametrize("missing, sentence", [
    ("saved_model.pb", "saved_model.pb is missing"),
    ("variables/variables.index", "variables/variables.index is missing"),
    ("variables/variables.data-00000-of-00001", "variables/variables.data-00000-of-00001 is missing"),
    ("variables", "variables/variables.index is missing"),
])
def test_an_incomplete_module_is_refused_and_the_missing_file_named(
        tiny_module: Path, tmp_path: Path, model_dir: Path, missing: str, sentence: str) -> None:
    incomplete = copy_module(tiny_module, tmp_path / "incomplete")
    (shutil.rmtree if (incomplete / missing).is_dir() else Path.unlink)(incomplete / missing)
    with pytest.raises(TfpoetsError, match=sentence):
        open_extractor(str(incomplete), model_dir=model_dir)


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.data-00000-of-00001"])
def test_a_truncated_module_is_refused(tiny_module: Path, tmp_path: Path, model_dir: Path, name: str) -> None:
    incomplete = copy_module(tiny_module, tmp_path / "incomplete")
    (incomplete / name).write_bytes((incomplete / name).read_bytes()[:200])
    with pytest.raises(TfpoetsError, match="damaged|cannot be loaded"):
        open_extractor(str(incomplete), model_dir=model_dir)


@pytest.mark.parametrize("shape, rank, sentence", [
    ([None, 32], 2, r"takes float32 \[n, 32\]"), ([None, 32, 32, 1], 2, r"takes float32 \[n, 32, 32, 1\]"),
    ([None, 32, 32, 3], 4, r"returns \[n, 32, 32, 3\]"), ([1, 32, 32, 3], 2, "only batches of size 1"),
])
def test_a_module_that_is_not_an_image_feature_vector_is_refused(
        tmp_path: Path, model_dir: Path, shape: list, rank: int, sentence: str) -> None:
    tensorflow = import_tensorflow()
    module = tensorflow.Module()
    module.serve = tensorflow.function(
        lambda x: {"y": x if rank == 4 else tensorflow.reshape(x, [-1, int(np.prod(shape[1:]))])},
        input_signature=[tensorflow.TensorSpec(shape, tensorflow.float32)])
    tensorflow.saved_model.save(module, str(tmp_path / "m"), signatures={"serving_default": module.serve})
    with pytest.raises(TfpoetsError, match=sentence):
        open_extractor(str(tmp_path / "m"), model_dir=model_dir)


@pytest.mark.parametrize("handle, sentence", [("no/such/folder", "There is no file or folder no/such/folder"),
                                              (__file__, "is neither a .tar.gz nor a frozen graph")])
def test_a_path_without_a_module_is_refused(model_dir: Path, handle: str, sentence: str) -> None:
    with pytest.raises(TfpoetsError, match=sentence):
        open_extractor(handle, model_dir=model_dir)
