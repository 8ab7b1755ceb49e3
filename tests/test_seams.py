"""The commands work with one new member in each of the five extension lists."""
from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from PIL import Image

from tests.conftest import write_photos
from tfpoets.cli import evaluate, export, label_image, retrain
from tfpoets.data import PHOTO_SOURCES, Dataset, Examples, Measure, Photo
from tfpoets.doctor import DETECTORS, Evidence, Finding
from tfpoets.errors import DataError, PhotoError
from tfpoets.exporting import EXPORT_TARGETS, SERVING, ExportTarget, Exportable, LoadedFile, Metadata
from tfpoets.extractors import (EXTRACTOR_PROVIDERS, Engine, ExtractorOptions, Network, PretrainedNetwork,
                                TensorFlowEngine)
from tfpoets.tf_runtime import import_tensorflow
from tfpoets.training import HEAD_TRAINERS


class ZipSource:
    """Photos in a zip archive with one folder per class."""

    def __init__(self, archive: str):
        self._archive = archive

    @classmethod
    def at(cls, location: str) -> ZipSource | None:
        return cls(location) if Path(location).is_file() and zipfile.is_zipfile(location) else None

    def dataset(self, min_classes: int = 2) -> Dataset:
        with zipfile.ZipFile(self._archive) as archive:
            names = sorted(name for name in archive.namelist() if name.count("/") == 1 and not name.endswith("/"))
        labels = tuple(sorted({name.split("/")[0] for name in names}))
        if len(labels) < min_classes:
            raise DataError(f"{self._archive} holds too few folders of photos.")
        return Dataset(self._archive, labels, tuple(
            Photo(f"{self._archive}/{name}", name.split("/")[0], source=self) for name in names))

    def open(self, uri: str) -> BinaryIO:
        try:
            with zipfile.ZipFile(self._archive) as archive:
                return io.BytesIO(archive.read(uri.removeprefix(f"{self._archive}/")))
        except (KeyError, OSError, zipfile.BadZipFile) as error:
            raise PhotoError("it is not in the archive") from error

    def stamps(self, uris: Iterable[str]) -> dict[str, str]:
        status = Path(self._archive).stat()
        return dict.fromkeys(uris, f"{status.st_size} {status.st_mtime_ns}")


@dataclass(frozen=True)
class RandomProjection:
    """A network that multiplies the mean colours of 4 x 4 cells by a random matrix."""

    depth: int
    default_size: int | None = 32

    @property
    def name(self) -> str:
        return f"random_{self.depth}"

    def identity(self) -> str:
        return self.name

    def build(self, image_size: int | None) -> Network:
        size = image_size or 32
        matrix = np.random.default_rng(0).normal(size=(4 * 4 * 3, self.depth)).astype(np.float32)

        def features(pixels: Any, training: bool = False) -> Any:
            tensorflow = import_tensorflow()
            cells = tensorflow.nn.avg_pool2d(pixels, size // 4, size // 4, "VALID")
            return tensorflow.matmul(tensorflow.reshape(cells, [-1, 48]), matrix)
        return Network(features, size, size)


class RandomProvider:
    def find(self, handle: str, options: ExtractorOptions) -> PretrainedNetwork | None:
        return RandomProjection(int(handle.removeprefix("random:"))) if handle.startswith("random:") else None

    def names(self) -> Sequence[str]:
        return ("random:16",)


@dataclass(frozen=True)
class CentroidOptions:
    """The options of the centroid head."""

    sharpness: float = 4.0


@dataclass(frozen=True, eq=False)
class CentroidHead:
    """A head that predicts higher probabilities for classes whose mean is closer to the photo."""

    centroids: np.ndarray  # float32 [n_classes, depth]
    scale: np.float32

    def outputs(self, X: np.ndarray) -> dict[str, np.ndarray]:
        distances = np.square(X[:, None] - self.centroids).sum(2)
        similarity = np.exp(self.scale * (distances.min(1, keepdims=True) - distances))
        return {"nearest": -distances.min(1), "probabilities": similarity / similarity.sum(1, keepdims=True)}

    def add_to_graph(self, bottleneck: Any, output_name: str) -> dict[str, Any]:
        tensorflow = import_tensorflow()
        with tensorflow.name_scope("final_training_ops"):
            offsets = bottleneck[:, None] - tensorflow.constant(self.centroids)
            logits = tensorflow.multiply(tensorflow.reduce_sum(offsets * offsets, axis=2), -self.scale, name="logits")
        return {"probabilities": tensorflow.nn.softmax(logits, name=output_name)}


@dataclass(frozen=True)
class CentroidFit:
    head: CentroidHead

    def description(self) -> dict[str, Any]:
        return {"solver": "centroid"}

    def curves(self) -> dict[str, list[dict[str, float]]]:
        return {"train": [], "validation": []}


class CentroidTrainer:
    name = "centroid"
    options = CentroidOptions

    def fit(self, train: Examples, validation: Examples, options: CentroidOptions, on_event: Callable[[Any], None]
            ) -> CentroidFit:
        centroids = np.stack([train.X[train.y == target].mean(0) for target in range(train.n_classes)])
        spread = np.square(train.X - centroids[train.y]).sum(1).mean()
        return CentroidFit(CentroidHead(centroids, np.float32(options.sharpness / spread)))


class TextTarget(ExportTarget):
    """The graph as text, with the metadata in a comment on the first line."""

    name = "pbtxt"

    def file_name(self, stem: str) -> str:
        return f"{stem}.pbtxt"

    def write(self, source: Exportable, path: Path) -> None:
        from google.protobuf import text_format
        metadata = json.dumps(json.loads(source.metadata.to_json()))
        path.write_text(f"# {metadata}\n{text_format.MessageToString(source.graph_def)}", "utf-8")

    def open(self, path: Path, metadata: Metadata) -> dict[str, Engine]:
        from google.protobuf import text_format
        graph_def = text_format.Parse(path.read_text("utf-8"), import_tensorflow().compat.v1.GraphDef())
        return {SERVING: TensorFlowEngine(graph_def.SerializeToString(), metadata.nodes.input, metadata.nodes.output)}

    def load(self, path: Path, content: bytes) -> LoadedFile | None:
        if not content.startswith(b"# {"):
            return None
        metadata = Metadata.from_json(content.split(b"\n", 1)[0][2:], str(path))
        return LoadedFile(metadata, self.open(path, metadata)[SERVING])


def colourfulness(pixels: np.ndarray) -> float:
    """Return the mean range of the channels of a pixel, 0 to 255."""
    return float(np.ptp(pixels.astype(np.int16), axis=2).mean())


class GrayDetector:
    kinds = {"gray": 65}
    measure = Measure("colourfulness", 64, 64, colourfulness)

    def find(self, evidence: Evidence) -> Iterator[Finding]:
        for photo, value in zip(evidence.dataset.photos, evidence.dataset.measures[self.measure.name]):
            if value < 2:
                yield Finding("gray", photo, 2 - value, "has no colours")


MEMBERS: list[tuple[list, Any]] = [
    (PHOTO_SOURCES, ZipSource.at), (EXTRACTOR_PROVIDERS, RandomProvider()), (HEAD_TRAINERS, CentroidTrainer()),
    (EXPORT_TARGETS, TextTarget()), (DETECTORS, GrayDetector())]


@pytest.fixture(autouse=True)
def members() -> Iterator[None]:
    for extension_list, member in MEMBERS:
        extension_list.append(member)
    yield
    for extension_list, member in MEMBERS:
        extension_list.remove(member)


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos of three classes in a zip archive; two of them are gray."""
    monkeypatch.chdir(tmp_path)
    for hue, label in enumerate(("red", "green", "blue")):
        write_photos(Path("photos") / label, 30, hue)
    for name in ("003", "004"):
        Image.open(f"photos/red/{name}.png").convert("L").save(f"photos/red/{name}.png")
    with zipfile.ZipFile("photos.zip", "w") as file:
        for path in sorted(Path("photos").glob("*/*.png")):
            file.write(path, path.relative_to("photos").as_posix())
    return Path("photos.zip")


COMMAND = ["--tfhub_module=random:16", "--solver=centroid", "--export=pbtxt", "--testing_percentage=20"]


def test_the_commands_work_with_one_new_member_in_each_list(archive: Path, capsys: pytest.CaptureFixture) -> None:
    assert retrain.main([f"--image_dir={archive}", *COMMAND, "--format=json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["test"]["accuracy"] > 0.8 and result["test"]["count"] >= 9
    written = json.loads(Path("tf_files/retrained_graph.json").read_text("utf-8"))
    assert written["network"]["handle"] == "random:16" and written["head"]["solver"] == "centroid"
    # The report shows photos from the archive and the findings of the new detector.
    page = Path("tf_files/retrained_graph.html").read_text("utf-8")
    assert "has no colours" in page and "data:image/jpeg;base64," in page
    with open("tf_files/retrained_graph_findings.csv", encoding="utf-8") as file:
        gray = {row["file"] for row in csv.DictReader(file) if row["kind"] == "gray"}
    assert gray == {"photos.zip/red/003.png", "photos.zip/red/004.png"}
    # The new format was verified against the graph, and can also be requested afterwards.
    assert [row["name"] for row in result["converted"]] == ["graph (.pb)", "pbtxt"]
    assert export.main(["--to=pbtxt"]) == 0
    assert "pbtxt" in capsys.readouterr().out
    assert all(Path(path).exists() for path in [*result["files"], *(row["path"] for row in result["converted"])])
    for graph in ("tf_files/retrained_graph.pbtxt", "tf_files/exported/retrained_graph.pbtxt"):
        assert label_image.main([f"--graph={graph}", "photos/blue/000.png", "--format=jsonl"]) == 0
        assert json.loads(capsys.readouterr().out)["labels"][0]["label"] == "blue"
    assert evaluate.main(["tf_files/retrained_graph.pbtxt", f"--image_dir={archive}", "--format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["count"] == result["test"]["count"]


def test_a_second_run_does_not_measure_photos_again(archive: Path, capsys: pytest.CaptureFixture,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    assert retrain.main([f"--image_dir={archive}", *COMMAND, "--format=json"]) == 0
    first = json.loads(capsys.readouterr().out)
    monkeypatch.setattr(GrayDetector, "measure", Measure("colourfulness", 64, 64, lambda _: pytest.fail("measured")))
    assert retrain.main([f"--image_dir={archive}", *COMMAND, "--format=json"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert second["findings"] == first["findings"] and second["test"] == first["test"]


def test_the_tflite_works_without_the_new_members(archive: Path) -> None:
    assert retrain.main([f"--image_dir={archive}", *COMMAND]) == 0
    completed = subprocess.run([sys.executable, "-m", "tfpoets", "label_image", "photos/green/001.png"],
                               capture_output=True, text=True, check=True)
    assert completed.stdout.startswith("green (score=")


def test_a_file_of_the_new_format_with_wrong_predictions_is_deleted(archive: Path, monkeypatch: pytest.MonkeyPatch,
                                                                    capsys: pytest.CaptureFixture) -> None:
    original = CentroidHead.add_to_graph
    monkeypatch.setattr(CentroidHead, "add_to_graph", lambda self, bottleneck, name: original(
        CentroidHead(self.centroids[::-1].copy(), self.scale), bottleneck, name))
    assert retrain.main([f"--image_dir={archive}", *COMMAND]) == 1
    assert "does not reproduce the outputs of the trained classifier" in capsys.readouterr().err
    assert not list(Path("tf_files").glob("retrained_*"))
