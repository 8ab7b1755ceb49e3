"""Where extractors come from: the embedded network, or a folder with a SavedModel that gives image feature vectors."""
from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from scripts.console import UserError, import_tensorflow, one_line, quiet_native_code

from . import efficientnet_lite

DEFAULT_IMAGE_SIZE = 320
# What a module that takes any size is given when nobody says otherwise: the size most ImageNet networks were made for.
USUAL_IMAGE_SIZE = 224

# From float32 [n, height, width, 3] in [0, 1] to float32 [n, depth].
NetworkFunction = Callable[[Any], Any]


class Module(Protocol):
    """A pretrained network that can become an extractor."""

    @property
    def name(self) -> str:
        """For messages and folders."""

    @property
    def default_size(self) -> int | None:
        """Side of the input, in pixels, where nobody asks for another; None: the module knows."""

    def digest(self) -> str:
        """Identifies the network and its weights; cheap, without TensorFlow."""

    def build(self, image_size: int | None) -> tuple[NetworkFunction, int, int]:
        """Loads it with TensorFlow: the function, and the height and width of its input in pixels."""


def find_module(handle: str) -> Module:
    """The module that a handle names.

    Args:
        handle: `efficientnet_lite0`, or the path of a folder with a TF2 SavedModel (TF Hub's form for images: float32
            in [0, 1] in, a vector out).

    Raises:
        UserError: there is no such module, or it is half there; the sentence says what is missing.
    """
    if handle == efficientnet_lite.NAME:
        return EmbeddedModule()
    folder = Path(handle).expanduser()
    if folder.is_dir():
        return SavedModelModule(folder)
    if folder.exists():
        raise UserError(f"The module {handle} is a file; a module is a folder with saved_model.pb in it.",
                        "Unpack it, and give the folder.")
    raise UserError(f"There is no module {handle!r}: neither a folder of that name nor the embedded extractor.",
                    f"Give the folder of a SavedModel, or {efficientnet_lite.NAME}, which needs no network.")


@dataclass(frozen=True)
class EmbeddedModule:
    """EfficientNet-Lite0, whose weights are installed with this program."""

    name: str = efficientnet_lite.NAME
    default_size: int = DEFAULT_IMAGE_SIZE

    def digest(self) -> str:
        efficientnet_lite.weights_file()
        return f"{efficientnet_lite.WEIGHTS_SHA256}/{efficientnet_lite.DEFINITION}"

    def build(self, image_size: int | None) -> tuple[NetworkFunction, int, int]:
        size = image_size or self.default_size
        network = efficientnet_lite.build_network(size, size)
        return lambda pixels: network(pixels, training=False), size, size


class SavedModelModule:
    """A folder with a TF2 SavedModel."""

    default_size: int | None = None

    def __init__(self, folder: Path):
        self.folder = folder
        self.name = folder.resolve().name
        self._check_files()

    def digest(self) -> str:
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
            raise UserError(f"The module {self.folder} is not complete: saved_model.pb is missing"
                            + (f" (it holds {', '.join(held)})." if held else " (the folder is empty)."),
                            "Give the folder that holds saved_model.pb and variables, or fetch the module again.")
        for shard in (self.folder / "variables").glob("variables.data-*-of-*"):
            total = int(shard.name.rsplit("-", 1)[1])
            for number in range(total):
                self._require(f"variables/variables.data-{number:05d}-of-{total:05d}")
            self._require("variables/variables.index")

    def _require(self, name: str) -> None:
        if not (self.folder / name).is_file():
            raise UserError(f"The module {self.folder} is not complete: {name} is missing.",
                            "Copy or fetch the whole module again.")

    def _check_variables(self) -> None:
        """A module with variables in its graph needs their values; a constant one does not."""
        from tensorflow.core.protobuf import saved_model_pb2
        try:
            proto = saved_model_pb2.SavedModel.FromString((self.folder / "saved_model.pb").read_bytes())
        except Exception as error:  # protobuf's DecodeError lives at another place in each of its versions
            raise UserError(f"The module {self.folder} is damaged: saved_model.pb cannot be read ({one_line(error)})",
                            "Copy or fetch it again.") from error
        graphs = [meta_graph.graph_def for meta_graph in proto.meta_graphs]
        operations = {node.op for graph in graphs for node in graph.node}
        operations |= {node.op for graph in graphs for function in graph.library.function
                       for node in function.node_def}
        if operations & {"VarHandleOp", "VariableV2", "ReadVariableOp"}:
            self._require("variables/variables.index")
            if not list((self.folder / "variables").glob("variables.data-*")):
                self._require("variables/variables.data-00000-of-00001")

    def build(self, image_size: int | None) -> tuple[NetworkFunction, int, int]:
        tensorflow = import_tensorflow()
        self._check_variables()
        try:
            with quiet_native_code():
                loaded = tensorflow.saved_model.load(str(self.folder))
        except Exception as error:  # whatever a damaged file makes TensorFlow raise
            raise UserError(f"The module {self.folder} cannot be loaded: {one_line(error)}",
                            "Copy or fetch it again; a module is a TF2 SavedModel.") from error
        signature = self._signature(loaded)
        (name, spec), = signature.structured_input_signature[1].items()
        height, width = self._input_size(spec, image_size)
        output, = signature.structured_outputs

        def network(pixels: Any, kept: Any = loaded) -> Any:  # the loaded object keeps the variables alive
            return signature(**{name: pixels})[output]
        return network, height, width

    def _signature(self, loaded: Any) -> Any:
        signatures = getattr(loaded, "signatures", {})
        for key in ("serving_default", "default"):
            if key in signatures:
                signature = signatures[key]
                inputs, outputs = signature.structured_input_signature[1], signature.structured_outputs
                if len(inputs) == 1 and len(outputs) == 1:
                    self._check_feature_vector(*inputs.values(), *outputs.values())
                    return signature
        found = ", ".join(f"{key} ({_shapes(signature)})" for key, signature in signatures.items()) or "none"
        raise UserError(f"The module {self.folder} is not an image feature vector: it needs a signature "
                        f"serving_default or default with one input and one output; it has {found}.",
                        "Choose a module whose name ends in feature_vector.")

    def _check_feature_vector(self, taken: Any, given: Any) -> None:
        if taken.shape.rank != 4 or taken.shape[3] != 3 or taken.dtype.name != "float32":
            raise UserError(f"The module {self.folder} is not an image feature vector: it takes {taken.dtype.name} "
                            f"{_shape(taken)}, not float32 [n, height, width, 3].",
                            "Choose a module whose name ends in feature_vector.")
        if given.shape.rank is not None and given.shape.rank != 2:
            raise UserError(f"The module {self.folder} is not an image feature vector: it gives {_shape(given)}, not "
                            "one vector a photo.", "Choose a module whose name ends in feature_vector.")
        if taken.shape[0] is not None:
            raise UserError(f"The module {self.folder} takes batches of {taken.shape[0]} photos only.",
                            "Choose one that takes any number.")

    def _input_size(self, spec: Any, image_size: int | None) -> tuple[int, int]:
        _, height, width, _ = spec.shape
        own = (height or image_size or USUAL_IMAGE_SIZE, width or image_size or USUAL_IMAGE_SIZE)
        if image_size is not None and own != (image_size, image_size):
            raise UserError(f"The module {self.name} takes photos of {own[0]} x {own[1]} pixels only, not of "
                            f"{image_size} x {image_size}.", "Leave --image_size away.")
        return own


def _shape(spec: Any) -> str:
    return str(list(spec.shape)).replace("None", "n") if spec.shape.rank is not None else "an unknown shape"


def _shapes(signature: Any) -> str:
    inputs = ", ".join(_shape(spec) for spec in signature.structured_input_signature[1].values())
    outputs = ", ".join(_shape(spec) for spec in signature.structured_outputs.values())
    return f"{inputs} to {outputs}"
