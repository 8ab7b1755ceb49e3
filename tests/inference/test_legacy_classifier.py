"""Graphs of TensorFlow for Poets give the same predictions as in TensorFlow, and missing information is determined."""
from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.extractors.test_other_modules import save_inception_like_graph
from tfpoets.data import load_full_size
from tfpoets.errors import TfpoetsError
from tfpoets.inference import Classifier, LegacyGraphOptions, load_classifier
from tfpoets.tf_runtime import import_tensorflow

# File, input size, output node (None for a .tflite), labels (None: next to the graph).
GRAPHS = [
    ("surface_defects_mobilenet_0.25_128/retrained_graph.pb", 128, "final_result", None),
    ("surface_defects_mobilenet_0.25_128/optimized_graph.pb", 128, "final_result", None),
    ("license_plates_mobilenet_0.25_128/retrained_graph.pb", 128, "final_result", None),
    ("glasses_mobilenet_0.25_224/retrained_graph.pb", 224, "final_result", None),
    ("surface_defects_mobilenet_0.25_128/frozen_graph.pb", 128, "MobilenetV1/Predictions/Reshape_1", "imagenet"),
    ("surface_defects_mobilenet_0.25_128/quantized_graph.pb", 128, "MobilenetV1/Predictions/Reshape_1", "imagenet"),
    ("imagenet_mobilenet_0.50_160_quantized/quantized_graph.pb", 160, "MobilenetV1/Predictions/Reshape_1", "imagenet"),
    ("license_plates_mobilenet_0.25_128/retrained_graph.tflite", 128, None, None),
    ("glasses_mobilenet_0.25_224/optimized_graph025_224.lite", 224, None, None),
]


@pytest.fixture(scope="module")
def flower_photos(flowers: Path) -> list[Path]:
    """Ten photos of each flower."""
    return [path for folder in sorted(flowers.iterdir()) if folder.is_dir() for path in sorted(folder.iterdir())[:10]]


def load_shared_graph(shared_data: Path, name: str, labels: str | None) -> Classifier:
    graphs = shared_data / "poets_graphs"
    options = LegacyGraphOptions(labels=graphs / "imagenet_labels.txt") if labels else LegacyGraphOptions()
    return load_classifier(graphs / name, options)


def predict(classifier: Classifier, photos: list[Path]) -> np.ndarray:
    predictions = [prediction for _, prediction in classifier.predict_photos(photos, lambda path: path.read_bytes())]
    return np.stack([prediction.probabilities for prediction in predictions if prediction.probabilities is not None])


def predict_with_tensorflow(graph: Path, output: str | None, size: int, photos: list[Path], decoder: str
                            ) -> np.ndarray:
    """Return TensorFlow's outputs, with resize_bilinear and (x - 127.5) / 127.5 as in TensorFlow for Poets."""
    tensorflow = import_tensorflow()
    v1 = tensorflow.compat.v1
    with tensorflow.Graph().as_default(), v1.Session() as session:
        if output is None:
            interpreter = tensorflow.lite.Interpreter(str(graph))
            interpreter.allocate_tensors()
        else:
            tensorflow.import_graph_def(v1.GraphDef.FromString(graph.read_bytes()), name="import")
        file = v1.placeholder(tensorflow.string, [])
        decoded = v1.placeholder(tensorflow.uint8, [None, None, 3])
        jpeg = tensorflow.io.decode_jpeg(file, channels=3, dct_method="INTEGER_ACCURATE")
        resized = v1.image.resize_bilinear(tensorflow.cast(decoded, tensorflow.float32)[None], [size, size])
        scaled = tensorflow.divide(tensorflow.subtract(resized, [127.5]), [127.5])
        rows = []
        for path in photos:
            pixels = load_full_size(path) if decoder == "ours" else session.run(jpeg, {file: path.read_bytes()})
            network_input = session.run(scaled, {decoded: pixels})
            if output is None:
                interpreter.set_tensor(interpreter.get_input_details()[0]["index"], network_input)
                interpreter.invoke()
                rows.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
            else:
                rows.append(session.run(f"import/{output}:0", {"import/input:0": network_input}))
    return np.concatenate(rows)


@pytest.mark.parametrize("name, size, output, labels", GRAPHS, ids=[graph[0] for graph in GRAPHS])
def test_outputs_are_those_of_tensorflow(shared_data: Path, flower_photos: list[Path], name: str, size: int,
                                         output: str | None, labels: str | None) -> None:
    classifier = load_shared_graph(shared_data, name, labels)
    assert (classifier.input.height, classifier.input.width) == (size, size)
    probabilities = predict(classifier, flower_photos)
    assert probabilities.shape == (50, len(classifier.labels))
    for decoder, tolerance in (("ours", 1e-4), ("tensorflow's", 0.02)):
        expected = predict_with_tensorflow(shared_data / "poets_graphs" / name, output, size, flower_photos, decoder)
        assert np.abs(probabilities - expected).max() < tolerance


def test_labels_next_to_the_graph_are_read(shared_data: Path) -> None:
    classifier = load_shared_graph(shared_data, "glasses_mobilenet_0.25_224/retrained_graph.pb", None)
    assert len(classifier.labels) == 2 and all(label == label.strip() and label for label in classifier.labels)


def test_a_label_file_that_does_not_match_the_graph_is_rejected(shared_data: Path, tmp_path: Path) -> None:
    graph = shared_data / "poets_graphs" / "license_plates_mobilenet_0.25_128" / "retrained_graph.tflite"
    with pytest.raises(TfpoetsError, match="imagenet_labels.txt has 1001 labels, but .* has 5 classes"):
        load_classifier(graph, LegacyGraphOptions(labels=shared_data / "poets_graphs" / "imagenet_labels.txt"))
    with pytest.raises(TfpoetsError, match="There is no label file"):
        load_classifier(graph, LegacyGraphOptions(labels=tmp_path / "none.txt"))
    copy = Path(shutil.copy(graph, tmp_path / "g.tflite"))
    with pytest.raises(TfpoetsError, match="No file with the 5 labels of .* was found next to it"):
        load_classifier(copy)


@pytest.fixture
def small_graph(tmp_path: Path) -> Path:
    """A graph with node names of MobileNet v1 and no input size, and its label file.

    It has a pooling window of 160 x 160 pixels. Its output is the softmax of the means of the three channels, so its
    input can be computed from the output.
    """
    return write_graph(tmp_path / "retrained_graph.pb", "MobilenetV1/maps")


def write_graph(path: Path, maps_name: str, batch: int | None = None) -> Path:
    tensorflow = import_tensorflow()
    v1 = tensorflow.compat.v1
    with v1.Graph().as_default() as graph:
        if batch:
            pixels = v1.placeholder(tensorflow.float32, [batch, None, None, 3], name="input")
        else:
            pixels = v1.placeholder(tensorflow.float32, name="input")
        maps = tensorflow.identity(pixels, name=maps_name)
        pooled = v1.nn.avg_pool(maps, [1, 160, 160, 1], [1, 160, 160, 1], "VALID")
        tensorflow.nn.softmax(tensorflow.reshape(pooled, [-1, 3]), name="final_result")
        path.write_bytes(graph.as_graph_def().SerializeToString())
    path.with_name("retrained_labels.txt").write_text("a\nb\nc\n")
    return path


def logits(classifier: Classifier, colour: tuple[int, int, int]) -> np.ndarray:
    """Return the input that a graph of `write_graph` received for a photo of one colour, up to a constant."""
    shape = (1, classifier.input.height, classifier.input.width, 3)
    log_probabilities = np.log(classifier.probabilities(np.full(shape, colour, np.float32))[0])
    return log_probabilities - log_probabilities[0]


def test_common_sizes_are_tried_if_a_graph_does_not_specify_one(small_graph: Path, caplog: pytest.LogCaptureFixture
                                                                ) -> None:
    caplog.set_level("INFO")
    classifier = load_classifier(small_graph)
    # 192 and 224 would also hold one window of 160, with a remainder.
    assert (classifier.input.height, classifier.input.width) == (160, 160)
    assert "does not specify the size of its input. It works with 160 x 160 pixels" in caplog.text
    overridden = load_classifier(small_graph, LegacyGraphOptions(input_height=170, input_width=180))
    assert (overridden.input.height, overridden.input.width) == (170, 180)
    with pytest.raises(TfpoetsError, match="does not return one row of numbers per photo at 64 x 64 pixels"):
        load_classifier(small_graph, LegacyGraphOptions(input_height=64, input_width=64))


def test_mean_and_std_default_to_those_of_the_network(small_graph: Path) -> None:
    for options, mean, std in ((LegacyGraphOptions(), 127.5, 127.5), (LegacyGraphOptions(input_mean=0.0), 0, 127.5),
                               (LegacyGraphOptions(input_mean=0, input_std=255), 0, 255),
                               (LegacyGraphOptions(input_mean=100.5, input_std=33.25), 100.5, 33.25)):
        received = logits(load_classifier(small_graph, options), (10, 40, 100))
        scaled = (np.array([10, 40, 100]) - mean) / std
        assert np.allclose(received, scaled - scaled[0], atol=1e-3), options


@pytest.mark.parametrize("node_name, colour, expected", [
    ("module_apply_default/maps", (0, 51, 255), (0, 0.2, 1)), ("InceptionV3/maps", (0, 51, 255), (0, 0.2, 1)),
    ("mixed_10/join", (0, 64, 128), (0, 0.5, 1))])
def test_the_input_is_scaled_as_in_the_training_of_each_network(
        tmp_path: Path, node_name: str, colour: tuple, expected: tuple) -> None:
    path = write_graph(tmp_path / "retrained_graph.pb", node_name)
    received = logits(load_classifier(path, LegacyGraphOptions(input_height=160, input_width=160)), colour)
    assert np.allclose(received, expected, atol=1e-3)


def test_the_inception_graph_is_run_one_photo_at_a_time_without_its_decoder(tmp_path: Path) -> None:
    path = tmp_path / "classify_image_graph_def.pb"
    save_inception_like_graph(path)
    (tmp_path / "labels.txt").write_text("".join(f"class {number}\n" for number in range(1008)))
    classifier = load_classifier(path)
    assert (classifier.input.height, classifier.input.width) == (299, 299)
    pixels = np.random.default_rng(4).integers(0, 256, (2, 299, 299, 3)).astype(np.float32)
    tensorflow = import_tensorflow()
    with tensorflow.Graph().as_default(), tensorflow.compat.v1.Session() as session:
        tensorflow.import_graph_def(tensorflow.compat.v1.GraphDef.FromString(path.read_bytes()), name="")
        expected = [session.run("softmax:0", {"Mul:0": (photo[None] - 128) / 128})[0] for photo in pixels]
    assert np.abs(classifier.probabilities(pixels) - np.stack(expected)).max() < 1e-5


def test_an_unknown_network_is_rejected_without_mean_and_std(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "retrained_graph.pb", "SomeNet/maps")
    with pytest.raises(TfpoetsError, match="not one of the networks that TensorFlow for Poets used.*`input_mean` and "
                                           "`input_std`"):
        load_classifier(path)
    assert load_classifier(path, LegacyGraphOptions(input_mean=0, input_std=1)).labels == ("a", "b", "c")


def test_a_graph_with_a_batch_size_of_one_is_run_one_photo_at_a_time(tmp_path: Path) -> None:
    classifier = load_classifier(write_graph(tmp_path / "retrained_graph.pb", "MobilenetV1/maps", batch=1))
    pixels = np.random.default_rng(0).random((5, 160, 160, 3)).astype(np.float32) * 255
    assert classifier.probabilities(pixels).shape == (5, 3)


def test_input_and_output_nodes_can_be_specified(small_graph: Path) -> None:
    options = LegacyGraphOptions(input_layer="input", output_layer="final_result")
    assert load_classifier(small_graph, options).labels == ("a", "b", "c")
    with pytest.raises(TfpoetsError, match="has no node 'output'"):
        load_classifier(small_graph, LegacyGraphOptions(output_layer="output"))
    with pytest.raises(TfpoetsError, match="has no node 'no_input'"):
        load_classifier(small_graph, LegacyGraphOptions(input_layer="no_input"))


def test_specified_nodes_are_used(small_graph: Path) -> None:
    pixels = np.full((1, 160, 160, 3), (0, 51, 255), np.float32)
    before_softmax = load_classifier(small_graph, LegacyGraphOptions(output_layer="Reshape"))
    assert np.allclose(before_softmax.probabilities(pixels)[0], (pixels[0, 0, 0] - 127.5) / 127.5, atol=1e-3)
    after_input = load_classifier(small_graph, LegacyGraphOptions(input_layer="MobilenetV1/maps",
                                                                  output_layer="Reshape"))
    assert np.allclose(after_input.probabilities(pixels), before_softmax.probabilities(pixels))
    with pytest.raises(TfpoetsError, match="output of AvgPool is .* numbers for a batch of .. Choose another "
                                           "`output_layer`"):
        load_classifier(small_graph, LegacyGraphOptions(output_layer="AvgPool"))


def test_labels_are_read_as_tensorflow_for_poets_wrote_them(small_graph: Path) -> None:
    labels = small_graph.with_name("retrained_labels.txt")
    for content, expected in ((b"a\r\nb\r\nc\r\n", ("a", "b", "c")), (b"\xef\xbb\xbfa\nb\nc", ("a", "b", "c")),
                              (b"a\n \nc\n\n", ("a", " ", "c")), (b" a \nb\x85b\nc\n", ("a", "b\x85b", "c"))):
        labels.write_bytes(content)
        assert load_classifier(small_graph).labels == expected


def convert_function(path: Path, function, *specs) -> Path:
    tensorflow = import_tensorflow()
    concrete = tensorflow.function(function).get_concrete_function(*specs)
    path.write_bytes(tensorflow.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())
    path.with_name("labels.txt").write_text("a\nb\nc\n")
    return path


def test_the_input_size_can_be_specified_for_a_tflite_that_takes_any_size(tmp_path: Path) -> None:
    tensorflow = import_tensorflow()
    path = convert_function(tmp_path / "g.tflite", lambda pixels: tensorflow.nn.softmax(tensorflow.reduce_mean(
        pixels, [1, 2])), tensorflow.TensorSpec([1, None, None, 3], tensorflow.float32))
    scale = {"input_mean": 0.0, "input_std": 1.0}
    with pytest.raises(TfpoetsError, match="takes any size; set one with `input_height` and `input_width`"):
        load_classifier(path, LegacyGraphOptions(**scale))
    classifier = load_classifier(path, LegacyGraphOptions(input_height=40, input_width=30, **scale))
    pixels = np.zeros((1, 40, 30, 3), np.float32)
    pixels[:, 20:, :, 0] = 2
    assert np.allclose(classifier.probabilities(pixels), np.exp([1, 0, 0]) / np.exp([1, 0, 0]).sum(), atol=1e-5)


def test_a_tflite_that_does_not_classify_photos_is_rejected(tmp_path: Path) -> None:
    tensorflow = import_tensorflow()
    vector = tensorflow.TensorSpec([1, 8], tensorflow.float32)
    photo = tensorflow.TensorSpec([1, 8, 8, 3], tensorflow.float32)
    for function, specs, message in (
            (lambda x: x * 2, [vector], r"it takes \[1, 8\], not one photo"),
            (lambda x, y: x + y, [vector, vector], r"it takes \[1, 8\] and \[1, 8\], not one photo"),
            (lambda x: x * 2, [photo], r"it returns \[1, 8, 8, 3\], not one row of numbers")):
        path = convert_function(tmp_path / "g.tflite", function, *specs)
        with pytest.raises(TfpoetsError, match=f"cannot label photos: {message}"):
            load_classifier(path, LegacyGraphOptions(input_mean=0, input_std=1))


def test_a_tflite_predicts_the_same_as_the_graph_it_was_converted_from(shared_data: Path, flower_photos: list[Path]
                                                                       ) -> None:
    stem = "license_plates_mobilenet_0.25_128/retrained_graph"
    from_graph, from_tflite = (predict(load_shared_graph(shared_data, f"{stem}{suffix}", None), flower_photos)
                               for suffix in (".pb", ".tflite"))
    assert np.abs(from_graph - from_tflite).max() < 1e-4


def test_inputs_and_outputs_of_8_bit_tflite_files_are_converted(tmp_path: Path) -> None:
    tensorflow = import_tensorflow()
    kernel = np.eye(3, dtype=np.float32).reshape(1, 1, 3, 3)

    def network(pixels):
        maps = tensorflow.nn.conv2d(pixels, kernel, 1, "SAME", name="MobilenetV1/maps")
        return tensorflow.nn.softmax(tensorflow.reduce_mean(maps, [1, 2]))
    spec = tensorflow.TensorSpec([1, 32, 32, 3], tensorflow.float32)
    converter = tensorflow.lite.TFLiteConverter.from_concrete_functions(
        [tensorflow.function(network).get_concrete_function(spec)])
    rng = np.random.default_rng(0)
    converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [np.broadcast_to(rng.uniform(-1, 1, (1, 1, 1, 3)), (1, 32, 32, 3)).astype(np.float32)] for _ in range(50))
    converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tensorflow.uint8
    (tmp_path / "g.tflite").write_bytes(converter.convert())
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    classifier = load_classifier(tmp_path / "g.tflite", LegacyGraphOptions(input_mean=127.5, input_std=127.5))
    probabilities = classifier.probabilities(np.full((1, 32, 32, 3), (255, 127.5, 0), np.float32))[0]
    assert np.allclose(probabilities, np.exp([1, 0, -1]) / np.exp([1, 0, -1]).sum(), atol=0.02)


@pytest.mark.parametrize("content", [b"", b"no graph at all", b"\x00" * 100])
def test_a_file_that_is_not_a_graph_is_rejected(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "graph.pb").write_bytes(content)
    with pytest.raises(TfpoetsError, match="is not a TensorFlow graph|without nodes"):
        load_classifier(tmp_path / "graph.pb")
