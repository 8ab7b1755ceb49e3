"""Graphs that TensorFlow for Poets wrote years ago answer as they did, and what they do not say is found out."""
from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.extractors.test_other_modules import save_inception_like_graph
from tfpoets.data import load_photo
from tfpoets.errors import TfpoetsError
from tfpoets.inference import Classifier, LegacyGraphOptions, load_classifier
from tfpoets.tf_runtime import import_tensorflow

# file, size, output, labels
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
def fifty(flowers: Path) -> list[Path]:
    """Ten photos of each flower."""
    return [path for folder in sorted(flowers.iterdir()) if folder.is_dir() for path in sorted(folder.iterdir())[:10]]


def loaded(shared_data: Path, name: str, labels: str | None) -> Classifier:
    graphs = shared_data / "poets_graphs"
    stated = LegacyGraphOptions(labels=graphs / "imagenet_labels.txt") if labels else LegacyGraphOptions()
    return load_classifier(graphs / name, stated)


def answers(classifier: Classifier, photos: list[Path]) -> np.ndarray:
    found = [answer.probabilities for _, answer in classifier.label_photos(photos, lambda path: path.read_bytes())]
    return np.stack([each for each in found if each is not None])


def by_hand(graph: Path, output: str | None, size: int, photos: list[Path], decoder: str) -> np.ndarray:
    """What TensorFlow gives, fed as TensorFlow for Poets' label_image fed it: resize_bilinear, (x - 127.5) / 127.5."""
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
            pixels = load_photo(path) if decoder == "ours" else session.run(jpeg, {file: path.read_bytes()})
            fed = session.run(scaled, {decoded: pixels})
            if output is None:
                interpreter.set_tensor(interpreter.get_input_details()[0]["index"], fed)
                interpreter.invoke()
                rows.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
            else:
                rows.append(session.run(f"import/{output}:0", {"import/input:0": fed}))
    return np.concatenate(rows)


@pytest.mark.parametrize("name, size, output, labels", GRAPHS, ids=[each[0] for each in GRAPHS])
def test_answers_are_those_of_tensorflow_run_by_hand(shared_data: Path, fifty: list[Path], name: str, size: int,
                                                     output: str | None, labels: str | None) -> None:
    classifier = loaded(shared_data, name, labels)
    assert (classifier.input.height, classifier.input.width) == (size, size)
    found = answers(classifier, fifty)
    assert found.shape == (50, len(classifier.labels))
    for decoder, tolerance in (("ours", 1e-4), ("tensorflow's", 0.02)):
        expected = by_hand(shared_data / "poets_graphs" / name, output, size, fifty, decoder)
        assert np.abs(found - expected).max() < tolerance


def test_labels_beside_the_graph_are_found_and_read(shared_data: Path) -> None:
    classifier = loaded(shared_data, "glasses_mobilenet_0.25_224/retrained_graph.pb", None)
    assert len(classifier.labels) == 2 and all(label == label.strip() and label for label in classifier.labels)


def test_a_label_file_that_does_not_match_the_graph_is_refused(shared_data: Path, tmp_path: Path) -> None:
    graph = shared_data / "poets_graphs" / "license_plates_mobilenet_0.25_128" / "retrained_graph.tflite"
    with pytest.raises(TfpoetsError, match="imagenet_labels.txt has 1001 labels, but .* answers with 5"):
        load_classifier(graph, LegacyGraphOptions(labels=shared_data / "poets_graphs" / "imagenet_labels.txt"))
    with pytest.raises(TfpoetsError, match="There is no label file"):
        load_classifier(graph, LegacyGraphOptions(labels=tmp_path / "none.txt"))
    alone = Path(shutil.copy(graph, tmp_path / "g.tflite"))
    with pytest.raises(TfpoetsError, match=r"labels of .* \(5 of them\) are not beside it. Give them with `labels`"):
        load_classifier(alone)


@pytest.fixture
def small_graph(tmp_path: Path) -> Path:
    """A graph with names of MobileNet v1 that states no input size and pools 16 x 16 pixels; labels beside it.

    Its answer is the softmax of the mean of its three channels, so what it was fed can be told from it.
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
    """What a graph of `write_graph` saw of a photo of one colour, up to a constant."""
    size = (1, classifier.input.height, classifier.input.width, 3)
    answer = np.log(classifier.probabilities(np.full(size, colour, np.float32))[0])
    return answer - answer[0]


def test_a_graph_that_states_no_size_is_tried_with_the_usual_ones(small_graph: Path,
                                                                  caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    classifier = load_classifier(small_graph)
    # 192 and 224 leave one window of 160, too, with a rest.
    assert (classifier.input.height, classifier.input.width) == (160, 160)
    assert "does not state the size of its input; 160 x 160 pixels fit" in caplog.text
    stated = load_classifier(small_graph, LegacyGraphOptions(input_height=170, input_width=180))
    assert (stated.input.height, stated.input.width) == (170, 180)
    with pytest.raises(TfpoetsError, match="does not give one answer a photo at 64 x 64 pixels"):
        load_classifier(small_graph, LegacyGraphOptions(input_height=64, input_width=64))


def test_mean_and_std_are_the_networks_unless_stated_and_0_counts(small_graph: Path) -> None:
    for stated, mean, std in ((LegacyGraphOptions(), 127.5, 127.5), (LegacyGraphOptions(input_mean=0.0), 0, 127.5),
                              (LegacyGraphOptions(input_mean=0, input_std=255), 0, 255),
                              (LegacyGraphOptions(input_mean=100.5, input_std=33.25), 100.5, 33.25)):
        seen = logits(load_classifier(small_graph, stated), (10, 40, 100))
        scaled = (np.array([10, 40, 100]) - mean) / std
        assert np.allclose(seen, scaled - scaled[0], atol=1e-3), stated


@pytest.mark.parametrize("mark, colour, expected", [
    ("module_apply_default/maps", (0, 51, 255), (0, 0.2, 1)), ("InceptionV3/maps", (0, 51, 255), (0, 0.2, 1)),
    ("mixed_10/join", (0, 64, 128), (0, 0.5, 1))])
def test_each_kind_of_network_is_fed_as_it_was_trained(tmp_path: Path, mark: str, colour: tuple, expected: tuple
                                                       ) -> None:
    path = write_graph(tmp_path / "retrained_graph.pb", mark)
    seen = logits(load_classifier(path, LegacyGraphOptions(input_height=160, input_width=160)), colour)
    assert np.allclose(seen, expected, atol=1e-3)


def test_poets_inception_graph_is_fed_behind_its_own_decoder_one_photo_at_a_time(tmp_path: Path) -> None:
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


def test_an_unknown_network_is_refused_until_its_scale_is_stated(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "retrained_graph.pb", "SomeNet/maps")
    with pytest.raises(TfpoetsError, match="none of the networks that TensorFlow for Poets used.*`input_mean` and "
                                           "`input_std`"):
        load_classifier(path)
    assert load_classifier(path, LegacyGraphOptions(input_mean=0, input_std=1)).labels == ("a", "b", "c")


def test_a_graph_for_one_photo_at_a_time_is_given_one(tmp_path: Path) -> None:
    classifier = load_classifier(write_graph(tmp_path / "retrained_graph.pb", "MobilenetV1/maps", batch=1))
    pixels = np.random.default_rng(0).random((5, 160, 160, 3)).astype(np.float32) * 255
    assert classifier.probabilities(pixels).shape == (5, 3)


def test_nodes_can_be_named(small_graph: Path) -> None:
    stated = LegacyGraphOptions(input_layer="input", output_layer="final_result")
    assert load_classifier(small_graph, stated).labels == ("a", "b", "c")
    with pytest.raises(TfpoetsError, match="has no node 'output'"):
        load_classifier(small_graph, LegacyGraphOptions(output_layer="output"))
    with pytest.raises(TfpoetsError, match="has no node 'no_input'"):
        load_classifier(small_graph, LegacyGraphOptions(input_layer="no_input"))


def test_the_nodes_that_are_named_are_the_ones_that_are_used(small_graph: Path) -> None:
    pixels = np.full((1, 160, 160, 3), (0, 51, 255), np.float32)
    before_softmax = load_classifier(small_graph, LegacyGraphOptions(output_layer="Reshape"))
    assert np.allclose(before_softmax.probabilities(pixels)[0], (pixels[0, 0, 0] - 127.5) / 127.5, atol=1e-3)
    later = load_classifier(small_graph, LegacyGraphOptions(input_layer="MobilenetV1/maps", output_layer="Reshape"))
    assert np.allclose(later.probabilities(pixels), before_softmax.probabilities(pixels))
    with pytest.raises(TfpoetsError, match="the node AvgPool gives .* numbers for . photos. Say another "
                                           "`output_layer`"):
        load_classifier(small_graph, LegacyGraphOptions(output_layer="AvgPool"))


def test_labels_are_read_as_poets_wrote_them(small_graph: Path) -> None:
    labels = small_graph.with_name("retrained_labels.txt")
    for content, expected in ((b"a\r\nb\r\nc\r\n", ("a", "b", "c")), (b"\xef\xbb\xbfa\nb\nc", ("a", "b", "c")),
                              (b"a\n \nc\n\n", ("a", " ", "c")), (b" a \nb\x85b\nc\n", ("a", "b\x85b", "c"))):
        labels.write_bytes(content)
        assert load_classifier(small_graph).labels == expected


def tflite_of(path: Path, function, *specs) -> Path:
    tensorflow = import_tensorflow()
    concrete = tensorflow.function(function).get_concrete_function(*specs)
    path.write_bytes(tensorflow.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())
    path.with_name("labels.txt").write_text("a\nb\nc\n")
    return path


def test_a_tflite_for_any_size_takes_the_one_that_is_stated(tmp_path: Path) -> None:
    tensorflow = import_tensorflow()
    path = tflite_of(tmp_path / "g.tflite", lambda pixels: tensorflow.nn.softmax(tensorflow.reduce_mean(
        pixels, [1, 2])), tensorflow.TensorSpec([1, None, None, 3], tensorflow.float32))
    scale = {"input_mean": 0.0, "input_std": 1.0}
    with pytest.raises(TfpoetsError, match="takes any size; set one with `input_height` and `input_width`"):
        load_classifier(path, LegacyGraphOptions(**scale))
    classifier = load_classifier(path, LegacyGraphOptions(input_height=40, input_width=30, **scale))
    pixels = np.zeros((1, 40, 30, 3), np.float32)
    pixels[:, 20:, :, 0] = 2
    assert np.allclose(classifier.probabilities(pixels), np.exp([1, 0, 0]) / np.exp([1, 0, 0]).sum(), atol=1e-5)


def test_a_tflite_that_is_not_for_photos_is_refused(tmp_path: Path) -> None:
    tensorflow = import_tensorflow()
    vector = tensorflow.TensorSpec([1, 8], tensorflow.float32)
    photo = tensorflow.TensorSpec([1, 8, 8, 3], tensorflow.float32)
    for function, specs, sentence in (
            (lambda x: x * 2, [vector], r"it takes \[1, 8\], not one photo"),
            (lambda x, y: x + y, [vector, vector], r"it takes \[1, 8\] and \[1, 8\], not one photo"),
            (lambda x: x * 2, [photo], r"it returns \[1, 8, 8, 3\], not one row of numbers")):
        path = tflite_of(tmp_path / "g.tflite", function, *specs)
        with pytest.raises(TfpoetsError, match=f"cannot label photos: {sentence}"):
            load_classifier(path, LegacyGraphOptions(input_mean=0, input_std=1))


def test_a_tflite_answers_as_the_graph_it_was_made_from(shared_data: Path, fifty: list[Path]) -> None:
    folder = "license_plates_mobilenet_0.25_128/retrained_graph"
    both = [answers(loaded(shared_data, f"{folder}.{suffix}", None), fifty) for suffix in ("pb", "tflite")]
    assert np.abs(both[0] - both[1]).max() < 1e-4


def test_8_bit_tflite_files_are_fed_and_read_in_their_own_numbers(tmp_path: Path) -> None:
    tensorflow = import_tensorflow()
    kernel = np.eye(3, dtype=np.float32).reshape(1, 1, 3, 3)

    def network(pixels):
        maps = tensorflow.nn.conv2d(pixels, kernel, 1, "SAME", name="MobilenetV1/maps")
        return tensorflow.nn.softmax(tensorflow.reduce_mean(maps, [1, 2]))
    spec = tensorflow.TensorSpec([1, 32, 32, 3], tensorflow.float32)
    converter = tensorflow.lite.TFLiteConverter.from_concrete_functions(
        [tensorflow.function(network).get_concrete_function(spec)])
    random = np.random.default_rng(0)
    converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [np.broadcast_to(random.uniform(-1, 1, (1, 1, 1, 3)), (1, 32, 32, 3)).astype(np.float32)] for _ in range(50))
    converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tensorflow.uint8
    (tmp_path / "g.tflite").write_bytes(converter.convert())
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    classifier = load_classifier(tmp_path / "g.tflite", LegacyGraphOptions(input_mean=127.5, input_std=127.5))
    answer = classifier.probabilities(np.full((1, 32, 32, 3), (255, 127.5, 0), np.float32))[0]
    assert np.allclose(answer, np.exp([1, 0, -1]) / np.exp([1, 0, -1]).sum(), atol=0.02)


@pytest.mark.parametrize("content", [b"", b"no graph at all", b"\x00" * 100])
def test_what_is_no_graph_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "graph.pb").write_bytes(content)
    with pytest.raises(TfpoetsError, match="is not a TensorFlow graph|without nodes"):
        load_classifier(tmp_path / "graph.pb")
