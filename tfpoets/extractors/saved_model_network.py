"""Pretrained networks in SavedModels: modules of TF Hub for TensorFlow 2 and TensorFlow 1."""
from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path
from typing import Any

from tfpoets.errors import ExtractorError, ModelError, one_line
from tfpoets.graphs import FirstRun, Signature, find_inference_graph, format_shape, has_variables, load_signatures
from tfpoets.tf_runtime import import_tensorflow

from .network import Network, run_network

log = logging.getLogger(__name__)

# The input size of a module that takes any size, if neither the options nor its name states one: the size that
# most ImageNet networks were designed for.
DEFAULT_IMAGE_SIZE = 224
INPUT_SIZES = (96, 128, 160, 192, 224, 240, 256, 260, 288, 299, 300, 320, 331, 380, 384, 448, 480, 512)
CHOOSE_FEATURE_VECTOR = "Choose a module whose name ends in feature_vector."
# The names of signatures that may return feature vectors; the first one that does is used.
SIGNATURES = ("serving_default", "default")
DOWNLOAD_AGAIN = "Copy or download the whole module again."


class SavedModelNetwork:
    """A folder with a SavedModel that turns photos, float32 in [0, 1], into one vector each.

    TensorFlow 2 writes one graph with the tag `serve`. A TF Hub module of TensorFlow 1 contains one graph without tags
    for inference and one for training (tensorflow.org/hub/tf1_hub_module).

    Args:
        folder: The folder that contains saved_model.pb.
        name: The name in messages and folder names; None: the name of the folder.
        trust_model: Whether the module is used without checking what it does.

    Raises:
        ExtractorError: A file is missing. The message names it.
    """

    default_size: int | None = None

    def __init__(self, folder: Path, name: str | None = None, trust_model: bool = False):
        self.folder, self._trust_model = folder, trust_model
        self.name = name or folder.resolve().name
        self._check_files()

    def identity(self) -> str:
        """Return a hash of the files."""
        digest = hashlib.blake2b(digest_size=16)
        for path in sorted(self._list_files(), key=lambda path: path.relative_to(self.folder).as_posix()):
            digest.update(f"{path.relative_to(self.folder).as_posix()}\0{path.stat().st_size}\0".encode())
            with open(path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()

    def _list_files(self) -> list[Path]:
        """Return the files that determine what the module computes."""
        return [self.folder / "saved_model.pb", *(path for subfolder in ("variables", "assets")
                                                  for path in (self.folder / subfolder).glob("*") if path.is_file())]

    def _check_files(self) -> None:
        """Raise an ExtractorError if a file of the SavedModel is missing."""
        if not (self.folder / "saved_model.pb").is_file():
            contents = sorted(path.name for path in self.folder.iterdir())[:5]
            raise ExtractorError(f"The module {self.folder} is incomplete: saved_model.pb is missing"
                                 + (f" (the folder contains {', '.join(contents)})." if contents else
                                    " (the folder is empty)."),
                                 "Use the folder that contains saved_model.pb and variables, or download the module "
                                 "again.")
        for shard in (self.folder / "variables").glob("variables.data-*-of-*"):
            total = int(shard.name.rsplit("-", 1)[1])
            for number in range(total):
                self._require_file(f"variables/variables.data-{number:05d}-of-{total:05d}")
            self._require_file("variables/variables.index")

    def _require_file(self, name: str) -> None:
        if not (self.folder / name).is_file():
            raise ExtractorError(f"The module {self.folder} is incomplete: {name} is missing.", DOWNLOAD_AGAIN)

    def _read_proto(self) -> Any:
        """Return the SavedModel message (tensorflow/core/protobuf/saved_model.proto)."""
        from tfpoets.graphs import read_saved_model  # imported here because label_image does not need it
        try:
            return read_saved_model(self.folder)
        except ModelError as error:
            raise ExtractorError(f"The module {error.problem}", error.remedy) from error

    def _check_variables(self, proto: Any) -> None:
        """Raise an ExtractorError if the module has variables, but the files with their values are missing."""
        if has_variables(proto):
            self._require_file("variables/variables.index")
            if not list((self.folder / "variables").glob("variables.data-*")):
                self._require_file("variables/variables.data-00000-of-00001")

    def _find_inference_graph(self, proto: Any) -> Any:
        graph = find_inference_graph(proto)
        if graph is None:
            tag_sets = " and ".join("{" + ", ".join(graph.meta_info_def.tags) + "}" for graph in proto.meta_graphs)
            raise ExtractorError(f"The module {self.folder} has no graph for inference: its tag sets are "
                                 f"{tag_sets or 'none'}.", CHOOSE_FEATURE_VECTOR)
        return graph

    def build(self, image_size: int | None) -> Network:
        """Load the SavedModel and find the signature that returns feature vectors."""
        import_tensorflow()
        proto = self._read_proto()
        self._check_variables(proto)
        graph = self._find_inference_graph(proto)
        if not self._trust_model:
            self._check(proto, graph, image_size)
        try:
            signatures = load_signatures(self.folder, graph)
        except Exception as error:  # a damaged file can make TensorFlow raise nearly anything
            raise ExtractorError(f"The module {self.folder} cannot be loaded: {one_line(error)}",
                                 "Copy or download it again. A module must be a SavedModel.") from error
        signature, output = self._find_feature_signature(signatures)
        (input_name, input_spec), = signature.inputs.items()
        height, width = self._input_size(input_spec, image_size)

        def features(pixels: Any, training: bool = False) -> Any:
            if not training:
                return signature.call({input_name: pixels}, output)
            if signature.call_training is None:
                raise ExtractorError(f"The module {self.name} was saved only for inference: its batch normalisation "
                                     "cannot be trained.", "Omit `batch_norm`.")
            return signature.call_training(pixels)
        return Network(features, height, width)

    def _check(self, proto: Any, graph: Any, image_size: int | None) -> None:
        """Check the operations, and run the module in a process of its own if it has not been run before."""
        first_run = FirstRun(self.folder, "module")
        if first_run.has_happened():
            return
        from tfpoets.graphs import check_saved_model  # imported here because label_image does not need it
        try:
            check_saved_model(proto, graph, SIGNATURES, f"The module {self.folder}")
        except ModelError as error:
            raise ExtractorError(error.problem, error.remedy) from error
        first_run.run(run_network, SavedModelNetwork(self.folder, self.name, True), image_size, library="tensorflow")

    def _find_feature_signature(self, signatures: dict[str, Signature]) -> tuple[Signature, str]:
        """Return the signature that turns photos into vectors, and the name of its output."""
        for key in SIGNATURES:
            signature = signatures.get(key)
            if signature and len(signature.inputs) == 1:
                output = "default" if "default" in signature.outputs else next(iter(signature.outputs))
                if output == "default" or len(signature.outputs) == 1:
                    self._check_feature_vector(next(iter(signature.inputs.values())), signature.outputs[output])
                    return signature, output
        listed = ", ".join(f"{key} ({signature})" for key, signature in signatures.items()) or "none"
        raise ExtractorError(f"The module {self.folder} is not an image feature vector: it needs a signature "
                             "serving_default or default with one input and one output, but its signatures are: "
                             f"{listed}.", CHOOSE_FEATURE_VECTOR)

    def _check_feature_vector(self, input_spec: Any, output_spec: Any) -> None:
        """Raise an ExtractorError unless the signature maps photos to one vector each."""
        if input_spec.shape.rank != 4 or input_spec.shape[3] != 3 or input_spec.dtype.name != "float32":
            raise ExtractorError(f"The module {self.folder} is not an image feature vector: it takes "
                                 f"{input_spec.dtype.name} {format_shape(input_spec)}, not float32 [n, height, width, "
                                 "3].", CHOOSE_FEATURE_VECTOR)
        if output_spec.shape.rank is not None and output_spec.shape.rank != 2:
            raise ExtractorError(f"The module {self.folder} is not an image feature vector: it returns "
                                 f"{format_shape(output_spec)}, not one vector per photo.", CHOOSE_FEATURE_VECTOR)
        if input_spec.shape[0] is not None:
            raise ExtractorError(f"The module {self.folder} takes only batches of size {input_spec.shape[0]}.",
                                 "Choose a module that takes batches of any size.")

    def _input_size(self, spec: Any, image_size: int | None) -> tuple[int, int]:
        """Return the height and width of the input in pixels."""
        _, height, width, _ = spec.shape
        default_size = image_size or size_in_name(self.name) or DEFAULT_IMAGE_SIZE
        size = (height or default_size, width or default_size)
        if None in (height, width) and image_size is None:
            log.info("The module %s takes photos of any size; %d x %d pixels are used. `image_size` changes this.",
                     self.name, *size)
        if image_size is not None and size != (image_size, image_size):
            raise ExtractorError(f"The module {self.name} takes only photos of {size[0]} x {size[1]} pixels, not of "
                                 f"{image_size} x {image_size}.", "Omit `image_size`.")
        return size


def size_in_name(name: str) -> int | None:
    """Return the input size that a module's name states, as in TF Hub's mobilenet_v1_025_128, or None."""
    if re.search("inception_(v3|resnet_v2)", name):
        return 299
    # In the names of ResNets, the depth (50, 101, 152) is at the same position.
    numbers = [int(number) for number in re.findall(r"_(\d{2,3})(?=$|[_/-](?:feature|classification))", name)]
    return next((size for size in numbers if size in INPUT_SIZES), None)
