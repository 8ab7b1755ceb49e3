"""Exported files in old versions of the programs that run them, each in an environment of its own."""
from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.cli.test_installation import find_python
from tfpoets.cli import export, retrain
from tfpoets.data import load_pixels, network_input
from tfpoets.exporting import FROZEN_GRAPH, find_target
from tfpoets.inference import load_classifier

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

N_PHOTOS = 6
# The maximum difference between a probability in the other program and in this one, given the same pixels.
TOLERANCE = 1e-4

# Each program reads the photos, float32 [n, height, width, 3] in [0, 1], and writes the outputs.
TENSORFLOW_1 = """
import sys, numpy, tensorflow as tf
graph_def = tf.GraphDef()
graph_def.ParseFromString(open(sys.argv[1], "rb").read())
with tf.Graph().as_default(), tf.Session() as session:
    tf.import_graph_def(graph_def, name="")
    numpy.save(sys.argv[3], session.run("final_result:0", {"input:0": numpy.load(sys.argv[2])}))
"""
OPENCV = """
import sys, cv2, numpy
network = cv2.dnn.readNetFromTensorflow(sys.argv[1])
outputs = []
for photo in numpy.load(sys.argv[2]):
    network.setInput(cv2.dnn.blobFromImage(photo))
    outputs.append(network.forward().copy())
numpy.save(sys.argv[3], numpy.concatenate(outputs))
"""
TFLITE = """
import sys, numpy
from tflite_runtime.interpreter import Interpreter
interpreter = Interpreter(sys.argv[1])
interpreter.allocate_tensors()
input_details, output_details = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
is_8_bit, outputs = input_details["dtype"] == numpy.uint8, []
for photo in numpy.load(sys.argv[2]):
    pixels = numpy.uint8(numpy.round(photo * 255)) if is_8_bit else photo
    interpreter.set_tensor(input_details["index"], pixels[None])
    interpreter.invoke()
    outputs.append(interpreter.get_tensor(output_details["index"]) / (256 if is_8_bit else 1))
numpy.save(sys.argv[3], numpy.float32(numpy.concatenate(outputs)))
"""
ONNX_RUNTIME = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
numpy.save(sys.argv[3], session.run(["probabilities"], {"input": numpy.load(sys.argv[2])})[0])
"""
SAVED_MODEL = """
import sys, numpy, tensorflow as tf
signature = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
numpy.save(sys.argv[3], signature(image=tf.constant(numpy.load(sys.argv[2])))["probabilities"].numpy())
"""

# The flags of retrain by the name of the network.
NETWORKS = {
    "embedded": (), "views": ("--views=4",), "lenet": ("--architecture=lenet", "--train_epochs=1"),
    **{module: (f"--tfhub_module={module}",) for module in (
        "mobilenet_v1_025_128", "mobilenet_v1_025_224", "mobilenet_v2_035_224", "mobilenet_v2_050_96")},
    "fine_tuned": ("--tfhub_module=mobilenet_v1_025_128", "--fine_tune_epochs=1"),
    "unknown": ("--tfhub_module=mobilenet_v1_025_128", "--unknown_coverage=0.95")}


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """A function that installs packages in a new environment and returns its interpreter."""
    environments: dict[tuple[str, ...], str] = {}

    def install(version: str, *packages: str) -> str:
        python = find_python(version)
        if python is None:
            pytest.skip(f"Python {version} is not installed here")
        if packages not in environments:
            folder = tmp_path_factory.mktemp("environment") / "venv"
            subprocess.run([python, "-m", "venv", str(folder)], check=True)
            environments[packages] = str(folder / "bin" / "python")
            subprocess.run([environments[packages], "-m", "pip", "install", "--quiet", *packages], check=True)
        return environments[packages]
    return install


@pytest.fixture(scope="module")
def photos(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 12 photos in each of three classes."""
    folder = tmp_path_factory.mktemp("photos")
    for label in ("daisy", "roses", "tulips"):
        (folder / label).mkdir()
        for path in sorted((shared_data / "photos" / "flowers" / label).glob("*.jpg"))[:12]:
            (folder / label / path.name).symlink_to(path)
    return folder


@pytest.fixture(scope="module")
def classifier(shared_data: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that takes the name of a network and returns the path of the graph that retrain wrote.

    `photos.npy` and `expected.npy` are next to the graph.
    """
    root = tmp_path_factory.mktemp("classifiers")

    def retrain_once(name: str) -> Path:
        graph = root / name / "graph.pb"
        if not graph.exists():
            flags = [flag.replace("--tfhub_module=", f"--tfhub_module={shared_data / 'modules'}/")
                     for flag in NETWORKS[name]]
            assert retrain.main([f"--image_dir={photos}", f"--output_graph={graph}", "--nodoctor",
                                 f"--output_labels={root / name / 'labels.txt'}", f"--model_dir={root / 'models'}",
                                 f"--bottleneck_dir={root / 'bottlenecks'}", *flags]) == 0
            save_photos(graph, photos)
        return graph
    return retrain_once


def save_photos(graph: Path, photos: Path) -> None:
    """Write the pixels of a few photos, and their probabilities from the .tflite, which retrain has verified."""
    loaded = load_classifier(graph.with_suffix(".tflite"))
    pixels = np.stack([load_pixels(path.read_bytes(), loaded.input.height, loaded.input.width)
                       for path in sorted(photos.glob("*/*.jpg"))[::6]])
    np.save(graph.with_name("photos.npy"), network_input(pixels))
    np.save(graph.with_name("expected.npy"), loaded.probabilities(pixels))


def run(python: str, program: str, file: Path, graph: Path) -> tuple[np.ndarray, str]:
    """Run a program on a file and the photos next to a graph; return the outputs, or an empty array and the error."""
    output = graph.with_name("outputs.npy")
    output.unlink(missing_ok=True)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run([python, "-c", program, str(file), str(graph.with_name("photos.npy")), str(output)],
                          env=environment, capture_output=True, text=True)
    return np.load(output) if output.exists() else np.empty(0), done.stderr[-2000:]


def assert_reproduced(outputs: np.ndarray, error: str, graph: Path, tolerance: float = TOLERANCE) -> None:
    expected = np.load(graph.with_name("expected.npy"))
    assert outputs.shape == expected.shape, error
    assert np.abs(outputs - expected).max() < tolerance


@pytest.mark.parametrize("version", ["1.13.2", "1.15.5"])
@pytest.mark.parametrize("network", NETWORKS)
def test_tensorflow_1_runs_the_graph(network: str, version: str, classifier, install) -> None:
    graph = classifier(network)
    python = install("3.7", f"tensorflow=={version}", "protobuf<3.21", "numpy<1.19")
    outputs, error = run(python, TENSORFLOW_1, graph, graph)
    oldest = FROZEN_GRAPH.requirement(graph).runtime
    assert oldest == ("TF 1.14" if network == "views" else "TF 1.13")  # ResizeBilinear with half_pixel_centers
    if (oldest, version) == ("TF 1.14", "1.13.2"):
        assert not len(outputs)
    else:
        assert_reproduced(outputs, error, graph)


def test_opencv_runs_the_graph_unless_the_export_table_says_why_not(classifier, install) -> None:
    for version in ("opencv-python-headless<5", "opencv-python-headless>=5"):
        python = install("3.11", version, "numpy")
        unreadable = set()
        for network in NETWORKS:
            graph = classifier(network)
            outputs, error = run(python, OPENCV, graph, graph)
            if "cannot read" in FROZEN_GRAPH.requirement(graph).note:
                unreadable.add(network)
                assert not len(outputs), "the table says that OpenCV cannot read it"
            else:
                assert_reproduced(outputs, error, graph)
        assert unreadable == {"views", "unknown"}


@pytest.fixture(scope="module")
def exported(classifier, photos: Path) -> Path:
    """The graph of a classifier, next to its files in other formats, `photos.npy` and `expected.npy`."""
    graph = classifier("mobilenet_v1_025_128")
    assert export.main([f"--graph={graph}", f"--output_dir={graph.parent}", f"--image_dir={photos}",
                        "--to=tflite,tflite_float16,tflite_dynamic,tflite_int8,saved_model,onnx"]) == 0
    return graph


@pytest.mark.parametrize("name, tolerance", [
    ("tflite", TOLERANCE), ("tflite_float16", TOLERANCE), ("tflite_dynamic", 0.02), ("tflite_int8", 0.02)])
def test_tflite_runtime_runs_all_tflite_formats(name: str, tolerance: float, exported: Path, install) -> None:
    file = exported.with_name(find_target(name).file_name("graph"))
    outputs, error = run(install("3.11", "tflite-runtime==2.14.0", "numpy<2"), TFLITE, file, exported)
    pixels = np.round(255 * np.load(exported.with_name("photos.npy"))).astype(np.uint8)
    # 8-bit kernels round differently from version to version.
    expected = load_classifier(file).probabilities(pixels)
    assert outputs.shape == expected.shape, error
    assert np.abs(outputs - expected).max() < tolerance


@pytest.mark.parametrize("package, works", [("onnxruntime==1.9.0", True), ("onnxruntime==1.8.1", False)])
def test_the_oldest_onnx_runtime_is_stated_correctly(package: str, works: bool, exported: Path, install) -> None:
    file = exported.with_name("graph.onnx")
    assert find_target("onnx").requirement(file).runtime == "ORT 1.9"
    outputs, error = run(install("3.8", package, "numpy<1.24", "protobuf<3.21"), ONNX_RUNTIME, file, exported)
    if works:
        assert_reproduced(outputs, error, exported)
    else:
        assert not len(outputs)


@pytest.mark.parametrize("version, works", [("2.4.4", True), ("2.3.4", False)])
def test_the_oldest_tensorflow_of_a_saved_model_is_stated_correctly(version: str, works: bool, exported: Path, install
                                                                    ) -> None:
    folder = exported.with_name("graph_saved_model")
    assert find_target("saved_model").requirement(folder).runtime == "TF 2.4"
    outputs, error = run(install("3.8", f"tensorflow-cpu=={version}", "protobuf<3.21"), SAVED_MODEL, folder, exported)
    if works:
        assert_reproduced(outputs, error, exported)
    else:
        assert not len(outputs)
