"""Pretrained networks that are SavedModels: TF Hub's modules, of TensorFlow 2 and of TensorFlow 1."""
from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path
from typing import Any

from tfpoets.errors import ExtractorError, one_line
from tfpoets.graphs import Signature, has_variables, find_inference_graph, load_signatures, format_shape
from tfpoets.tf_runtime import import_tensorflow

from .network import Network

log = logging.getLogger(__name__)

# What a module that takes any size is given when neither the person nor its name says otherwise: the size most
# ImageNet networks were made for.
DEFAULT_IMAGE_SIZE = 224
INPUT_SIZES = (96, 128, 160, 192, 224, 240, 256, 260, 288, 299, 300, 320, 331, 380, 384, 448, 480, 512)
NO_FEATURE_VECTOR = "Choose a module whose name ends in feature_vector."
FETCH_AGAIN = "Copy or fetch the whole module again."


class SavedModelNetwork:
    """A folder with a SavedModel that takes photos, float32 in [0, 1], and gives a vector each.

    TensorFlow 2 writes one graph, under the tag `serve`; a TF Hub module of TensorFlow 1 holds one for inference,
    without tags, and one for training (tensorflow.org/hub/tf1_hub_module).

    Args:
        folder: the one with saved_model.pb in it.
        name: for messages and folders; None: the folder's.

    Raises:
        ExtractorError: files are missing; the sentence says which.
    """

    default_size: int | None = None

    def __init__(self, folder: Path, name: str | None = None):
        self.folder = folder
        self.name = name or folder.resolve().name
        self._check_files()

    def identity(self) -> str:
        hashed = hashlib.blake2b(digest_size=16)
        for path in sorted(self._content(), key=lambda path: path.relative_to(self.folder).as_posix()):
            hashed.update(f"{path.relative_to(self.folder).as_posix()}\0{path.stat().st_size}\0".encode())
            with open(path, "rb") as file:
                while block := file.read(1 << 20):
                    hashed.update(block)
        return hashed.hexdigest()

    def _content(self) -> list[Path]:
        """The files that decide what the module computes."""
        files = [self.folder / "saved_model.pb"]
        return files + [path for sub in ("variables", "assets") for path in (self.folder / sub).glob("*")
                        if path.is_file()]

    def _check_files(self) -> None:
        if not (self.folder / "saved_model.pb").is_file():
            held = sorted(path.name for path in self.folder.iterdir())[:5]
            raise ExtractorError(f"The module {self.folder} is not complete: saved_model.pb is missing"
                                 + (f" (it holds {', '.join(held)})." if held else " (the folder is empty)."),
                                 "Give the folder that holds saved_model.pb and variables, or fetch the module again.")
        for shard in (self.folder / "variables").glob("variables.data-*-of-*"):
            total = int(shard.name.rsplit("-", 1)[1])
            for number in range(total):
                self._require(f"variables/variables.data-{number:05d}-of-{total:05d}")
            self._require("variables/variables.index")

    def _require(self, name: str) -> None:
        if not (self.folder / name).is_file():
            raise ExtractorError(f"The module {self.folder} is not complete: {name} is missing.", FETCH_AGAIN)

    def _read_proto(self) -> Any:
        """The SavedModel message (tensorflow/core/protobuf/saved_model.proto)."""
        from tensorflow.core.protobuf import saved_model_pb2
        try:
            return saved_model_pb2.SavedModel.FromString((self.folder / "saved_model.pb").read_bytes())
        except Exception as error:  # protobuf's DecodeError lives at another place in each of its versions
            raise ExtractorError(f"The module {self.folder} is damaged: saved_model.pb cannot be read "
                                 f"({one_line(error)})",
                                 FETCH_AGAIN) from error

    def _check_variables(self, proto: Any) -> None:
        """Raise an ExtractorError unless the values of the variables are there, if the module has any."""
        if has_variables(proto):
            self._require("variables/variables.index")
            if not list((self.folder / "variables").glob("variables.data-*")):
                self._require("variables/variables.data-00000-of-00001")

    def _inference_graph(self, proto: Any) -> Any:
        """Return the graph to load, or raise an ExtractorError."""
        graph = find_inference_graph(proto)
        if graph is None:
            held = " and ".join("{" + ", ".join(graph.meta_info_def.tags) + "}" for graph in proto.meta_graphs)
            raise ExtractorError(f"The module {self.folder} has no graph for inference: its tag sets are "
                                 f"{held or 'none'}.",
                                 NO_FEATURE_VECTOR)
        return graph

    def build(self, image_size: int | None) -> Network:
        import_tensorflow()
        proto = self._read_proto()
        self._check_variables(proto)
        graph = self._inference_graph(proto)
        try:
            signatures = load_signatures(self.folder, graph)
        except Exception as error:  # whatever a damaged file makes TensorFlow raise
            raise ExtractorError(f"The module {self.folder} cannot be loaded: {one_line(error)}",
                                 "Copy or fetch it again; a module is a SavedModel.") from error
        signature, output = self._feature_signature(signatures)
        (name, spec), = signature.inputs.items()
        height, width = self._input_size(spec, image_size)

        def features(pixels: Any, training: bool = False) -> Any:
            if not training:
                return signature.call({name: pixels}, output)
            if signature.train is None:
                raise ExtractorError(f"The module {self.name} was saved for inference only: its batch normalisation "
                                     "cannot be trained.", "Omit `batch_norm`.")
            return signature.train(pixels)
        return Network(features, height, width)

    def _feature_signature(self, signatures: dict[str, Signature]) -> tuple[Signature, str]:
        """Return the signature that turns photos into vectors, and the name of its output."""
        for key in ("serving_default", "default"):
            signature = signatures.get(key)
            if signature and len(signature.inputs) == 1:
                output = "default" if "default" in signature.outputs else next(iter(signature.outputs))
                if output == "default" or len(signature.outputs) == 1:
                    self._check_feature_vector(next(iter(signature.inputs.values())), signature.outputs[output])
                    return signature, output
        found = ", ".join(f"{key} ({signature})" for key, signature in signatures.items()) or "none"
        raise ExtractorError(f"The module {self.folder} is not an image feature vector: it needs a signature "
                             f"serving_default or default with one input and one output; it has {found}.",
                             NO_FEATURE_VECTOR)

    def _check_feature_vector(self, taken: Any, given: Any) -> None:
        if taken.shape.rank != 4 or taken.shape[3] != 3 or taken.dtype.name != "float32":
            raise ExtractorError(f"The module {self.folder} is not an image feature vector: it takes "
                                 f"{taken.dtype.name} {format_shape(taken)}, not float32 [n, height, width, "
                                 "3].", NO_FEATURE_VECTOR)
        if given.shape.rank is not None and given.shape.rank != 2:
            raise ExtractorError(f"The module {self.folder} is not an image feature vector: it gives "
                                 f"{format_shape(given)}, not one vector a photo.", NO_FEATURE_VECTOR)
        if taken.shape[0] is not None:
            raise ExtractorError(f"The module {self.folder} takes batches of {taken.shape[0]} photos only.",
                                 "Choose one that takes any number.")

    def _input_size(self, spec: Any, image_size: int | None) -> tuple[int, int]:
        _, height, width, _ = spec.shape
        usual = named_size(self.name) or DEFAULT_IMAGE_SIZE
        own = (height or image_size or usual, width or image_size or usual)
        if None in (height, width) and image_size is None:
            log.info("The module %s takes photos of any size; they are given to it at %d x %d pixels. `image_size` "
                     "changes that.", self.name, *own)
        if image_size is not None and own != (image_size, image_size):
            raise ExtractorError(f"The module {self.name} takes photos of {own[0]} x {own[1]} pixels only, not of "
                                 f"{image_size} x {image_size}.", "Omit `image_size`.")
        return own


def named_size(name: str) -> int | None:
    """Return the input size that a module's name states, as TF Hub's do (mobilenet_v1_025_128), or None."""
    if re.search("inception_(v3|resnet_v2)", name):
        return 299
    # The depth of a ResNet (50, 101, 152) stands at the same place.
    stated = [int(number) for number in re.findall(r"_(\d{2,3})(?=$|[_/-](?:feature|classification))", name)]
    return next((size for size in stated if size in INPUT_SIZES), None)
