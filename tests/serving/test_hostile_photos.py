"""Photos that take long to decode end at their deadline; meanwhile, others are served."""
from __future__ import annotations

import http.client
import json
import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.attack.hostile_photos import encode, jpeg_with_many_scans, png_bomb
from tfpoets.data import DECODERS
from tfpoets.inference import Classifier
from tfpoets.serving import InferencePool, Limits


def post(port: int, photo: bytes) -> tuple[int, str]:
    """Send a photo to /label, and return the status and the error, or the most likely label."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n' + photo + b"\r\n--x--\r\n"
    connection.request("POST", "/label", body, {"Content-Type": "multipart/form-data; boundary=x"})
    response = connection.getresponse()
    content = json.loads(response.read())
    connection.close()
    return response.status, content.get("error") or content["results"][0]["labels"][0]["label"]


def test_a_photo_that_takes_too_long_is_stopped_and_others_are_served(start_server, photo: bytes) -> None:
    bomb = png_bomb()
    with start_server() as server, ThreadPoolExecutor(4) as clients:
        expected = post(server.port, photo)
        assert expected[0] == 200
        stopped = [clients.submit(post, server.port, bomb) for _ in range(os.cpu_count() or 1)]
        time.sleep(0.2)
        assert [post(server.port, photo) for _ in range(3)] == [expected] * 3
        for future in stopped:
            status, error = future.result()
            assert status == 400 and "decoding it takes more than the 2.8 s allowed for 3,072 pixels" in error
        assert post(server.port, photo) == expected
        assert server.stop().endswith("Stopped.\n")


def test_photos_with_many_scans_are_refused_at_once(start_server, photo: bytes) -> None:
    scans = next(data for seed in range(100) if len(data := jpeg_with_many_scans(random.Random(seed))) > 2_000_000)
    with start_server() as server:
        started = time.monotonic()
        for _ in range(2):
            status, error = post(server.port, scans)
            assert status == 400 and "decoding it takes more than" in error
        assert post(server.port, photo)[0] == 200
        assert time.monotonic() - started < 10
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 5


def test_a_closed_pool_does_not_wait_for_a_photo_that_takes_long(classifier: Classifier) -> None:
    inference_pool = InferencePool(classifier, 1, Limits())
    with ThreadPoolExecutor(1) as clients:
        prediction = clients.submit(inference_pool.predict, [png_bomb()])
        time.sleep(0.5)
        started = time.monotonic()
        inference_pool.close()
        assert time.monotonic() - started < 2
        assert "ended unexpectedly" in prediction.result()[0].reason


@pytest.mark.parametrize("name", ["JPEG", "TIFF", "AVIF", "PNG"])
def test_predictions_are_the_same_as_without_another_process(name: str, classifier: Classifier) -> None:
    inference_pool, photo = InferencePool(classifier, 1, Limits()), encode((1200, 900), name)
    prediction, = inference_pool.predict([photo])
    assert prediction.probabilities.tobytes() == classifier.predict_photo(photo).probabilities.tobytes()
    inference_pool.close()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_a_crash_of_the_decoder_does_not_end_the_server(start_server, photo: bytes) -> None:
    with start_server() as server:
        expected = post(server.port, photo)
        for process in children(server.process.pid):
            os.kill(process, signal.SIGKILL)
        time.sleep(0.2)
        assert post(server.port, photo) == expected
        server.stop()


def children(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def test_the_pool_starts_a_decoder_before_the_first_photo(classifier: Classifier) -> None:
    DECODERS.close()
    inference_pool = InferencePool(classifier, 1, Limits())
    assert len(DECODERS.process_ids()) == 1
    inference_pool.close()
    assert not DECODERS.process_ids()
