"""Networks that the user has written: a function or a class in a Python file, or a .keras file."""
from __future__ import annotations

import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tfpoets.errors import ExtractorError, TfpoetsError, TrainingError, one_line
from tfpoets.extractors import AdaptedModel, ExtractorOptions, adapt_model, load_keras_file, try_keras_file
from tfpoets.training import seed_weights

from .image_classifier import ImageClassifier
from .resnet50_v2 import ResNet50V2

# The size of photos if neither the options nor the function state one.
DEFAULT_SIZE = 224
_FUNCTION = re.compile(r"(.+\.py):(\w+)", re.DOTALL)


def is_own_network(architecture: str) -> bool:
    """Return whether an architecture is FILE.py:FUNCTION or FILE.keras."""
    return bool(_FUNCTION.fullmatch(architecture)) or architecture.endswith(".keras")


def own_network_file(architecture: str) -> Path:
    """Return the path of the file that contains the user's network."""
    match = _FUNCTION.fullmatch(architecture)
    return Path(os.path.expanduser(match[1] if match else architecture))


def check_own_network_file(architecture: str) -> None:
    """Raise a TrainingError if the file of the user's network does not exist."""
    path = own_network_file(architecture)
    if not path.is_file():
        raise TrainingError(f"There is no file {path}, which `architecture` names.",
                            "Write FILE.py:FUNCTION or FILE.keras, with the path of the file.")


def load_own_network(architecture: str, source: ExtractorOptions, n_classes: int, seed: int, channels: int | None
                     ) -> AdaptedModel:
    """Build or load the user's network.

    Args:
        architecture: FILE.py:NAME, for a function of height, width and number of classes that returns a Keras model,
            or a subclass of ImageClassifier; the file is run. Or FILE.keras.
        source: `image_size` and `input_range` describe the input of the network.
        n_classes: The number of classes.
        seed: The seed of the initial weights.
        channels: 1 or 3, for a model that has not been called yet; None: 3.

    Raises:
        TrainingError: The file or the function does not exist, fails, or returns an unsuitable model.
    """
    match = _FUNCTION.fullmatch(architecture)
    path, size = own_network_file(architecture), source.image_size
    try:
        if match:
            function = _load_function(path, match[2], source, channels or 3)
            size = size or _default_size(function)
            seed_weights(seed)
            model = _run(path, lambda: function(size, size, n_classes))
            if model is None:
                raise TrainingError(f"{match[2]} of {path} returns nothing.", "Return a keras.Model.")
        else:
            if not source.trust_model:
                try_keras_file(path, source.input_range, size, channels)
            model = load_keras_file(path)
        seed_weights(seed)
        adapted = adapt_model(model, source.input_range, size, channels)
    except ExtractorError as error:
        raise TrainingError(error.problem, error.remedy, error.option) from error
    if adapted.n_classes != n_classes:
        remedy = ("Use the number of classes that the function receives." if match else
                  "Train a model with that many outputs, or use its features with `handle`=FILE.keras.")
        raise TrainingError(f"The model of {architecture} has {adapted.describe_outputs()}, but there are {n_classes} "
                            "classes.", remedy)
    return adapted


def _load_function(path: Path, name: str, source: ExtractorOptions, channels: int) -> Callable[..., Any]:
    """Run a Python file, and return one of its functions, or the method `build` of a subclass of ImageClassifier."""
    check_own_network_file(str(path))
    module_name = f"tfpoets_architecture_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # Keras and pickle look classes up there
    folder = str(path.resolve().parent)
    if folder not in sys.path:  # for the modules that the file imports, also within its functions
        sys.path.insert(0, folder)
    loader = spec.loader
    _run(path, lambda: loader.exec_module(module))
    function = getattr(module, name, None)
    if not callable(function):
        raise TrainingError(f"{path} contains no function {name}.",
                            "Write def build(height, width, n_classes), which returns a Keras model.")
    if isinstance(function, type) and issubclass(function, ImageClassifier):
        return _run(path, lambda: _build_method(function, source, channels))
    return function


def _build_method(class_: type[ImageClassifier], source: ExtractorOptions, channels: int) -> Callable[..., Any]:
    """Return the method `build` of a classifier; the default value of its first parameter is the size of the class."""
    classifier = class_(color_mode="grayscale" if channels == 1 else "rgb", image_size=source.image_size)
    classifier.check_size()
    if isinstance(classifier, ResNet50V2):
        classifier.model_dir, classifier.offline = source.model_dir, source.offline

    def build(height: int = classifier.image_size, width: int = 0, n_classes: int = 0) -> Any:
        return classifier.build(height, width, n_classes)
    return build


def _run(path: Path, function: Callable[[], Any]) -> Any:
    """Call a function of the user, and turn any error into a TrainingError that names the line."""
    try:
        return function()
    except TfpoetsError:
        raise
    except (Exception, SystemExit) as error:  # the code may raise any error
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
                 if frame.filename and Path(frame.filename).name == path.name]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
        where = f" in line {line}" if line else ""
        problem = ("ends the program" if isinstance(error, SystemExit) else
                   f"fails{where}: {type(error).__name__}: {one_line(error).removesuffix('.')}")
        raise TrainingError(f"{path} {problem}.", _remedy(error)) from error


def _remedy(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return "Correct the file."
    if isinstance(error, ImportError):
        return "Install the package, or put the module into the folder of the file and import it by its name."
    if isinstance(error, SystemExit):
        return "Remove calls to sys.exit and code that parses arguments, or put them under if __name__ == '__main__'."
    return "It is called with the height, the width and the number of classes, and returns a Keras model."


def _default_size(function: Callable[..., Any]) -> int:
    """Return the default value of the function's first parameter if it is a number, otherwise DEFAULT_SIZE."""
    try:
        default = next(iter(inspect.signature(function).parameters.values())).default
    except (StopIteration, TypeError, ValueError):
        return DEFAULT_SIZE
    return default if isinstance(default, int) and default > 0 else DEFAULT_SIZE
