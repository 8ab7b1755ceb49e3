"""The commands take addresses in cloud storage wherever they take folders of photos."""
from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.cloud_server import CloudServer, running_cloud_server
from tests.data.cloud_server import write_shared_photos as write_photos
from tfpoets.cli import doctor, evaluate, label_image, retrain, show_image
from tfpoets.extractors import ExecutionOptions, ExtractorOptions, extract_bottlenecks, open_extractor
from tfpoets.data import read_dataset


@pytest.fixture(scope="module")
def cloud() -> Iterator[CloudServer]:
    with running_cloud_server() as server:
        yield server


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, cloud: CloudServer) -> Path:
    """A working folder with photos/, whose copy is s3://bucket/photos."""
    folder = tmp_path_factory.mktemp("cloud")
    write_photos(folder / "photos")
    cloud.upload(folder / "photos", "photos")
    return folder


@pytest.fixture(autouse=True)
def change_to_workspace(workspace: Path, cloud: CloudServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    cloud.app.reset()


@pytest.fixture(scope="module")
def gets(workspace: Path, cloud: CloudServer, tiny_module: Path, model_dir: Path) -> list[str]:
    """Train on the local photos, whose files are in local/, and on their copies, in cloud/; return what was read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace)
        for name, image_dir in (("local", "photos"), ("cloud", "s3://bucket/photos")):
            assert retrain.main([
                f"--image_dir={image_dir}", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}",
                f"--output_graph={name}/graph.pb", f"--output_labels={name}/labels.txt",
                f"--bottleneck_dir={name}/bottlenecks", "--nodoctor", "--testing_percentage=20"]) == 0
    return cloud.app.gets()


def test_retrain_gives_the_same_files_as_with_local_photos(gets: list[str]) -> None:
    assert len(set(gets)) == 30
    assert Path("cloud/graph.pb").read_bytes() == Path("local/graph.pb").read_bytes()
    assert Path("cloud/labels.txt").read_bytes() == Path("local/labels.txt").read_bytes()
    metadata = Path("cloud/graph.json").read_text()
    assert json.loads(metadata)["options"]["image_dir"] == "s3://bucket/photos"
    assert "test-secret" not in metadata and "test-key" not in metadata


def test_only_photos_that_have_changed_are_read_again(cloud: CloudServer, tiny_module: Path, model_dir: Path,
                                                      tmp_path: Path) -> None:
    extractor = open_extractor(ExtractorOptions(str(tiny_module), model_dir=model_dir))

    def extract(processes: bool = False) -> tuple[np.ndarray, list[str]]:
        cloud.app.reset()
        folder = tmp_path / ("processes" if processes else "threads")
        bottlenecks = extract_bottlenecks(read_dataset("s3://bucket/photos"), extractor, folder, (),
                                          ExecutionOptions(2, processes))
        return bottlenecks.features, cloud.app.gets()
    local = extract_bottlenecks(read_dataset("photos"), extractor, tmp_path / "local").features
    for processes in (False, True):
        features, gets = extract(processes)
        assert sorted(gets) == sorted(f"/bucket/{path.as_posix()}" for path in Path("photos").rglob("*.png"))
        np.testing.assert_array_equal(features, local)
    features, gets = extract()
    assert not gets
    np.testing.assert_array_equal(features, local)
    cloud.put("photos/red/003.png", Path("photos/green/003.png").read_bytes())
    try:
        changed, gets = extract()
        assert gets == ["/bucket/photos/red/003.png"]
        assert (changed != features).any(1).sum() == 1
    finally:
        cloud.put("photos/red/003.png", Path("photos/red/003.png").read_bytes())


def test_label_image_takes_photos_and_folders(gets: list[str], cloud: CloudServer,
                                              capsys: pytest.CaptureFixture) -> None:
    cloud.app.reset()

    def label(*sources: str, code: int = 0) -> list[dict[str, Any]]:
        assert label_image.main(["--graph=local/graph.pb", "--format=jsonl", *sources]) == code
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    one, = label("--image=s3://bucket/photos/red/003.png")
    assert cloud.app.requests == [("GET", "/bucket/photos/red/003.png")]
    local, = label("--image=photos/red/003.png")
    assert one == {**local, "image": "s3://bucket/photos/red/003.png"}
    several = label("s3://bucket/photos/red/", "photos/green/001.png", "s3://bucket/photos/red/missing.jpg", code=1)
    assert [row["image"] for row in several] == [
        *(f"s3://bucket/photos/red/{number:03d}.png" for number in range(15)), "photos/green/001.png",
        "s3://bucket/photos/red/missing.jpg"]
    assert several[3] == one and several[-1]["error"] == "there is no such file"
    assert label_image.main(["--graph=local/graph.pb", "s3://bucket/nothing"]) == 1
    assert "There is nothing at s3://bucket/nothing" in capsys.readouterr().err


def test_label_image_copies_photos_from_the_cloud(gets: list[str], tmp_path: Path) -> None:
    assert label_image.main(["--graph=local/graph.pb", "s3://bucket/photos/red/003.png",
                             f"--sort_into={tmp_path}"]) == 0
    copy, = tmp_path.rglob("*.png")
    assert copy.name == "003.png" and copy.read_bytes() == Path("photos/red/003.png").read_bytes()


def test_other_commands_take_addresses(gets: list[str], cloud: CloudServer,  # noqa: PLR0913 - fixtures
                                       capsys: pytest.CaptureFixture, tmp_path: Path, tiny_module: Path,
                                       model_dir: Path) -> None:
    def measured(image_dir: str) -> Any:
        assert evaluate.main(["--graph=local/graph.pb", image_dir, "--format=json"]) == 0
        result = json.loads(capsys.readouterr().out)
        return {key: value for key, value in result.items() if "photos" in key or key in ("accuracy", "n")}
    assert measured("s3://bucket/photos") == measured("--image_dir=photos")
    assert show_image.main(["s3://bucket/photos", f"--output={tmp_path / 'picture.png'}"]) == 0
    assert (tmp_path / "picture.png").exists()
    for is_first in (True, False):
        cloud.app.reset()
        assert doctor.main(["s3://bucket/photos", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}",
                            f"--output_dir={tmp_path}", "--bottleneck_dir=cloud/bottlenecks"]) == 0
        assert len(cloud.app.gets()) == 30 * is_first  # retrain did not need the headers of the files


def test_a_test_folder_next_to_training_photos_is_not_trained_on(cloud: CloudServer, capsys: pytest.CaptureFixture
                                                                 ) -> None:
    for part in ("train", "test"):
        for label in ("red", "green"):
            cloud.put(f"parts/{part}/{label}/1.png", Path(f"photos/{label}/001.png").read_bytes())
    assert retrain.main(["--image_dir=s3://bucket/parts/test"]) == 1
    error = capsys.readouterr().err
    assert "never used for training" in error and "--image_dir=s3://bucket/parts" in error


def test_errors_are_one_sentence_without_the_password(capsys: pytest.CaptureFixture) -> None:
    assert retrain.main(["--image_dir=s3://bucket/nothing"]) == 1
    assert "There is nothing at s3://bucket/nothing. Check the address." in capsys.readouterr().err
    for command, arguments in ((retrain, ["--image_dir=s3://key:s3cret@bucket/photos"]),
                               (label_image, ["--graph=local/graph.pb", "s3://key:s3cret@bucket/1.jpg"])):
        assert command.main(arguments) != 0
        output = "".join(capsys.readouterr())
        assert "environment" in output and "s3cret" not in output and "Traceback" not in output
