"""The routes: TensorFlow Serving's protocol, the form for files, and clear errors for invalid requests."""
from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.serving.conftest import LIMITS, PREDICT
from tfpoets.inference import Classifier, load_classifier
from tfpoets.serving import InferencePool, Limits, create_app
from tfpoets.tf_runtime import import_tensorflow


def b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


def png(width: int, height: int) -> bytes:
    content = io.BytesIO()
    Image.new("L", (width, height)).save(content, "PNG")
    return content.getvalue()


def test_the_status_equals_that_of_tensorflow_serving(client) -> None:
    expected = {"model_version_status": [{"version": "1", "state": "AVAILABLE",
                                          "status": {"error_code": "OK", "error_message": ""}}]}
    for address in ("/v1/models/classifier", "/v1/models/classifier/versions/1"):
        assert client.get(address).json == expected
    for address, servable in (("/v1/models/other", "Latest(other)"),
                              ("/v1/models/classifier/versions/2", "Specific(classifier, 2)")):
        response = client.get(address)
        assert (response.status_code, response.json) == (404, {"error": f"Servable not found for request: {servable}"})


def test_the_metadata_lists_both_signatures(client) -> None:
    metadata = client.get("/v1/models/classifier/metadata").json
    assert metadata["model_spec"] == {"name": "classifier", "signature_name": "", "version": "1"}
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) == {"serving_default", "predict_bytes"}
    image = signatures["serving_default"]["inputs"]["image"]
    assert image["dtype"] == "DT_FLOAT"
    assert [dimension["size"] for dimension in image["tensor_shape"]["dim"]] == ["-1", "32", "32", "3"]
    assert signatures["predict_bytes"]["inputs"]["image_bytes"]["dtype"] == "DT_STRING"
    assert set(signatures["predict_bytes"]["outputs"]) == {"probabilities", "label"}


@pytest.mark.parametrize("instance", [b64, lambda data: {"image_bytes": b64(data)}])
@pytest.mark.parametrize("signature", [{}, {"signature_name": "predict_bytes"}])
def test_photos_as_bytes_get_the_predictions_of_the_classifier(client, classifier: Classifier, photo: bytes, instance,
                                                               signature) -> None:
    response = client.post(PREDICT, json={"instances": [instance(photo)] * 2, **signature})
    expected = classifier.predict_photo(photo).probabilities
    assert response.status_code == 200 and list(response.json) == ["predictions"]
    for row in response.json["predictions"]:
        assert row["label"] == "red" and row["probabilities"] == pytest.approx(expected.tolist())


def test_arrays_and_columns_get_the_same_predictions(client, classifier: Classifier, photo: bytes) -> None:
    pixels = (classifier.input.load_pixels(photo).astype(np.float32) / 255).tolist()
    rows = client.post(PREDICT, json={"instances": [pixels], "signature_name": "serving_default"}).json
    named = client.post(PREDICT, json={"instances": [{"image": pixels}]}).json
    columns = client.post(PREDICT, json={"inputs": {"image": [pixels]}}).json
    by_bytes = client.post(PREDICT, json={"inputs": {"image_bytes": [b64(photo)]}}).json
    assert rows == named and columns == by_bytes
    assert columns == {"outputs": {name: [rows["predictions"][0][name]] for name in ("probabilities", "label")}}


def test_the_saved_model_gives_the_same_predictions(client, retrained: Path) -> None:
    tensorflow = import_tensorflow()
    signature = tensorflow.saved_model.load(str(retrained / "saved" / "1")).signatures["predict_bytes"]
    max_difference = 0.0
    for path in sorted((retrained / "photos").glob("*/*.jpg"))[::9]:
        row = client.post(PREDICT, json={"instances": [b64(path.read_bytes())]}).json["predictions"][0]
        outputs = signature(image_bytes=tensorflow.constant([path.read_bytes()]))
        assert set(row) == set(outputs) and row["label"] == outputs["label"].numpy()[0].decode()
        max_difference = max(max_difference, np.abs(outputs["probabilities"].numpy()[0] - row["probabilities"]).max())
    assert max_difference < 0.03


def test_photos_unlike_the_training_photos_are_called_unknown(retrained: Path) -> None:
    classifier = load_classifier(retrained / "unknown" / "g.tflite")
    client = create_app(classifier, InferencePool(classifier, 1, LIMITS), "classifier", LIMITS).test_client()
    noise = np.random.default_rng(0).random((32, 32, 3)).tolist()
    row = client.post(PREDICT, json={"instances": [noise]}).json["predictions"][0]
    assert row["label"] == "unknown" and row["unknown_score"] > classifier.unknown_threshold
    content = io.BytesIO()
    Image.fromarray((np.array(noise) * 255).astype(np.uint8)).save(content, "PNG")
    content.seek(0)
    result, = client.post("/label", data={"f": (content, "noise.png")}).json["results"]
    assert result["unknown"] is True and result["labels"]


def test_the_form_labels_several_files_and_reports_those_that_cannot_be_used(client, photo: bytes) -> None:
    files = [(io.BytesIO(photo), "a.jpg"), (io.BytesIO(b"nonsense"), "b.jpg")]
    response = client.post("/label", data={"file": files, "top_k": "2"})
    good, bad = response.json["results"]
    assert response.status_code == 200 and good["file"] == "a.jpg"
    assert [len(good["labels"]), good["labels"][0]["label"]] == [2, "red"]
    assert bad == {"file": "b.jpg", "error": "not a photo in a supported format"}


@pytest.mark.parametrize("photos, width", [(1, 1200), (3, 300), (4, 100)])
def test_photos_of_all_common_sizes_are_accepted(client, photos: int, width: int) -> None:
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, width, 3), np.uint8)).save(content, "PNG")
    data = {"file": [(io.BytesIO(content.getvalue()), f"{number}.png") for number in range(photos)]}
    response = client.post("/label", data=data)
    assert response.status_code == 200, (len(content.getvalue()), response.json)
    assert len(response.json["results"]) == photos


def test_arrays_for_a_legacy_graph_are_scaled_like_its_photos(shared_data: Path) -> None:
    graph = shared_data / "poets_graphs" / "license_plates_mobilenet_0.25_128" / "retrained_graph.tflite"
    classifier = load_classifier(graph)
    photo = next((shared_data / "photos" / "flowers" / "roses").glob("*.jpg")).read_bytes()
    array = (classifier.input.load_pixels(photo) / 255).astype(np.float32)
    assert np.allclose(classifier.predict_array(array).probabilities, classifier.predict_photo(photo).probabilities,
                       atol=1e-4)


INVALID = {
    "no JSON": (b"{", "The request is not valid JSON"), "a number": (b"1", "must be a JSON object"),
    "nothing": (b"", "not valid JSON"), "deep": (b"[" * 100_000, "not valid JSON"),
    "NaN": (b'{"instances": [NaN]}', "Instance 0 is not an array of numbers of shape [32, 32, 3]: it is NaN."),
    "not UTF-8": (b"\xff\xfe", "not valid JSON"),
    "no instances": (b"{}", 'either "instances" or "inputs"'),
    "both": (b'{"instances": [1], "inputs": [1]}', 'either "instances" or "inputs"'),
    "empty": (b'{"instances": []}', "at least one photo"), "a string": (b'{"instances": "x"}', "at least one photo"),
    "a shape": (b'{"instances": [[1, 2]]}', "has the shape [2], not [32, 32, 3]"),
    "ragged": (b'{"instances": [[[1], [1, 2]]]}', "is not an array of numbers"),
    "words": (b'{"instances": [["a"]]}', "is not an array of numbers"),
    "huge": (b'{"instances": [[1e999]]}', "has the shape"),
    "base64": (b'{"instances": [{"b64": "?"}]}', "is not valid base64"),
    "base64 that was cut off": (b'{"instances": [{"b64": "AAAAA"}]}', "is not valid base64"),
    "base64 with padding inside": (b'{"instances": [{"b64": "AA==AAAA"}]}', "is not valid base64"),
    "base64 with too much padding": (b'{"instances": [{"b64": "AAA=="}]}', "is not valid base64"),
    "base64 with accents": ('{"instances": [{"b64": "AAAé"}]}'.encode(), "is not valid base64"),
    "a row of Cloud ML": (b'{"instances": [{"key": "0", "image_bytes": {"b64": "AAAA"}}]}',
                          'Instance 0 has an input that the model does not have: "key"'),
    "a column of keys": (b'{"inputs": {"key": ["0"], "image_bytes": [{"b64": "AAAA"}]}}', "and nothing else"),
    "base64 as a string": (b'{"instances": ["AAAA"]}', 'it is "AAAA". Send files as {"b64"'),
    "an empty object": (b'{"instances": [{}]}', 'Instance 0 must contain either "image"'),
    "null": (b'{"instances": [null]}', "Instance 0 is not an array of numbers of shape [32, 32, 3]: it is null."),
    "b64 of a number": (b'{"instances": [{"b64": 1}]}', 'must be {"b64"'),
    "no photo": (b'{"instances": [{"b64": "AAAA"}]}', "Instance 0 cannot be used: not a photo"),
    "signature": (b'{"signature_name": "x", "instances": [{"b64": "AAAA"}]}', "There is no signature 'x'"),
    "signatures": (b'{"signature_name": ["a"], "instances": [{"b64": "AAAA"}]}', "There is no signature ['a']"),
    "objects": (b'{"instances": [' + b"{}," * 100_000 + b"{}]}", "too many photos; the limit is 4"),
    "bytes for arrays": (b'{"signature_name": "serving_default", "instances": [{"b64": "AAAA"}]}', "takes arrays"),
    "two inputs": (b'{"inputs": {"image": [], "image_bytes": []}}', 'must contain either "image"'),
    "too many": (json.dumps({"instances": [{"b64": "AAAA"}] * 5}).encode(), "contains 5 photos; the limit is 4"),
    "a bomb": (json.dumps({"instances": [b64(png(5_000, 5_000))]}).encode(), "25 million pixels, and the limit"),
}


@pytest.mark.parametrize("body, sentence", INVALID.values(), ids=INVALID)
def test_invalid_requests_get_a_clear_error(client, body: bytes, sentence: str) -> None:
    response = client.post(PREDICT, data=body)
    assert response.status_code == 400 and sentence in response.json["error"]
    assert "/" not in response.json["error"].replace("multipart/form-data", "") and "\n" not in response.json["error"]


@pytest.mark.parametrize("value, sentence", [
    ("0.5", 'is not an array of numbers of shape [32, 32, 3]: it contains "0.5" at [31, 2, 1]'),
    ("x" * 1000, f'it contains "{"x" * 36}... at [31, 2, 1]'),
    (True, "it contains true at [31, 2, 1]"), (None, "it contains null at [31, 2, 1]"),
    ({"b64": "AAAA"}, "it contains an object at [31, 2, 1]"), ([0.5], "its rows have different lengths"),
    (1e30, "contains 1e+30 at [31, 2, 1], but pixels must be in [0, 1]"), (-1, "contains -1 at [31, 2, 1]"),
    (255, "contains 255 at [31, 2, 1]"), (float("nan"), "contains NaN at [31, 2, 1]"),
    (float("inf"), "contains Infinity at [31, 2, 1]"), (10 ** 400, "contains 1000000"),
])
def test_the_error_for_an_invalid_pixel_states_its_instance_and_position(client, value: object, sentence: str
                                                                         ) -> None:
    pixels = np.full((32, 32, 3), 0.5).tolist()
    wrong = json.loads(json.dumps(pixels))
    wrong[31][2][1] = value
    response = client.post(PREDICT, json={"instances": [pixels, wrong]})
    assert response.status_code == 400 and response.json["error"].startswith("Instance 1 "), response.json
    assert sentence in response.json["error"] and len(response.json["error"]) < 200


@pytest.mark.parametrize("shape", [(32, 32), (32, 32, 4), (3, 32, 32), (64, 64, 3), (1, 32, 32, 3), (9000,), (0,)])
def test_an_array_of_another_shape_is_described(client, shape: tuple[int, ...]) -> None:
    response = client.post(PREDICT, json={"instances": [np.full(shape, 0.5).tolist()]})
    assert response.json == {"error": f"Instance 0 has the shape {list(shape)}, not [32, 32, 3]."}


def test_pixels_that_resampling_moved_a_little_beyond_black_and_white_are_accepted(client) -> None:
    pixels = np.linspace(-0.2, 1.2, 32 * 32 * 3).reshape(32, 32, 3).tolist()
    assert client.post(PREDICT, json={"instances": [pixels, np.zeros((32, 32, 3), int).tolist()]}).status_code == 200


@pytest.mark.parametrize("encode", [
    base64.encodebytes, lambda data: base64.encodebytes(data).replace(b"\n", b"\r\n"),
    lambda data: base64.b64encode(data) + b"\n", base64.urlsafe_b64encode,
    lambda data: base64.b64encode(data).rstrip(b"=")], ids=["lines", "CRLF", "newline", "URL-safe", "no padding"])
@pytest.mark.parametrize("n_bytes_after_the_photo", range(3))
def test_base64_is_accepted_in_all_common_forms(client, photo: bytes, encode: Callable[[bytes], bytes],
                                                n_bytes_after_the_photo: int) -> None:
    data = photo + b"\xff" * n_bytes_after_the_photo  # JPEG decoders ignore them; they change the padding
    expected = client.post(PREDICT, json={"instances": [b64(photo)]}).json
    response = client.post(PREDICT, json={"instances": [{"b64": encode(data).decode()}]})
    assert response.status_code == 200 and response.json == expected


def test_a_method_that_an_address_does_not_support_gets_405_with_the_supported_ones(client) -> None:
    for address in (PREDICT, "/v1/models/classifier/versions/1:predict"):
        for method in (client.get, client.put, client.delete):
            response = method(address)
            assert (response.status_code, response.headers["Allow"]) == (405, "OPTIONS, POST")
    assert client.post("/v1/models/classifier").status_code == 405
    for method in (client.get, client.post):
        assert method("/v1/models/classifier:classify").status_code == 404


@pytest.mark.parametrize("data, sentence", [
    ({}, "contains no photos"), ({"file": (io.BytesIO(b"x"), "a"), "top_k": "0"}, "top_k must be"),
    ({"file": (io.BytesIO(b"x"), "a"), "top_k": "many"}, "top_k must be"),
    ({"file": [(io.BytesIO(b"x"), f"{i}") for i in range(5)]}, "contains 5 photos; the limit is 4"),
    ({"file": (io.BytesIO(b"nonsense"), "a.jpg")}, "a.jpg cannot be used: not a photo"),
])
def test_invalid_forms_get_a_clear_error(client, data: dict, sentence: str) -> None:
    response = client.post("/label", data=data)
    assert response.status_code == 400 and sentence in response.json["error"]


def test_large_requests_and_unknown_addresses_and_methods_are_rejected(client) -> None:
    assert client.post(PREDICT, data=b" " * (LIMITS.request_bytes + 1)).status_code == 413
    assert client.get("/nowhere").json == {"error": "There is nothing at this address."}
    response = client.get("/label")
    assert response.status_code == 405 and "POST" in response.headers["Allow"]


def test_a_full_queue_tells_the_client_when_to_retry(classifier: Classifier, photo: bytes) -> None:
    full = Limits(queued_photos=0)
    app = create_app(classifier, InferencePool(classifier, 1, full), "classifier", full)
    response = app.test_client().post(PREDICT, json={"instances": [b64(photo)] * 2})
    assert response.status_code == 503 and response.headers["Retry-After"] == "1"
    assert response.json == {"error": "The server is busy. Try again later."}
    assert app.test_client().post(PREDICT, json={"instances": [b64(photo)]}).status_code == 200


def test_every_response_has_the_security_headers(client) -> None:
    for address in ("/", "/page/page.js", "/healthz", "/nowhere"):
        with client.get(address) as response:
            headers = response.headers
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"


def test_an_internal_error_reveals_no_details(classifier: Classifier, monkeypatch: pytest.MonkeyPatch,
                                              photo: bytes) -> None:
    inference_pool = InferencePool(classifier, 1, LIMITS)
    client = create_app(classifier, inference_pool, "classifier", LIMITS).test_client()
    monkeypatch.setattr(inference_pool, "predict", lambda uploads: 1 / 0)
    response = client.post(PREDICT, json={"instances": [b64(photo)]})
    assert response.status_code == 500
    assert response.json == {"error": "An internal error occurred. See the log of the server for details."}


def test_metrics_for_prometheus_count_requests(client, photo: bytes) -> None:
    client.post(PREDICT, json={"instances": [b64(photo)]})
    text = client.get("/metrics").get_data(as_text=True)
    assert 'tfpoets_requests_total{address="/v1/models/<model>:predict",status="200"}' in text
    assert "tfpoets_photos_waiting 0.0" in text and "tfpoets_request_seconds_bucket" in text


def test_the_openapi_document_describes_compression_and_the_range_of_pixels(client) -> None:
    document = client.get("/openapi.json").json
    for address in ("/label", PREDICT):
        operation = document["paths"][address]["post"]
        assert operation["parameters"][0]["schema"]["enum"] == ["gzip", "deflate", "identity"]
        assert "415" in operation["responses"]
    assert '"maximum":1,"minimum":0' in json.dumps(document, sort_keys=True, separators=(",", ":"))


def test_the_openapi_document_lists_every_address(client) -> None:
    document = client.get("/openapi.json").json
    assert set(document["paths"]) == {"/label", "/healthz"} | {
        f"/v1/models/classifier{version}{suffix}" for version in ("", "/versions/1")
        for suffix in ("", "/metadata", ":predict")}
    assert "red" in document["info"]["description"]


def test_serving_needs_no_tensorflow(retrained: Path) -> None:
    code = ("import sys; from tfpoets.serving import *; from tfpoets.inference import load_classifier\n"
            f"c = load_classifier({str(retrained / 'tf_files' / 'retrained_graph.tflite')!r}); l = Limits()\n"
            "app = create_app(c, InferencePool(c, 1, l), 'x', l)\n"
            f"photo = open({str(retrained / 'photos' / 'red' / '003.jpg')!r}, 'rb')\n"
            "r = app.test_client().post('/label', data={'f': photo})\n"
            "assert r.json['results'][0]['labels'][0]['label'] == 'red', r.json\n"
            "assert 'tensorflow' not in sys.modules")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
