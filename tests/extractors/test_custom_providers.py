"""A program can add its own extractors by appending a provider to the list."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfpoets
from tfpoets.errors import TfpoetsError
from tfpoets.extractors import (EXTRACTOR_PROVIDERS, ExtractorOptions, LiteRTModel, Network, PretrainedNetwork,
                                open_extractor)
from tfpoets.tf_runtime import import_tensorflow


@dataclass(frozen=True)
class Thumbnails:
    """A network without weights, whose features are the pixels of a small copy of each photo."""

    name: str
    side: int
    default_size: int | None = 32

    def identity(self) -> str:
        return f"thumbnails/{self.side}"

    def build(self, image_size: int | None) -> Network:
        size = image_size or 32

        def features(pixels: Any, training: bool = False) -> Any:
            tensorflow = import_tensorflow()
            block = size // self.side
            small = tensorflow.nn.avg_pool2d(pixels, block, block, "VALID")
            return tensorflow.reshape(small, [-1, self.side * self.side * 3])
        return Network(features, size, size)


class ThumbnailProvider:
    def find(self, handle: str, options: ExtractorOptions) -> PretrainedNetwork | None:
        return Thumbnails(handle.replace(":", "_"), int(handle[6:])) if handle.startswith("thumb:") else None

    def names(self) -> Sequence[str]:
        return ("thumb:4", "thumb:8")


@pytest.fixture(autouse=True)
def thumbnails() -> Iterator[None]:
    provider = ThumbnailProvider()
    EXTRACTOR_PROVIDERS.append(provider)
    yield
    EXTRACTOR_PROVIDERS.remove(provider)


def test_an_appended_provider_finds_its_handles(model_dir: Path) -> None:
    extractor = open_extractor("thumb:4", model_dir=model_dir)
    assert (extractor.name, extractor.height, extractor.depth) == ("thumb_4", 32, 48)
    photo = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    expected = photo.reshape(4, 8, 4, 8, 3).mean((1, 3)).reshape(1, 48)
    assert np.abs(LiteRTModel(extractor.tflite_path).run(photo) - expected).max() < 1e-5
    assert open_extractor("thumb:4", model_dir=model_dir, image_size=64).height == 64


def test_names_of_an_appended_provider_are_suggested_for_misspelt_ones(model_dir: Path) -> None:
    with pytest.raises(TfpoetsError, match=r"no extractor 'thum:8'; did you mean thumb:8\?"):
        open_extractor("thum:8", model_dir=model_dir)


def test_retrain_uses_an_appended_provider(photo_folder: Path, tmp_path: Path, model_dir: Path,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = tfpoets.retrain(photo_folder, handle="thumb:4", model_dir=model_dir, doctor=False)
    assert result.metadata.network.handle == "thumb:4"
    assert result.classifier.label(photo_folder / "red" / "000.png") == "red"
