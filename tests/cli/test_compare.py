"""The compare command: networks on the same folds, and earlier runs on their common test photos."""
from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import write_photos
from tfpoets.cli import compare, retrain
from tfpoets.cli.compare import handles, integers
from tfpoets.data import photo_digest
from tfpoets.extractors import Throughput
from tfpoets.inference import load_classifier
from tfpoets.tf_runtime import import_tensorflow

LABELS = ("red", "green", "blue")


@pytest.fixture(scope="module")
def any_size_module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A module that takes photos of any size. Its only feature is the brightness, which is the same in all classes."""
    tensorflow = import_tensorflow()
    folder, module = tmp_path_factory.mktemp("modules") / "flexible", tensorflow.Module()
    module.serve = tensorflow.function(
        lambda images: {"features": tensorflow.reduce_mean(images, [1, 2, 3])[:, None]},
        input_signature=[tensorflow.TensorSpec([None, None, None, 3], tensorflow.float32, name="images")])
    tensorflow.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_module: Path, any_size_module: Path, model_dir: Path
            ) -> Path:
    """A folder with photos/ and the runs good.json, poor.json (one useless feature) and other.json (seed 1)."""
    folder = tmp_path_factory.mktemp("compare")
    for hue, label in enumerate(LABELS):
        write_photos(folder / "photos" / label, 30, hue)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, module, seed in (("good", tiny_module, 0), ("poor", any_size_module, 0), ("other", tiny_module, 1)):
            assert retrain.main(["--image_dir=photos", f"--tfhub_module={module}", f"--model_dir={model_dir}",
                                 "--nodoctor", f"--output_graph={name}.pb", f"--output_labels={name}.txt",
                                 "--image_size=32", "--testing_percentage=30", f"--seed={seed}"]) == 0
    return folder


@pytest.fixture(autouse=True)
def workspace(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(trained, tmp_path / "workspace")
    monkeypatch.chdir(tmp_path / "workspace")


@pytest.fixture
def run(capsys: pytest.CaptureFixture) -> Callable[..., dict[str, Any]]:
    """A function that runs the command with --format=json, and returns the result."""
    def run(*arguments: str) -> dict[str, Any]:
        capsys.readouterr()
        assert compare.main([*arguments, "--format=json"]) == 0
        line, = capsys.readouterr().out.splitlines()
        return json.loads(line)
    return run


@pytest.fixture
def quick_throughput(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not spend two seconds on the throughput of each network."""
    monkeypatch.setattr("tfpoets.comparison.speed.measure_throughput",
                        lambda extractor, seconds: Throughput(None, 100.0, 0.0))  # type: ignore[arg-type]


def test_networks_are_compared_in_accuracy_speed_and_size(run: Callable[..., dict[str, Any]], tiny_module: Path,
                                                          any_size_module: Path, model_dir: Path) -> None:
    result = run("--image_dir=photos", f"--tfhub_module={tiny_module},{any_size_module}", f"--model_dir={model_dir}",
                 "--image_size=32", "--output=pictures/p.png")
    best, other = result["classifiers"]
    assert [best["source"], other["source"]] == [str(tiny_module), str(any_size_module)]
    assert result["folds"] == 5 and 75 <= result["photos"]["count"] == 90 - result["photos"]["unused"] < 90
    assert best["accuracy"] > other["accuracy"] + 0.15 and best["interval"][0] < best["accuracy"]
    versus = other["versus_best"]
    assert versus["difference"] == pytest.approx(best["accuracy"] - other["accuracy"]) and not versus["may_be_chance"]
    assert versus["only_first"] - versus["only_second"] == round(versus["difference"] * result["photos"]["count"])
    written = Path("good.tflite").stat().st_size, Path("poor.tflite").stat().st_size
    assert [best["bytes"], other["bytes"]] == pytest.approx(written, rel=0.2)  # but for the options in the metadata
    for classifier in (best, other):
        low, high = classifier["milliseconds_quartiles"]
        assert 0 < low <= classifier["milliseconds"] <= high and classifier["photos_per_second"] > 1
    assert result["choice"]["accuracy"] == 0 and "McNemar" in result["choice"]["sentence"]
    assert Image.open("pictures/p.png").width > 500 and result["picture"] == "pictures/p.png"


def test_the_table_fits_the_terminal_and_the_suggested_command_trains_the_best_network(
        any_size_module: Path, model_dir: Path, quick_throughput: None, capsys: pytest.CaptureFixture) -> None:
    assert compare.main(["photos", f"--tfhub_module={any_size_module}", f"--model_dir={model_dir}",
                         "--image_size=32,48", "--views=1,2", "--cross_validate=3", "--testing_percentage=0"]) == 0
    output = capsys.readouterr().out
    lines = output.splitlines()
    assert max(len(line) for line in lines if not line.startswith("Train the")) < 80
    assert "90 photos of 3 classes" in output and "3 folds" in output and "retrain tests on" not in output
    for number, name in ((32, "flexible 32"), (32, "flexible 32 (2 views)"), (48, "flexible 48")):
        assert any(f"{name} " in line for line in lines), number
    assert "adjusted for all 6 pairs (Holm)" in " ".join(output.split())
    command = next(line for line in lines if line.startswith("Train the")).split()
    flags = command[command.index("retrain" if "retrain" in command else "scripts.retrain") + 1:]
    assert f"--tfhub_module={any_size_module}" in flags and "--testing_percentage=0%" in flags
    assert retrain.main([*flags, f"--model_dir={model_dir}", "--nodoctor"]) == 0


def test_a_network_that_takes_none_of_the_sizes_is_compared_at_its_own(
        run: Callable[..., dict[str, Any]], tiny_module: Path, any_size_module: Path, model_dir: Path,
        quick_throughput: None, capsys: pytest.CaptureFixture) -> None:
    Path("photos/red/broken.jpg").write_bytes(b"no photo")
    capsys.readouterr()
    assert compare.main(["--image_dir=photos", f"--tfhub_module={tiny_module}", f"--tfhub_module={any_size_module}",
                         f"--model_dir={model_dir}", "--image_size=48"]) == 0
    captured = capsys.readouterr()
    assert f"Left out: {tiny_module} at 48 pixels" in captured.err and "its own size, 32 pixels" in captured.err
    assert "tiny 32" in captured.out and "flexible 48" in captured.out
    assert "1 of 91 photos could not be read" in captured.out


def test_with_groups_folds_and_intervals_follow_the_groups(run: Callable[..., dict[str, Any]], tiny_module: Path,
                                                           any_size_module: Path, model_dir: Path,
                                                           quick_throughput: None) -> None:
    for path in Path("photos").glob("*/*.png"):
        path.rename(path.with_name(f"video{int(path.stem) // 5}{path.parent.name}_frame{path.stem}.png"))
    result = run("--image_dir=photos", f"--tfhub_module={tiny_module},{any_size_module}", f"--model_dir={model_dir}",
                 "--image_size=32", "--group_pattern=video{group}_frame*", "--cross_validate=3")
    assert result["photos"]["groups"] == result["photos"]["count"] / 5
    assert result["photos"]["unused"] % 5 == 0 and "over groups" in result["choice"]["sentence"]


@pytest.mark.parametrize("arguments, message", [
    (["--image_dir=photos"], "only one network to compare. Name several with --tfhub_module"),
    (["--image_dir=photos", "--image_size=32,x"], "not a list of whole numbers, such as 224,320"),
    (["--image_dir=photos", "--image_size=32,0"], "--image_size=0 is not"),
    (["--image_dir=photos", "--views=1,3"], "--views=3 is not one of 1, 2, 4"),
    (["--image_dir=photos", "--views=1,2", "--cross_validate=2"], "--cross_validate=2 is not"),
    (["--image_dir=photos", "--views=1,2", "--output=p.pdf"], "--output=p.pdf must end in .png or .jpg"),
    (["--image_dir=photos", "--views=1,2", "--bottleneck_dir=photos/b"], "inside the photo folder"),
    ([], "Neither photos nor earlier runs were given. Set --image_dir"),
    (["good.json"], "Only one run is given"),
    (["good.json", "./good.json"], "The same run is given twice"),
    (["good.json", "poor.json", "--views=2"], "--views is only for a comparison of networks"),
    (["good.json", "poor.json", "--group_pattern={group}_*"], "need --image_dir")])
def test_command_lines_that_make_no_sense_are_refused_before_any_work(arguments: list[str], message: str,
                                                                      capsys: pytest.CaptureFixture) -> None:
    assert compare.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_misspelt_network_is_reported_before_another_one_is_prepared(capsys: pytest.CaptureFixture) -> None:
    assert compare.main(["photos", "--tfhub_module=efficientnet_lite0,efficientnet_lite"]) == 1
    assert "did you mean efficientnet_lite0?" in capsys.readouterr().err and not Path("tf_files/models").exists()


def test_lists_are_split_at_commas_unless_a_folder_has_the_whole_name() -> None:
    assert handles(" a, b,,a ") == ("a", "b") and integers("224,320,224") == (224, 320)
    Path("with,comma").mkdir()
    assert handles("with,comma") == ("with,comma",)


def test_earlier_runs_have_the_accuracies_that_retrain_reported(run: Callable[..., dict[str, Any]]) -> None:
    result = run("poor.json", "good.json")
    tests = {name: load_classifier(Path(f"{name}.tflite")).metadata.test for name in ("good", "poor")}
    assert [row["name"] for row in result["classifiers"]] == ["good.json", "poor.json"]
    for row in result["classifiers"]:
        test = tests[row["name"].removesuffix(".json")]
        assert (row["accuracy"], row["interval"]) == (test.accuracy, list(test.interval))
        assert row["bytes"] == Path(row["source"]).stat().st_size and row["milliseconds"] > 0
    assert result["photos"]["count"] == tests["good"].count and result["photos"]["notes"] == []
    assert result["folds"] is None


def test_photos_that_one_run_was_trained_on_are_not_used(run: Callable[..., dict[str, Any]]) -> None:
    result = run("good.json", "other.json")
    assert 0 < result["photos"]["count"] < load_classifier(Path("good.tflite")).metadata.test.count


def test_photos_that_moved_are_recognized_and_those_that_are_gone_are_counted(run: Callable[..., dict[str, Any]],
                                                                              capsys: pytest.CaptureFixture) -> None:
    before = run("good.json", "poor.json")["photos"]["count"]
    Path("photos").rename("elsewhere")
    assert compare.main(["good.json", "poor.json"]) == 1
    error = capsys.readouterr().err
    assert "The photos of good.json cannot be listed: There is no folder photos." in error and "--image_dir" in error
    assert run("good.json", "poor.json", "--image_dir=elsewhere")["photos"]["count"] == before
    metadata = load_classifier(Path("good.tflite")).metadata
    for path in list(Path("elsewhere").glob("*/*"))[::2]:
        path.unlink()
    photos = run("good.json", "poor.json", "--image_dir=elsewhere")["photos"]
    n_tested = metadata.split.counts["test"]
    assert photos["count"] < n_tested == before
    assert photos["notes"][0] == (f"good.json was tested on {n_tested} photos; {photos['count']} of the photos here "
                                  "were not used to train it.")
    write_photos(Path("elsewhere/red"), 40, 0, seed=7)
    notes = run("good.json", "poor.json", "--image_dir=elsewhere")["photos"]["notes"]
    assert f"tested on {n_tested} photos; " in notes[0]


def test_photos_that_were_relabelled_between_the_runs_are_left_out(run: Callable[..., dict[str, Any]]) -> None:
    before = run("good.json", "poor.json")["photos"]["count"]
    metadata = json.loads(Path("poor.json").read_text("utf-8"))
    shutil.copytree("photos", "renamed")
    Path("renamed/red").rename("renamed/x")
    Path("renamed/green").rename("renamed/red")
    Path("renamed/x").rename("renamed/green")
    metadata["options"]["image_dir"] = "renamed"
    Path("poor.json").write_text(json.dumps(metadata), "utf-8")
    photos = run("good.json", "poor.json")["photos"]
    assert 0 < photos["count"] < before
    assert photos["notes"] == [f"Photos whose labels were changed between the runs are left out: "
                               f"{before - photos['count']}."]


def test_without_common_test_photos_the_error_says_so(capsys: pytest.CaptureFixture) -> None:
    metadata = load_classifier(Path("good.tflite")).metadata
    for path in Path("photos").glob("*/*"):
        if not metadata.training_digest_mask([photo_digest(path.read_bytes())])[0]:
            path.unlink()
    assert compare.main(["good.json", "poor.json"]) == 1
    assert "None of the test photos of the runs can be found" in capsys.readouterr().err
    assert compare.main(["good.json", "other.json"]) == 1
    assert "no test photos in common (good.json 0, other.json" in capsys.readouterr().err


def test_a_classifier_that_is_missing_or_does_not_belong_to_the_metadata_is_refused(
        run: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture) -> None:
    Path("poor.tflite").unlink()
    result = run("good.json", "poor.json")
    assert result["classifiers"][1]["source"] == "poor.pb" and result["classifiers"][1]["milliseconds"] is None
    assert result["picture"] is None and result["choice"]["speed"] is None
    Path("poor.pb").unlink()
    assert compare.main(["good.json", "poor.json"]) == 1
    assert "there is neither poor.tflite nor poor.pb next to it" in capsys.readouterr().err
    shutil.copy("good.tflite", "poor.tflite")
    assert compare.main(["good.json", "poor.json"]) == 1
    assert "poor.tflite is not the file that was written with poor.json" in capsys.readouterr().err
    Path("broken.json").write_text("{")
    assert compare.main(["good.json", "broken.json"]) == 1
    assert "The metadata of broken.json cannot be used" in capsys.readouterr().err


def test_a_classifier_that_does_not_state_its_training_photos_is_refused(capsys: pytest.CaptureFixture) -> None:
    values = json.loads(Path("poor.json").read_text("utf-8"))
    Path("poor.json").write_text(json.dumps({**values, "split": None}), "utf-8")
    assert compare.main(["good.json", "poor.json"]) == 1
    assert "poor.json does not state which photos it was trained on" in capsys.readouterr().err


def test_files_with_other_names_are_found_by_their_content_and_labels_by_name(run: Callable[..., dict[str, Any]],
                                                                            capsys: pytest.CaptureFixture) -> None:
    for suffix in (".json", ".tflite"):
        Path(f"good{suffix}").rename(f"renamed{suffix}")
    before = run("renamed.json", "poor.tflite")
    assert {row["name"] for row in before["classifiers"]} == {"renamed.json", "poor.tflite"}
    Path("photos/red").rename("photos/crimson")
    assert compare.main(["renamed.json", "poor.json"]) == 0
    captured = capsys.readouterr()
    assert "not all classifiers have a label of that name: crimson." in captured.err
    assert "of 2 classes that none of the runs was trained on" in captured.out


def test_the_numbers_in_the_table_are_those_of_the_json(run: Callable[..., dict[str, Any]],
                                                        capsys: pytest.CaptureFixture) -> None:
    result = run("good.json", "poor.json")
    assert compare.main(["good.json", "poor.json"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(" 2"))
    other = result["classifiers"][1]
    versus = other["versus_best"]
    for number in (other["accuracy"], *other["interval"], versus["difference"], versus["standard_error"]):
        assert f"{100 * number:.1f}" in row
    assert np.isclose(other["bytes"] / 1e6, float(row.split()[-2]), atol=0.06)


def test_test_photos_in_a_second_folder_are_used_and_a_copy_among_the_training_photos_is_not_counted_twice(
        run: Callable[..., dict[str, Any]], tiny_module: Path, model_dir: Path) -> None:
    for hue, label in enumerate(LABELS):
        write_photos(Path("more") / label, 6, hue, seed=5)
    shutil.copy("more/red/000.png", "photos/red/copy.png")
    for name in ("first", "second"):
        assert retrain.main(["--image_dir=photos", "--test_dir=more", f"--tfhub_module={tiny_module}", "--nodoctor",
                             f"--model_dir={model_dir}", f"--output_graph={name}.pb", f"--output_labels={name}.txt"]
                            ) == 0
    photos = run("first.json", "second.json")["photos"]
    assert photos["count"] == 18 and photos["notes"] == []
