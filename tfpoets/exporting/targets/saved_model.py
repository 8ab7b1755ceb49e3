"""A SavedModel with two signatures: photos as arrays, and photos as JPEG or PNG bytes."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfpoets.data import decode_tensor
from tfpoets.extractors import Extractor
from tfpoets.graphs import UNKNOWN_SCORE
from tfpoets.tf_runtime import import_tensorflow, quiet_native_code

from ..classifier_graph import Answers, add_classifier, read_graph
from ..metadata import UNKNOWN_LABEL, Metadata

if TYPE_CHECKING:
    from tfpoets.training import Head

# TensorFlow Serving leaves this folder of a SavedModel alone.
METADATA_PATH = Path("assets.extra") / "metadata.json"


def write_saved_model(folder: Path, extractor: Extractor, head: Head, labels: list[str],
                      threshold: float | None) -> None:
    """Writes extractor and head as a SavedModel; its signatures are those of `save_answers`."""
    definition = read_graph(extractor)
    save_answers(folder, lambda pixels: add_classifier(pixels, definition, head, "probabilities"),
                 (extractor.height, extractor.width), labels, threshold)


def save_answers(folder: Path, network: Callable[[Any], Answers], size: tuple[int, int], labels: list[str],
                 threshold: float | None) -> None:
    """Writes a SavedModel.

    Signatures, each with outputs `probabilities` float32 [n, classes] and `label` string [n]:
        serving_default: `image` float32 [n, height, width, 3] in [0, 1].
            The loaded object itself can be called so, too: `tf.saved_model.load(folder)(image)`.
        predict_bytes: `image_bytes` string [n], JPEG or PNG files. They are decoded and resized in the graph, without
            EXIF rotation and transparency: a client turns such photos upright, and lays them over white, first.

    With a threshold there is the output `unknown_score` float32 [n], too, and the label of photos beyond the threshold
    is `unknown`.

    Args:
        folder: made anew.
        network: from float32 [n, height, width, 3] in [0, 1] to its answers; adds itself to a graph.
        size: height and width of its input, in pixels.
        labels: in output order.
        threshold: of the scores for unknown photos; None where the network has none.
    """
    tensorflow = import_tensorflow()

    def answers(pixels: Any) -> dict[str, Any]:
        probabilities, score = network(pixels)
        label = tensorflow.gather(tensorflow.constant(labels), tensorflow.argmax(probabilities, axis=1))
        if threshold is None:
            return {"probabilities": probabilities, "label": label}
        return {"probabilities": probabilities, UNKNOWN_SCORE: score,
                "label": tensorflow.where(score > threshold, UNKNOWN_LABEL, label)}

    module = tensorflow.Module()
    module.serve = tensorflow.function(
        lambda image: answers(image),
        input_signature=[tensorflow.TensorSpec([None, *size, 3], tensorflow.float32, name="image")])
    module.__call__ = module.serve  # on the loaded object, too: loaded(photos)
    module.predict_bytes = tensorflow.function(
        lambda image_bytes: answers(decode_tensor(image_bytes, size)),
        input_signature=[tensorflow.TensorSpec([None], tensorflow.string, name="image_bytes")])
    with quiet_native_code():
        tensorflow.saved_model.save(module, str(folder), signatures={
            "serving_default": module.serve, "predict_bytes": module.predict_bytes})


def write_metadata(folder: Path, metadata: Metadata) -> None:
    """Adds the metadata to a written SavedModel."""
    (folder / METADATA_PATH).parent.mkdir(exist_ok=True)
    (folder / METADATA_PATH).write_text(metadata.to_json(), "utf-8")
