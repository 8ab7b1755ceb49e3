"""A SavedModel with two signatures: photos as arrays, and photos as JPEG or PNG bytes."""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import decode_tensor
from tfpoets.extractors import TENSORFLOW_BATCH, Engine
from tfpoets.files import write_file
from tfpoets.graphs import PROBABILITIES, UNKNOWN_SCORE, load_signature, output_columns
from tfpoets.tf_runtime import import_tensorflow, redirect_native_stderr

from ..exportable import Exportable
from ..metadata import RUN_AGAIN, UNKNOWN_LABEL, Metadata
from ..target import PREDICT_BYTES, SERVING, ExportTarget, LoadedFile

# TensorFlow Serving leaves this folder of a SavedModel alone.
METADATA_PATH = Path("assets.extra") / "metadata.json"
# What each signature takes.
INPUTS = {SERVING: "image", PREDICT_BYTES: "image_bytes"}


class SavedModelTarget(ExportTarget):
    """A folder with a SavedModel; see `save` for its signatures."""

    name = "saved_model"

    def file_name(self, stem: str) -> str:
        return f"{stem}_saved_model"

    def write(self, source: Exportable, path: Path) -> None:
        save(source, path)
        (path / METADATA_PATH).parent.mkdir(exist_ok=True)
        write_file(path / METADATA_PATH, source.metadata.to_json())

    def open(self, path: Path, metadata: Metadata) -> dict[str, Engine]:
        return {name: SignatureEngine(path, name) for name in INPUTS}

    def load(self, path: Path, content: bytes) -> LoadedFile | None:
        if not path.is_dir():
            return None
        path = newest_version(path)
        if not (path / METADATA_PATH).exists():
            return None
        return LoadedFile(Metadata.from_json((path / METADATA_PATH).read_bytes(), str(path)),
                          SignatureEngine(path, SERVING))

    def owns(self, path: Path) -> bool:
        return (path / METADATA_PATH).exists()


class NumberedSavedModelTarget(SavedModelTarget):
    """The same as the next of the numbered versions in a folder, from which TensorFlow Serving takes the highest."""

    name = "SavedModel"
    selectable = False

    def publish(self, staged: Path, destination: Path) -> Path:
        folder = destination.parent
        taken = [int(sub.name) for sub in folder.iterdir() if sub.name.isdecimal()]
        version = folder / str(max(taken, default=0) + 1)
        os.replace(staged, version)
        return version


def newest_version(folder: Path) -> Path:
    """Return the highest of the numbered versions in a folder; the folder itself where it is a SavedModel."""
    versions = [sub for sub in folder.iterdir() if sub.name.isdecimal() and (sub / "saved_model.pb").exists()]
    if not versions or (folder / "saved_model.pb").exists():
        return folder
    return max(versions, key=lambda sub: int(sub.name))


class SignatureEngine:
    """A signature of a SavedModel in TensorFlow, in batches."""

    name = "tensorflow"
    batch_size = TENSORFLOW_BATCH

    def __init__(self, folder: Path, signature: str):
        self._folder, self._signature = folder, signature

    def open(self) -> Callable[[np.ndarray], np.ndarray]:
        """Load the SavedModel; see `Engine`."""
        signature, taken = load_signature(self._folder, self._signature, RUN_AGAIN), INPUTS[self._signature]

        def run(photos: Any) -> np.ndarray:
            return output_columns(signature(**{taken: photos}))
        return run


def save(source: Exportable, folder: Path) -> None:
    """Write a classifier as a SavedModel.

    Signatures, each with outputs `probabilities` float32 [n, n_classes] and `label` string [n]:
        serving_default: `image` float32 [n, height, width, 3] in [0, 1].
            The loaded object itself can be called so, too: `tf.saved_model.load(folder)(image)`.
        predict_bytes: `image_bytes` string [n], JPEG or PNG files. They are decoded and resized in the graph, without
            EXIF rotation and transparency: a client turns such photos upright, and lays them over white, first.

    With a reject option there is the output `unknown_score` float32 [n], too, and the label of photos beyond the
    threshold is `unknown`.
    """
    tensorflow = import_tensorflow()
    labels, threshold, size = source.metadata.labels, source.metadata.unknown_threshold, source.size

    def answers(pixels: Any) -> dict[str, Any]:
        outputs = source.add_to_graph(pixels)
        best = tensorflow.argmax(outputs[PROBABILITIES], axis=1)
        label = tensorflow.gather(tensorflow.constant(labels), best)
        if threshold is not None:
            label = tensorflow.where(outputs[UNKNOWN_SCORE] > threshold, UNKNOWN_LABEL, label)
        return {**outputs, "label": label}

    module = tensorflow.Module()
    module.serve = tensorflow.function(
        lambda image: answers(image),
        input_signature=[tensorflow.TensorSpec([None, *size, 3], tensorflow.float32, name=INPUTS[SERVING])])
    module.__call__ = module.serve  # on the loaded object, too: loaded(photos)
    module.predict_bytes = tensorflow.function(
        lambda image_bytes: answers(decode_tensor(image_bytes, size)),
        input_signature=[tensorflow.TensorSpec([None], tensorflow.string, name=INPUTS[PREDICT_BYTES])])
    with redirect_native_stderr():
        tensorflow.saved_model.save(module, str(folder), signatures={
            SERVING: module.serve, PREDICT_BYTES: module.predict_bytes})
