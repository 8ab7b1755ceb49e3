"""TF1 modules, keras.applications, and the graphs and names of TensorFlow for Poets become extractors."""
from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tests.download.local_server import body, serving, status
from tfpoets.data import network_input
from tfpoets.errors import TfpoetsError
from tfpoets.extractors import LiteRTModel, hub, open_extractor
from tfpoets.graphs.legacy_names import architecture_names
from tfpoets.tf_runtime import import_tensorflow

DEPTH = 12


def save_tf1_module(folder: Path, tag_sets: list[list[str]], hub_proto: bool, size: int | None = 16) -> np.ndarray:
    """Write a TF Hub module of TensorFlow 1 with the signature `default`, and return its kernel."""
    tensorflow = import_tensorflow()
    v1 = tensorflow.compat.v1
    kernel = np.random.default_rng(5).normal(0, 0.3, (3, 3, 3, DEPTH)).astype(np.float32)
    builder = v1.saved_model.Builder(str(folder))
    for number, tags in enumerate(tag_sets):
        with v1.Graph().as_default(), v1.Session() as session:
            images = v1.placeholder(tensorflow.float32, [None, size, size, 3], name="images")
            with v1.variable_scope("module"):
                variable = v1.get_variable("kernel", initializer=kernel, use_resource=False)
            maps = tensorflow.nn.relu(v1.nn.conv2d(images, variable, 2, "SAME"))
            if "train" in tags:
                maps = v1.nn.dropout(maps, rate=0.5)
            signature = v1.saved_model.signature_def_utils.predict_signature_def(
                {"images": images}, {"default": tensorflow.reduce_mean(maps, [1, 2])})
            session.run(v1.global_variables_initializer())
            write = builder.add_meta_graph if number else (
                lambda *args, **kwargs: builder.add_meta_graph_and_variables(session, *args, **kwargs))
            write(tags, signature_def_map={"default": signature})
    builder.save()
    if hub_proto:
        (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")
    return kernel


def run(extractor, photos: np.ndarray) -> np.ndarray:
    model = LiteRTModel(extractor.tflite_path)
    return np.concatenate([model.run(photo[None]) for photo in photos])


@pytest.mark.parametrize("tag_sets", [[[], ["train"]], [["train"], []], [[]]], ids=str)
@pytest.mark.parametrize("hub_proto", [True, False])
def test_a_tf1_hub_module_gives_the_features_of_its_inference_graph(
        tmp_path: Path, model_dir: Path, tag_sets: list[list[str]], hub_proto: bool) -> None:
    kernel = save_tf1_module(tmp_path / "module", tag_sets, hub_proto)
    extractor = open_extractor(str(tmp_path / "module"), model_dir=model_dir)
    assert (extractor.height, extractor.width, extractor.depth) == (16, 16, DEPTH)
    photos = np.random.default_rng(1).random((2, 16, 16, 3), np.float32)
    tensorflow = import_tensorflow()
    expected = tensorflow.reduce_mean(tensorflow.nn.relu(tensorflow.nn.conv2d(photos, kernel, 2, "SAME")), [1, 2])
    assert np.abs(run(extractor, photos) - expected.numpy()).max() < 1e-5


def test_a_tf1_module_with_only_a_training_graph_is_refused(tmp_path: Path, model_dir: Path) -> None:
    save_tf1_module(tmp_path / "module", [["train"]], True)
    with pytest.raises(TfpoetsError, match=r"no graph for inference: its tag sets are \{train\}"):
        open_extractor(str(tmp_path / "module"), model_dir=model_dir)


@pytest.fixture(scope="module")
def mobilenet_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights for keras:MobileNetV2, written by Keras."""
    import_tensorflow()
    import keras
    keras.utils.set_random_seed(0)
    network = keras.applications.MobileNetV2(weights=None, include_top=False, pooling="avg", input_shape=(96, 96, 3))
    path = tmp_path_factory.mktemp("weights") / "mobilenet.weights.h5"
    network.save_weights(path)
    return path


@pytest.fixture
def no_keras_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a proxy and without Keras weights."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras_home"))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_a_keras_application_is_used_with_its_preprocessing(tmp_path: Path, mobilenet_weights: Path) -> None:
    extractor = open_extractor(f"keras:mobilenetv2:{mobilenet_weights}", model_dir=tmp_path, image_size=96)
    assert (extractor.height, extractor.depth) == (96, 1280)
    import keras
    network = keras.applications.MobileNetV2(weights=None, include_top=False, pooling="avg", input_shape=(96, 96, 3))
    network.load_weights(mobilenet_weights)
    pixels = np.random.default_rng(2).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    expected = network(keras.applications.mobilenet_v2.preprocess_input(pixels.astype(np.float32))).numpy()
    assert np.abs(run(extractor, network_input(pixels)) - expected).max() < 1e-4 * np.abs(expected).max()


def test_each_application_has_the_preprocessing_of_its_family() -> None:
    import_tensorflow()
    import keras

    from tfpoets.extractors.keras_applications import find_application
    assert find_application("ResNet50")[1] is keras.applications.resnet.preprocess_input
    assert find_application("resnet50v2")[1] is keras.applications.resnet_v2.preprocess_input
    assert find_application("MobileNetV3Small") == (keras.applications.MobileNetV3Small,
                                                    keras.applications.mobilenet_v3.preprocess_input)
    assert find_application("EfficientNetV2B0")[1] is keras.applications.efficientnet_v2.preprocess_input
    with pytest.raises(TfpoetsError, match="did you mean keras:MobileNetV2.*ConvNeXtBase, .*Xception"):
        find_application("MobilNetV2")


def test_imagenet_weights_for_keras_are_downloaded_checked_and_saved(
        tmp_path: Path, mobilenet_weights: Path, no_keras_weights: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import keras
    folder = "/weights/"
    module = __import__("sys").modules[keras.applications.MobileNetV2.__module__]
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_96_no_top.h5"
    replies = {folder + name: status(403)}
    with serving(replies) as server:
        monkeypatch.setattr(module, "BASE_WEIGHT_PATH", server.url + folder)
        with pytest.raises(TfpoetsError, match=r"403.*save it as .*_1.0_96_no_top.h5.*efficientnet_lite0 needs no"):
            open_extractor("keras:MobileNetV2", model_dir=tmp_path, image_size=96)
        with pytest.raises(TfpoetsError, match="not on this machine .*`offline` forbids"):
            open_extractor("keras:MobileNetV2", model_dir=tmp_path, image_size=96, offline=True)
        replies[folder + name] = body(write_keras_2_weights(mobilenet_weights, tmp_path))
        extractor = open_extractor("keras:MobileNetV2", model_dir=tmp_path, image_size=96)
        requests = len(server.requests)
        assert open_extractor("keras:MobileNetV2", model_dir=tmp_path, image_size=96) == extractor
        assert len(server.requests) == requests and (tmp_path / "downloads" / name).is_file()


def write_keras_2_weights(weights: Path, folder: Path) -> bytes:
    """Return the bytes of a .h5 file in the format of Keras 2, by layer, like the files that Keras downloads."""
    import keras
    network = keras.applications.MobileNetV2(weights=None, include_top=False, pooling="avg", input_shape=(96, 96, 3))
    network.load_weights(weights)
    from keras.src.legacy.saving import legacy_h5_format
    import h5py
    path = folder / "old.h5"
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)
    return path.read_bytes()


def test_weights_with_a_different_hash_are_not_saved(tmp_path: Path, no_keras_weights: None,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    import keras
    module = __import__("sys").modules[keras.applications.InceptionV3.__module__]
    with serving({"/v3.h5": body(b"not these weights")}) as server:
        monkeypatch.setattr(module, "WEIGHTS_PATH_NO_TOP", f"{server.url}/v3.h5")
        with pytest.raises(TfpoetsError, match="its hash is different"):
            open_extractor("keras:InceptionV3", model_dir=tmp_path, image_size=96)
    assert [path.name for path in (tmp_path / "downloads").iterdir() if path.suffix != ".lock"] == []


@pytest.mark.parametrize("folder, side", [("glasses_mobilenet_0.25_224", 224),
                                          ("surface_defects_mobilenet_0.25_128", 128)])
def test_bottlenecks_of_legacy_graphs_are_the_outputs_of_their_last_pooling_layer(
        shared_data: Path, model_dir: Path, folder: str, side: int) -> None:
    path = shared_data / "poets_graphs" / folder / "frozen_graph.pb"
    extractor = open_extractor(str(path), model_dir=model_dir)
    assert (extractor.height, extractor.width, extractor.depth) == (side, side, 256)
    pixels = np.random.default_rng(4).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    tensorflow = import_tensorflow()
    with tensorflow.Graph().as_default(), tensorflow.compat.v1.Session() as session:
        tensorflow.import_graph_def(tensorflow.compat.v1.GraphDef.FromString(path.read_bytes()), name="")
        expected = [session.run("MobilenetV1/Logits/AvgPool_1a/AvgPool:0",
                                {"input:0": (photo[None] - np.float32(127.5)) / np.float32(127.5)}).reshape(256)
                    for photo in pixels]
    assert np.abs(run(extractor, network_input(pixels)) - np.stack(expected)).max() < 1e-4


def test_a_classifier_written_by_tfpoets_is_refused_as_an_extractor(tmp_path: Path, model_dir: Path) -> None:
    tensorflow = import_tensorflow()
    with tensorflow.Graph().as_default() as graph:
        pixels = tensorflow.compat.v1.placeholder(tensorflow.float32, [None, 32, 32, 3], name="input")
        pooled = tensorflow.compat.v1.nn.avg_pool(pixels, 32, 32, "VALID", name="module/MobilenetV1/AvgPool")
        logits = tensorflow.identity(tensorflow.reshape(pooled, [-1, 3]), name="final_training_ops/logits")
        tensorflow.nn.softmax(logits, name="final_result")
        (tmp_path / "g.pb").write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(TfpoetsError, match="is a classifier that this program wrote, not an extractor"):
        open_extractor(str(tmp_path / "g.pb"), model_dir=model_dir)


@pytest.mark.parametrize("top", [".", "mobilenet_v1_0.25_128"])
def test_a_legacy_graph_may_be_in_an_archive(shared_data: Path, tmp_path: Path, model_dir: Path, top: str) -> None:
    from tests.extractors.test_hub import pack
    source = shared_data / "poets_graphs" / "surface_defects_mobilenet_0.25_128" / "frozen_graph.pb"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "frozen_graph.pb").write_bytes(source.read_bytes())
    (tmp_path / "mobilenet_frozen.tgz").write_bytes(pack(tmp_path / "in", top))
    extractor = open_extractor(str(tmp_path / "mobilenet_frozen.tgz"), model_dir=model_dir)
    assert extractor.digest == open_extractor(str(source), model_dir=model_dir).digest


def test_a_tf2_module_without_signatures_is_called_directly(tmp_path: Path, model_dir: Path) -> None:
    tensorflow = import_tensorflow()

    class Reusable(tensorflow.Module):
        def __init__(self):
            super().__init__()
            self.kernel = tensorflow.Variable(np.random.default_rng(3).normal(0, 1, (3, 5)).astype(np.float32))

        @tensorflow.function
        def __call__(self, inputs, training=False):
            pooled = tensorflow.reduce_mean(inputs, [1, 2]) @ self.kernel
            return pooled + 1000 if training else pooled
    module = Reusable()
    spec = tensorflow.TensorSpec([None, 48, 48, 3], tensorflow.float32)
    for training in (True, False):
        module.__call__.get_concrete_function(spec, training=training)
    tensorflow.saved_model.save(module, str(tmp_path / "reusable"), signatures={})
    extractor = open_extractor(str(tmp_path / "reusable"), model_dir=model_dir)
    assert (extractor.height, extractor.depth) == (48, 5)
    photo = np.random.default_rng(1).random((1, 48, 48, 3), np.float32)
    assert np.abs(run(extractor, photo) - photo.mean((1, 2)) @ module.kernel.numpy()).max() < 1e-4


def test_legacy_names_take_precedence_over_folders_of_the_same_name(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_module: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mobilenet_1.0_224").symlink_to(tiny_module)
    with pytest.raises(TfpoetsError, match="mobilenet_v1_100_224/feature_vector/5 is not on this machine"):
        open_extractor("mobilenet_1.0_224", model_dir=tmp_path / "models", offline=True)
    assert open_extractor("./mobilenet_1.0_224", model_dir=tmp_path / "models", offline=True).depth == 24


def test_an_8_bit_graph_is_refused_as_an_extractor(shared_data: Path, model_dir: Path) -> None:
    graphs = shared_data / "poets_graphs"
    with pytest.raises(TfpoetsError, match="8-bit graph.*Use the float graph"):
        open_extractor(str(graphs / "surface_defects_mobilenet_0.25_128" / "quantized_graph.pb"), model_dir=model_dir)


def save_inception_like_graph(path: Path) -> None:
    """Write a graph with the nodes of TensorFlow for Poets' Inception v3: a decoder, `Mul`, `pool_3`, `softmax`."""
    tensorflow = import_tensorflow()
    v1 = tensorflow.compat.v1
    rng = np.random.default_rng(8)
    with v1.Graph().as_default() as graph:
        contents = v1.placeholder(tensorflow.string, [], name="DecodeJpeg/contents")
        decoded = tensorflow.cast(tensorflow.image.decode_jpeg(contents, channels=3), tensorflow.float32)
        resized = v1.image.resize_bilinear(decoded[None], [299, 299])
        pixels = v1.multiply(resized - 128.0, np.float32(1 / 128), name="Mul")
        kernel = rng.normal(0, 0.2, (8, 8, 3, 20)).astype(np.float32)
        maps = tensorflow.identity(tensorflow.nn.relu(v1.nn.conv2d(pixels, kernel, 32, "SAME")), name="mixed_10/join")
        pooled = v1.nn.avg_pool(maps, [1, 10, 10, 1], [1, 1, 1, 1], "VALID", name="pool_3")
        features = tensorflow.reshape(pooled, [1, 20], name="pool_3/_reshape")
        tensorflow.nn.softmax(features @ rng.normal(0, 1, (20, 1008)).astype(np.float32), name="softmax")
        path.write_bytes(graph.as_graph_def().SerializeToString())


def test_the_legacy_inception_graph_is_fed_after_its_decoder(tmp_path: Path) -> None:
    save_inception_like_graph(tmp_path / "classify_image_graph_def.pb")
    extractor = open_extractor("inception_v3", model_dir=tmp_path)
    assert (extractor.height, extractor.width, extractor.depth) == (299, 299, 20)
    pixels = np.random.default_rng(4).integers(0, 256, (2, 299, 299, 3), dtype=np.uint8)
    tensorflow = import_tensorflow()
    with tensorflow.Graph().as_default(), tensorflow.compat.v1.Session() as session:
        tensorflow.import_graph_def(tensorflow.compat.v1.GraphDef.FromString(
            (tmp_path / "classify_image_graph_def.pb").read_bytes()), name="")
        expected = [session.run("pool_3:0", {"Mul:0": (photo[None] - np.float32(128)) / np.float32(128)}).reshape(20)
                    for photo in pixels]
    assert np.abs(run(extractor, network_input(pixels)) - np.stack(expected)).max() < 1e-4


def test_legacy_names_stand_for_tf_hubs_feature_vectors_of_the_same_networks(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = []

    def fail_to_fetch(address: str, *_: object) -> None:
        addresses.append(address)
        raise TfpoetsError("not here")
    monkeypatch.setattr("tfpoets.extractors.hub.fetch_module", fail_to_fetch)
    for name in architecture_names() + ["MobileNet_1_224"]:
        with pytest.raises(TfpoetsError, match="not here"):
            open_extractor(name, model_dir=tmp_path)
    assert len(addresses) == 34 and len(set(addresses)) == 17
    assert addresses[0] == "https://tfhub.dev/google/imagenet/inception_v3/feature_vector/5"
    assert addresses[-1] == "https://tfhub.dev/google/imagenet/mobilenet_v1_100_224/feature_vector/5"
    assert "https://tfhub.dev/google/imagenet/mobilenet_v1_025_128/feature_vector/5" in addresses


def test_a_legacy_graph_in_model_dir_is_used_and_this_is_logged(shared_data: Path, tmp_path: Path, model_dir: Path,
                                                                caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    source = shared_data / "poets_graphs" / "surface_defects_mobilenet_0.25_128" / "frozen_graph.pb"
    graph = tmp_path / "mobilenet_v1_0.25_128" / "frozen_graph.pb"
    graph.parent.mkdir()
    graph.write_bytes(source.read_bytes())
    extractor = open_extractor("mobilenet_0.25_128_quantized", model_dir=tmp_path, offline=True)
    assert extractor.digest == open_extractor(str(source), model_dir=model_dir).digest
    assert "the float graph of the same network is used" in caplog.text
    assert f"the graph {graph} is used" in caplog.text


@pytest.mark.parametrize("name, sentence", [
    ("mobilenet_1.0_225", r"no extractor 'mobilenet_1.0_225'; did you mean mobilenet_1.0_224\?"),
    ("mobilenet_0.3_224", "did you mean mobilenet_0"),
    ("inception_v4", r"did you mean inception_v3\?"), ("efficientnet_lite", r"did you mean efficientnet_lite0\?"),
    ("xyz", r"There is no extractor 'xyz'\. Valid extractors are efficientnet_lite0, inception_v3, "
            r"mobilenet_<1.0\|0.75\|0.50\|0.25>_<224\|192\|160\|128>\[_quantized\], keras:")])
def test_an_error_about_an_unknown_name_lists_valid_names_and_the_closest(
        tmp_path: Path, name: str, sentence: str) -> None:
    with pytest.raises(TfpoetsError, match=sentence):
        open_extractor(name, model_dir=tmp_path)


def test_a_tf1_module_can_be_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.extractors.test_hub import QUERY, pack
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "TFHUB_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    save_tf1_module(tmp_path / "module", [[], ["train"]], True)
    content = pack(tmp_path / "module")
    with serving({"/m/1" + QUERY: body(content)}) as server:
        assert open_extractor(f"{server.url}/m/1", model_dir=tmp_path / "models").depth == DEPTH
        folder = hub.download_folder(f"{server.url}/m/1", tmp_path / "models")
    assert hashlib.sha256((folder / "tfhub_module.pb").read_bytes()).digest() == hashlib.sha256(b"\x08\x03").digest()
