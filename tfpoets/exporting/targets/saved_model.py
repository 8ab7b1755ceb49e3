"""A SavedModel with two signatures: one for pixels, and one for photos as JPEG or PNG bytes."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfpoets.data import decode_tensor
from tfpoets.errors import ModelError
from tfpoets.extractors import TENSORFLOW_BATCH, Engine
from tfpoets.files import write_file
from tfpoets.graphs import (PROBABILITIES, UNKNOWN_SCORE, FirstRun, load_signature, oldest_tensorflow,
                            output_columns)
from tfpoets.tf_runtime import import_tensorflow, redirect_native_stderr

from ..decision_sections import add_label_to_graph
from ..gray_photo import run_gray_photo
from ..metadata import RETRAIN_REMEDY, UNKNOWN_LABEL, Metadata
from ..target import PREDICT_BYTES, SERVING, ExportTarget, LoadedFile, Requirement

if TYPE_CHECKING:
    from ..exportable import Exportable

# TensorFlow Serving ignores this folder of a SavedModel.
METADATA_PATH = Path("assets.extra") / "metadata.json"
# The name of the input of each signature.
INPUT_NAMES = {SERVING: "image", PREDICT_BYTES: "image_bytes"}


class SavedModelTarget(ExportTarget):
    """The target for a SavedModel folder; see `write_saved_model` for its signatures."""

    name = "saved_model"

    def file_name(self, stem: str) -> str:
        """Return the name of the folder."""
        return f"{stem}_saved_model"

    def write(self, source: Exportable, path: Path) -> None:
        """Write the SavedModel, with the metadata and the list of the training photos in its folder `assets.extra`."""
        write_saved_model(source, path)
        (path / METADATA_PATH).parent.mkdir(exist_ok=True)
        write_file(path / METADATA_PATH, source.metadata.embedded_json())
        source.write_training_list((path / METADATA_PATH).parent)

    def open(self, path: Path, metadata: Metadata) -> dict[str, Engine]:
        """Return a TensorFlow engine for each signature."""
        return {name: SignatureEngine(path, name) for name in INPUT_NAMES}

    def requirement(self, path: Path) -> Requirement:
        """Return the oldest TensorFlow that has the operations of both signatures."""
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
        saved_model = SavedModel.FromString((path / "saved_model.pb").read_bytes())
        version = oldest_tensorflow(saved_model.meta_graphs[0].graph_def)
        return Requirement(f"TF {version}" if version else "")

    def check(self, path: Path, content: bytes) -> None:
        """Check the operations of a SavedModel, and run it in a process of its own if it has not been run before."""
        folder = newest_version(path) if path.is_dir() else path
        if not (folder / METADATA_PATH).exists() or (first_run := FirstRun(folder)).has_happened():
            return
        from tfpoets.graphs import check_saved_model, read_saved_model  # imported here, see FrozenGraphTarget.check
        loaded = self.load(path, content)
        if loaded is not None:
            saved_model, size = read_saved_model(folder), loaded.metadata.input
            if len(saved_model.meta_graphs) != 1 or not saved_model.meta_graphs[0].object_graph_def.nodes:
                raise ModelError(f"{path} was not written by retrain: it is not a SavedModel of TensorFlow 2.",
                                 RETRAIN_REMEDY)
            check_saved_model(saved_model, saved_model.meta_graphs[0], [SERVING], str(path))
            first_run.run(run_gray_photo, loaded.engine, size.height, size.width, library="tensorflow")

    def load(self, path: Path, content: bytes) -> LoadedFile | None:
        """Load a SavedModel, or the newest version in a folder of numbered ones."""
        if not path.is_dir():
            return None
        path = newest_version(path)
        if not (path / METADATA_PATH).exists():
            return None
        return LoadedFile(Metadata.from_file(path / METADATA_PATH, str(path)), SignatureEngine(path, SERVING))

    def may_replace(self, path: Path) -> bool:
        """Return whether a folder contains the metadata of a classifier."""
        return (path / METADATA_PATH).exists()

    def stale_paths(self, path: Path) -> list[Path]:
        """Return the folder if it contains the metadata of a classifier."""
        return [path] if self.may_replace(path) else []


class NumberedSavedModelTarget(SavedModelTarget):
    """The target for a SavedModel as the next numbered version in a folder; TensorFlow Serving loads the highest."""

    name = "SavedModel"
    selectable = False

    def final_path(self, staged: Path, destination: Path) -> Path:
        """Return the next free version number in the parent folder of `destination`."""
        folder = destination.parent
        numbers = [int(version.name) for version in folder.iterdir() if version.name.isdecimal()]
        return folder / str(max(numbers, default=0) + 1)


def newest_version(folder: Path) -> Path:
    """Return the highest numbered version in a folder, or the folder if it is a SavedModel or contains no versions."""
    versions = [path for path in folder.iterdir() if path.name.isdecimal() and (path / "saved_model.pb").exists()]
    if not versions or (folder / "saved_model.pb").exists():
        return folder
    return max(versions, key=lambda path: int(path.name))


class SignatureEngine:
    """An engine that runs a signature of a SavedModel in TensorFlow, in batches."""

    name = "tensorflow"
    batch_size = TENSORFLOW_BATCH

    def __init__(self, folder: Path, signature: str):
        self._folder, self._signature = folder, signature

    def open(self) -> Callable[[np.ndarray], np.ndarray]:
        """Load the SavedModel; see `Engine`."""
        signature, input_name = (load_signature(self._folder, self._signature, RETRAIN_REMEDY),
                                 INPUT_NAMES[self._signature])
        return lambda photos: output_columns(signature(**{input_name: photos}))


def write_saved_model(source: Exportable, folder: Path) -> None:
    """Write a classifier as a SavedModel.

    There are two signatures. Both return `probabilities`, float32 [n, n_classes], and `label`, string [n].

    - serving_default: The input is `image`, float32 [n, height, width, 3] in [0, 1]. The loaded object can be called
      in the same way.
    - predict_bytes: The input is `image_bytes`, string [n], JPEG or PNG files. They are decoded and resized in the
      graph, which ignores EXIF rotation and transparency. Clients must rotate photos, and draw transparent ones on a
      white background, before they send them.

    With a reject option, both also return `unknown_score`, float32 [n], and the label of photos with a score above the
    threshold is `unknown`. The label is also `unsure` where the metadata says so, and the least costly one if the
    metadata contains costs.

    Example:
        classifier = tf.saved_model.load("retrained_graph_saved_model")
        labels = classifier.signatures["predict_bytes"](image_bytes=tf.constant([jpeg_bytes]))["label"]

    Args:
        source: The classifier.
        folder: The folder to write, which must not exist yet.
    """
    tensorflow = import_tensorflow()
    module = tensorflow.Module()
    module.serve = tensorflow.function(
        lambda image: _predict(source, image),
        input_signature=[tensorflow.TensorSpec([None, *source.size, 3], tensorflow.float32,
                                               name=INPUT_NAMES[SERVING])])
    module.__call__ = module.serve  # makes the loaded object callable
    module.predict_bytes = tensorflow.function(
        lambda image_bytes: _predict(source, decode_tensor(image_bytes, source.size)),
        input_signature=[tensorflow.TensorSpec([None], tensorflow.string, name=INPUT_NAMES[PREDICT_BYTES])])
    with redirect_native_stderr():
        tensorflow.saved_model.save(module, str(folder), signatures={
            SERVING: module.serve, PREDICT_BYTES: module.predict_bytes})


def _predict(source: Exportable, pixels: Any) -> dict[str, Any]:
    """Add the classifier and the predicted label to the graph that is being built; return the outputs by name."""
    tensorflow = import_tensorflow()
    threshold = source.metadata.unknown_threshold
    outputs = source.add_to_graph(pixels)
    label = add_label_to_graph(source.metadata, outputs[PROBABILITIES])
    if threshold is not None:
        label = tensorflow.where(outputs[UNKNOWN_SCORE] > threshold, UNKNOWN_LABEL, label)
    return {**outputs, "label": label}
