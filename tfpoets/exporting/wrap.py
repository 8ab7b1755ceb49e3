"""Classifiers around networks that were trained elsewhere."""
from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import Photo, load_photos, network_input, photo_digest
from tfpoets.errors import ExportError, OptionError, PhotoError
from tfpoets.extractors import INPUT_NODE, Network, core_count, prepare_extractor
from tfpoets.tf_runtime import full_precision, import_tensorflow

from .metadata import Metadata
from .metadata_sections import HeadInfo, InputInfo, NetworkInfo, NodeNames
from .options import ExportOptions, check_destinations
from .verification import ReferenceOutputs
from .classifier_files import ExportResult, export_classifier

# Photos that a network answers at a time; it only bounds memory.
BATCH = 32


@dataclass(frozen=True, eq=False)
class Wrapped:
    """A network of one's own as a classifier.

    Attributes:
        model: from float32 [n, height, width, 3] in [0, 1] to logits, float32 [n, labels].
        labels: in the order of the logits.
        height, width: of its input, in pixels.
        name: for messages and the metadata.
    """

    model: Any
    labels: tuple[str, ...]
    height: int
    width: int
    name: str

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Uint8 [n, height, width, 3] to probabilities, float32 [n, labels], by the network itself."""
        softmax = import_tensorflow().nn.softmax
        with full_precision:
            found = [softmax(self.model(network_input(pixels[start:start + BATCH]), training=False)).numpy()
                     for start in range(0, len(pixels), BATCH)]
        return np.concatenate(found) if found else np.empty((0, len(self.labels)), np.float32)

    def export(self, destinations: ExportOptions, photos: Sequence[Path | str] = ()) -> ExportResult:
        """Writes all files of a classifier, proven to answer as the network itself does on some photos.

        Args:
            destinations: where the files go.
            photos: to prove the files on, of any kind; without any nothing is proven.

        Raises:
            ExportError: a photo cannot be read, the network cannot be frozen or converted, a file cannot be written or
                does not give the network's answers; nothing has been replaced then.
        """
        if destinations.formats:
            raise OptionError("`formats` is for a retraining.", "Convert the graph after it is written.")
        from tfpoets.training import LinearHead  # here, because labelling photos needs no training code
        check_destinations(destinations)
        if isinstance(photos, str):
            raise ExportError("The photos for the proof are a list of paths.", f"Give [{photos!r}].")
        try:
            proving = [Photo(os.fspath(path), "") for path in photos]
            files = [photo.read() for photo in proving]
            pixels = load_photos(files, self.height, self.width, core_count())
        except PhotoError as error:
            raise ExportError(f"A photo for the proof cannot be used: {error}") from error
        verified = tuple(replace(photo, digest=photo_digest(data)) for photo, data in zip(proving, files))
        with tempfile.TemporaryDirectory() as folder:
            extractor = prepare_extractor(Network(self.model, self.height, self.width), self.name, self.name,
                                          self.name, Path(folder) / "network")
            metadata = Metadata(
                labels=list(self.labels), input=InputInfo(self.height, self.width),
                nodes=NodeNames(INPUT_NODE, destinations.final_tensor_name),
                network=NetworkInfo("wrapped", self.name, extractor.digest), head=HeadInfo("none", 1.0))
            # The network's last layer is its own; ours hands its answers on.
            head = LinearHead(np.eye(len(self.labels), dtype=np.float32), np.zeros(len(self.labels), np.float32))
            return export_classifier(extractor, head, metadata, destinations, ReferenceOutputs(verified, self(pixels)))


def wrap(model: Any, labels: Sequence[str]) -> Wrapped:
    """Makes a Keras model a classifier, which can be exported like one that retrain made.

    Args:
        model: with one input, float32 [n, height, width, 3], pixels in [0, 1] (its preprocessing is inside), and one
            output, a logit for each label.
        labels: in the order of the logits, at least two, each once.

    Raises:
        ExportError: the model takes or gives something else, or ends in a softmax or sigmoids.
    """
    import_tensorflow()
    if isinstance(labels, str):
        raise ExportError("The labels are a list of texts.", "Give one text for each class.")
    if any(not isinstance(label, str) or not label or len(label.splitlines()) > 1 for label in labels):
        raise ExportError("Labels are texts of one line each.")
    try:
        given, answered = tuple(model.input_shape), tuple(model.output_shape)
    except AttributeError:
        raise ExportError("The model does not say what it takes and gives.",
                          "Build it as keras.Model(inputs, outputs), or as keras.Sequential that begins with "
                          "keras.Input.") from None
    if len(given) != 4 or given[3] != 3 or not all(given[1:]):
        raise ExportError(f"The model takes {list(given)}, not photos of one size, [n, height, width, 3].")
    if len(answered) != 2 or answered[1] != len(labels) or not 2 <= len(set(labels)) == len(labels):
        raise ExportError(f"The model gives {list(answered)} for {len(labels)} labels; it needs one number for each "
                          "of at least two labels.")
    wrapped = Wrapped(model, tuple(labels), given[1], given[2], model.name)
    probe = model(np.random.default_rng(0).random((2, *given[1:]), np.float32), training=False).numpy()
    if probe.dtype != np.float32:
        raise ExportError(f"The model answers in {probe.dtype}; float32 is wanted.",
                          'Give its last layer dtype="float32".')
    if not np.isfinite(probe).all():
        raise ExportError("The model answers with numbers that are not finite.", "Train it again.")
    sums_to_one = (probe >= 0).all() and np.allclose(probe.sum(1), 1, atol=1e-4)
    last = getattr(getattr(model.layers[-1], "activation", None), "__name__", "")
    if sums_to_one or last in ("softmax", "sigmoid"):
        raise ExportError(f"The model ends in {'sigmoids' if last == 'sigmoid' else 'a softmax'}; logits are wanted.",
                          "Remove the activation of its last layer.")
    return wrapped
