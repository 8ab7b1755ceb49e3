"""The retrain command."""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tfpoets
from tests.conftest import retrain_json, write_photos
from tfpoets.cli import label_image, retrain
from tfpoets.extractors import CACHE_NAME, BottleneckCache
from tfpoets.inference import load_classifier

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run commands in."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def run(photos: Path, module: Path | str, model_dir: Path, *more: str) -> int:
    return retrain.main([*flags(photos, module, model_dir), *more])


def flags(photos: Path, module: Path | str, model_dir: Path) -> list[str]:
    return [f"--image_dir={photos}", f"--tfhub_module={module}", f"--model_dir={model_dir}"]


def test_a_run_writes_every_file_and_prints_the_accuracy(
        workspace: Path, photo_folder: Path, tiny_module: Path, model_dir: Path,
        capsys: pytest.CaptureFixture) -> None:
    assert run(photo_folder, tiny_module, model_dir, "--saved_model_dir=saved", "--testing_percentage=30") == 0
    output = capsys.readouterr().out
    assert re.search(r"^Final test accuracy = \d+\.\d% \(N=\d+\), 95% interval \d+\.\d-\d+\.\d%$", output,
                     re.MULTILINE)
    assert re.search(r"always predicting (red|green|blue) would reach \d+\.\d%", output)
    assert "60 files in 3 classes: blue 20, green 20, red 20" in output
    assert sorted(path.name for path in Path("tf_files").iterdir()) == [
        "bottlenecks", "retrained_graph.html", "retrained_graph.json", "retrained_graph.pb", "retrained_graph.tflite",
        "retrained_graph_findings.csv", "retrained_labels.txt", "training_summaries"]
    assert Path("tf_files/retrained_labels.txt").read_text() == "blue\ngreen\nred\n"
    assert Path("saved/1/saved_model.pb").exists()
    assert {path.parent.name for path in Path("tf_files/training_summaries").rglob("*tfevents*")} == {
        "train", "validation", "test"}
    assert len(list(Path("tf_files/training_summaries").glob("*/curves.png"))) == 1
    metadata = json.loads(Path("tf_files/retrained_graph.json").read_text())
    assert f"(N={metadata['test']['count']})" in output
    assert metadata["options"]["split"]["testing_percentage"] == 30 and metadata["split"]["seed"] == 0
    assert all(len(line) <= 80 for line in output.splitlines() if str(workspace) not in line)


def test_json_is_the_only_standard_output_and_agrees_with_the_text(
        workspace: Path, tiny_module: Path, model_dir: Path, capsys: pytest.CaptureFixture) -> None:
    labels = ('blå "1"', "C++", "日本's")
    for hue, label in enumerate(labels):
        write_photos(Path("photos", label), 20, hue)
    Path("photos", labels[0], "broken.jpg").write_bytes(b"no photo")
    command = [*flags(Path("photos"), tiny_module, model_dir), "--testing_percentage=30", "--cross_validate=3",
               "--unknown_coverage=0.9", "--export=tflite_dynamic"]
    assert retrain.main([*command, "--format=json"]) == 0
    stdout, stderr = capsys.readouterr()
    assert stdout.isascii() and stdout.endswith("}\n") and stdout.count("\n") == 1
    result = json.loads(stdout)
    assert retrain.main([*command, "--format=text"]) == 0
    output = capsys.readouterr().out
    for line in output.splitlines():  # except counts of cached bottlenecks, and times
        assert line in stderr or "computed" in line or line.startswith(("graph (.pb)", "tflite_dynamic")), line
    assert result["labels"] == sorted(labels) and result["test"]["labels"] == result["labels"]
    test, interval = result["test"], [f"{100 * end:.1f}" for end in result["test"]["interval"]]
    assert (f"Final test accuracy = {test['accuracy']:.1%} (N={test['count']}), 95% interval "
            f"{'-'.join(interval)}%\n  (always predicting {test['majority_label']} would reach "
            f"{test['majority_accuracy']:.1%})\n") in output
    photos, counts, cross_validation = result["photos"], result["split"]["counts"], result["cross_validation"]
    assert f"{photos['listed']} files in 3 classes: " in output
    assert all(f"{label} {count}" in output for label, count in photos["per_label"].items())
    assert f"  {photos['unreadable'][0]['file']}: {photos['unreadable'][0]['reason']}\n" in output
    assert "Bottlenecks by tiny at 32 x 32 pixels: " in stderr
    assert f": {result['bottlenecks']['computed']} computed, 60 in all\n" in stderr
    assert f"Split: {', '.join(f'{count} {part}' for part, count in counts.items())} photos\n" in output
    assert f"Head: L2 strength {result['head']['l2']:.2g}; trained again" in output
    assert (f"3-fold cross-validation: accuracy = {cross_validation['accuracy']:.1%} "
            f"(N={cross_validation['count']})\n") in output
    assert f"standard deviation {100 * cross_validation['spread']:.1f}" in output
    assert f"Called unknown: {result['unknown']['test']['called_unknown'] / test['count']:.1%}" in output
    check_written_files(output, result)
    assert f"\nReport:         {result['report']}\n" in output
    assert f"Data doctor: {len(result['findings'])} findings, all listed in" in output
    assert [row["name"] for row in result["converted"]] == ["graph (.pb)", "tflite_dynamic"]


def check_written_files(output: str, result: dict[str, Any]) -> None:
    """Check that the text names all files of the classifier, and on how many photos they were verified."""
    assert all(row["agreeing"] == row["count"] for row in result["proof"])
    lines = output.splitlines()
    start = lines.index(f"Written, and verified on {result['proof'][0]['count']} test photos:")
    end = next(number for number, line in enumerate(lines) if line.startswith("Data doctor"))
    listed = [Path(first).with_suffix(suffix) for first, *others in
              (line.strip().split(", ") for line in lines[start + 1:end]) for suffix in (Path(first).suffix, *others)]
    assert sorted(map(str, listed)) == sorted(result["files"])


def test_json_lists_the_misclassified_photos(workspace: Path, photo_folder: Path, tiny_module: Path, model_dir: Path,
                                             capsys: pytest.CaptureFixture) -> None:
    for photo in sorted((photo_folder / "red").iterdir())[:12]:
        shutil.move(photo, photo_folder / "blue" / f"red{photo.name}")
    result = retrain_json(capsys, *flags(photo_folder, tiny_module, model_dir), "--testing_percentage=40")
    moved = [photo for photo in result["misclassified"] if Path(photo["file"]).name.startswith("red")]
    assert moved and {(photo["label"], photo["answer"]) for photo in moved} == {("blue", "red")}
    assert len(result["misclassified"]) == round((1 - result["test"]["accuracy"]) * result["test"]["count"])


def test_undecodable_file_names_are_valid_json_in_any_encoding(workspace: Path, photo_folder: Path,
                                                               tiny_module: Path, model_dir: Path) -> None:
    (photo_folder / "red").rename(photo_folder / "röt")
    broken = photo_folder / "röt" / os.fsdecode(b"\xff broken.png")
    broken.write_bytes(b"")
    done = subprocess.run([sys.executable, "-m", "tfpoets", "retrain", "--format=json", "--nodoctor",
                           *flags(photo_folder, tiny_module, model_dir)], capture_output=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "latin-1"})
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["labels"] == ["blue", "green", "röt"]
    assert result["photos"]["unreadable"] == [{"file": str(broken), "reason": "the file is empty"}]


@pytest.mark.parametrize("change, code, sentence", [
    ("no folder", 1, "There is no folder nowhere."), ("unreadable", 1, "Fewer than two classes have readable photos"),
    ("wrong value", 2, "120 is not a number that is at least 0 and below 100"),
    ("wrong format", 2, "invalid choice: 'xml'")])
def test_errors_print_no_json(change: str, code: int, sentence: str, workspace: Path, photo_folder: Path,
                              tiny_module: Path, model_dir: Path, capsys: pytest.CaptureFixture) -> None:
    command = [*flags(photo_folder, tiny_module, model_dir), "--format=json", *{
        "no folder": ["--image_dir=nowhere"], "wrong value": ["--testing_percentage=120"],
        "wrong format": ["--format=xml"]}.get(change, [])]
    if change == "unreadable":
        for photo in [*(photo_folder / "red").iterdir(), *(photo_folder / "green").iterdir()]:
            photo.write_bytes(b"x")
    assert retrain.main(command) == code
    stdout, stderr = capsys.readouterr()
    assert stdout == "" and sentence in stderr.splitlines()[-1] and stderr.splitlines()[-1].startswith("Error: ")


def test_later_runs_compute_only_the_bottlenecks_of_changed_photos(
        workspace: Path, photo_folder: Path, tiny_module: Path, model_dir: Path,
        capsys: pytest.CaptureFixture) -> None:
    computed = []
    for change in ("none", "none", "rename", "edit"):
        if change == "rename":
            (photo_folder / "red").rename(photo_folder / "crimson")
        if change == "edit":
            write_photos(photo_folder / "crimson", 1, 0, seed=77)
        result = retrain_json(capsys, *flags(photo_folder, tiny_module, model_dir))["bottlenecks"]
        computed.append((result["computed"], result["count"]))
    assert computed == [(60, 60), (0, 60), (0, 60), (1, 60)]


def test_the_same_run_gives_the_same_bytes(workspace: Path, photo_folder: Path, tiny_module: Path,
                                           model_dir: Path) -> None:
    for name in ("first", "second"):
        run(photo_folder, tiny_module, model_dir, f"--output_graph={name}/g.pb", f"--output_labels={name}/l.txt",
            f"--bottleneck_dir={name}/b")
    assert Path("first/g.pb").read_bytes() == Path("second/g.pb").read_bytes()
    run(photo_folder, tiny_module, model_dir, "--output_graph=third/g.pb", "--seed=5", "--bottleneck_dir=first/b")
    assert Path("third/g.pb").read_bytes() != Path("first/g.pb").read_bytes()


def test_label_image_gives_test_photos_the_same_probabilities_as_the_evaluation(
        workspace: Path, photo_folder: Path, tiny_module: Path, model_dir: Path,
        capsys: pytest.CaptureFixture) -> None:
    test = tfpoets.retrain(photo_folder, handle=str(tiny_module), model_dir=model_dir, testing_percentage=30).test
    for graph in ("tf_files/retrained_graph.tflite", "tf_files/retrained_graph.pb"):
        assert label_image.main([f"--graph={graph}", "--format=jsonl", "--top_k=3",
                                 *[photo.uri for photo in test.photos]]) == 0
        predictions = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        labels = Path("tf_files/retrained_labels.txt").read_text().split()
        for prediction, expected in zip(predictions, test.probabilities, strict=True):
            scores = {entry["label"]: entry["score"] for entry in prediction["labels"]}
            assert np.abs([scores[label] for label in labels] - expected).max() < 1e-4


def test_misclassified_photos_are_listed_on_request(workspace: Path, photo_folder: Path, tiny_module: Path,
                                                    model_dir: Path, capsys: pytest.CaptureFixture) -> None:
    blue = photo_folder / "blue"
    for photo in sorted((photo_folder / "red").iterdir())[:12]:
        shutil.move(photo, blue / f"red{photo.name}")
    run(photo_folder, tiny_module, model_dir, "--testing_percentage=40", "--print_misclassified_test_images")
    listed = capsys.readouterr().out.split("=== MISCLASSIFIED TEST IMAGES ===\n")[1]
    assert re.search(r"^ *\S+/blue/red\d+\.png  red$", listed, re.MULTILINE)


def test_unreadable_photos_are_listed_and_left_out(workspace: Path, photo_folder: Path, tiny_module: Path,
                                                   model_dir: Path, capsys: pytest.CaptureFixture) -> None:
    (photo_folder / "red" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    result = retrain_json(capsys, *flags(photo_folder, tiny_module, model_dir))
    unreadable, = result["photos"]["unreadable"]
    assert unreadable["file"] == str(photo_folder / "red" / "broken.jpg") and unreadable["reason"]
    assert result["photos"]["listed"] == 61 and sum(result["split"]["counts"].values()) == 60


def test_cross_validation_covers_every_photo(workspace: Path, photo_folder: Path, tiny_module: Path, model_dir: Path,
                                             capsys: pytest.CaptureFixture) -> None:
    cross_validation = retrain_json(capsys, *flags(photo_folder, tiny_module, model_dir),
                                    "--cross_validate=4")["cross_validation"]
    assert cross_validation["folds"] == 4 and cross_validation["count"] == 60 and cross_validation["accuracy"] > 0.8
    assert run(photo_folder, tiny_module, model_dir, "--cross_validate=2") == 2


def test_without_test_photos_no_accuracy_is_printed(
        workspace: Path, photo_folder: Path, tiny_module: Path, model_dir: Path,
        capsys: pytest.CaptureFixture) -> None:
    assert run(photo_folder, tiny_module, model_dir, "--testing_percentage=0", "--validation_percentage=0",
               "--format=json") == 0
    stdout, stderr = capsys.readouterr()
    assert json.loads(stdout)["test"] is None and json.loads(stdout)["proof"] == []
    assert "Final test accuracy" not in stderr and "No photos were held out for a test" in stderr


@pytest.mark.parametrize("arguments, code, sentence", [
    (["--image_dri=x"], 2, "did you mean --image_dir?"),
    ([], 2, "tfpoets retrain my_photos"),
    (["--image_dir=nowhere"], 1, "There is no folder nowhere."),
    (["--image_dir=~/surely/not/there"], 1, "There is no folder " + os.path.expanduser("~")),
    (["--image_dir=photos", "--testing_percentage=120"], 2, "120 is not a number that is at least 0 and below 100"),
    (["--image_dir=photos", "--final_tensor_name=a b"], 2, "is not a valid name for a TensorFlow node"),
    (["--image_dir=photos", "--output_graph=."], 2, "is a folder"),
    (["--image_dir=photos", "--image_size=0"], 2, "whole number from 1 to 2048"),
])
def test_an_invalid_command_line_gives_one_line(workspace: Path, capsys: pytest.CaptureFixture, arguments: list[str],
                                                code: int, sentence: str) -> None:
    assert retrain.main(arguments) == code
    output = capsys.readouterr().err
    assert sentence in output and "Traceback" not in output and output.count("\n") == 1


def test_classes_that_are_too_small_are_reported_before_any_work(
        workspace: Path, photo_folder: Path, tiny_module: Path, model_dir: Path,
        capsys: pytest.CaptureFixture) -> None:
    for photo in sorted((photo_folder / "red").iterdir())[2:]:
        photo.unlink()
    assert run(photo_folder, tiny_module, model_dir) == 1
    assert "class red has too few photos: 2" in capsys.readouterr().err
    assert not Path("tf_files/bottlenecks").exists()
    assert run(photo_folder, tiny_module, model_dir, "--testing_percentage=60", "--validation_percentage=50") == 2
    assert "leave no photos for training" in capsys.readouterr().err


def test_a_single_readable_class_is_an_error(workspace: Path, photo_folder: Path, tiny_module: Path, model_dir: Path,
                                             capsys: pytest.CaptureFixture) -> None:
    for label in ("red", "green"):
        for photo in (photo_folder / label).iterdir():
            photo.write_bytes(b"x")
    assert run(photo_folder, tiny_module, model_dir) == 1
    assert "Fewer than two classes have readable photos" in capsys.readouterr().err


def test_undecodable_file_names_do_not_end_a_run(workspace: Path, photo_folder: Path, tiny_module: Path,
                                                 model_dir: Path) -> None:
    (photo_folder / "red" / "000.png").rename(photo_folder / "red" / os.fsdecode(b"\xff\xfe.png"))
    (photo_folder / "red" / os.fsdecode(b"\xff broken.png")).write_bytes(b"")
    done = subprocess.run([sys.executable, "-m", "tfpoets", "retrain", f"--image_dir={photo_folder}",
                           f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}"],
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"broken.png: the file is empty" in done.stdout and b"Error" not in done.stderr


def test_messy_photos_are_trained_on_and_labelled(shared_data: Path, workspace: Path, tiny_module: Path,
                                                  model_dir: Path, capsys: pytest.CaptureFixture) -> None:
    messy = sorted(path for path in (shared_data / "photos" / "messy").rglob("*") if path.is_file())
    for number, path in enumerate(messy):
        target = Path("photos") / ("odd" if number % 2 else "even") / f"{path.parent.name}_{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    unreadable = retrain_json(capsys, *flags(Path("photos"), tiny_module, model_dir))["photos"]["unreadable"]
    assert 10 <= len(unreadable) < 20
    assert "the file is empty" in [photo["reason"] for photo in unreadable
                                   if photo["file"].endswith("heif_empty.heic")]
    assert label_image.main(["--format=jsonl", *map(str, messy)]) == 1
    captured = capsys.readouterr()
    predictions = [json.loads(line) for line in captured.out.splitlines()]
    assert [prediction["image"] for prediction in predictions] == list(map(str, messy))
    assert all(("labels" in prediction) != ("error" in prediction) for prediction in predictions)
    assert 10 <= sum("error" in prediction for prediction in predictions) < 20 and "Traceback" not in captured.err


def test_a_classifier_is_trained_on_flowers_with_the_embedded_extractor(
        flowers: Path, workspace: Path, capsys: pytest.CaptureFixture) -> None:
    result = retrain_json(capsys, f"--image_dir={flowers}", "--image_size=128", "--saved_model_dir=saved")
    # 599, because one photo is in two class folders.
    assert (result["bottlenecks"]["computed"], result["bottlenecks"]["count"]) == (599, 600)
    assert result["test"]["accuracy"] > 0.65
    classifier = load_classifier(Path("tf_files/retrained_graph.tflite"))
    (_, prediction), = classifier.predict_photos([next(flowers.glob("daisy/*.jpg"))], Path.read_bytes)
    assert prediction.probabilities is not None and prediction.probabilities.sum() == pytest.approx(1, abs=1e-5)


def count_committed(cache_dir: Path, extractor: str) -> int:
    with BottleneckCache(cache_dir) as cache:
        return len(cache.digests_with_vector(extractor))


def test_a_killed_run_continues_where_it_stopped(shared_data: Path, flowers: Path, workspace: Path, model_dir: Path,
                                                 capsys: pytest.CaptureFixture) -> None:
    module = shared_data / "modules" / "mobilenet_v1_025_224"
    assert run(flowers, module, model_dir, "--output_graph=whole/g.pb", "--bottleneck_dir=whole/b") == 0
    capsys.readouterr()
    command = [sys.executable, "-m", "tfpoets", "retrain", f"--image_dir={flowers}", f"--tfhub_module={module}",
               f"--model_dir={model_dir}", "--output_graph=killed/g.pb", "--bottleneck_dir=killed/b"]
    extractor = json.loads(next(model_dir.glob("mobilenet_v1_025_224-*/extractor.json")).read_text())["digest"]
    done = 0
    for _ in range(3):
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        cache, goal = Path("killed/b"), min(done + 90, 400)
        while process.poll() is None:
            time.sleep(0.01)
            if (cache / CACHE_NAME).exists() and _count_vectors(cache) > goal:
                process.kill()
                break
        process.wait()
        assert process.returncode == -9
        n_committed = count_committed(cache, extractor)
        assert n_committed > done
        done = n_committed
    result = retrain_json(capsys, *flags(flowers, module, model_dir), "--output_graph=killed/g.pb",
                          "--bottleneck_dir=killed/b")["bottlenecks"]
    assert (result["computed"], result["count"]) == (599 - done, 600)
    assert Path("killed/g.pb").read_bytes() == Path("whole/g.pb").read_bytes()


def _count_vectors(cache: Path) -> int:
    import sqlite3
    try:
        with sqlite3.connect(f"file:{cache / CACHE_NAME}?mode=ro", uri=True) as database:
            return database.execute("SELECT COUNT(*) FROM vectors").fetchone()[0]
    except sqlite3.Error:
        return 0


def test_a_test_folder_is_used_for_the_final_test(
        workspace: Path, photo_folder: Path, tiny_module: Path, model_dir: Path, tmp_path: Path,
        capsys: pytest.CaptureFixture) -> None:
    for hue, label in enumerate(("red", "green", "blue")):
        write_photos(tmp_path / "test" / label, 5 + hue, hue, seed=7)
    shutil.copy(photo_folder / "red" / "003.png", tmp_path / "test" / "red" / "copied.png")
    Image.open(photo_folder / "red" / "004.png").save(tmp_path / "test" / "red" / "leaked.jpg", quality=90)
    assert run(photo_folder, tiny_module, model_dir, f"--test_dir={tmp_path / 'test'}", "--format=json") == 0
    stdout, stderr = capsys.readouterr()
    result = json.loads(stdout)
    assert result["split"]["counts"]["test"] == result["test"]["count"] == 20
    assert "Photos that are also among the validation or test photos are used only there: 1." in stderr
    assert [finding["kind"] for finding in result["findings"]].count("leak") == 2
    metadata = json.loads(Path("tf_files/retrained_graph.json").read_text("utf-8"))
    assert sum(metadata["split"]["counts"].values()) == 59 + 20


def test_a_test_folder_must_have_the_same_classes(
        workspace: Path, photo_folder: Path, tiny_module: Path, model_dir: Path, tmp_path: Path,
        capsys: pytest.CaptureFixture) -> None:
    for hue, label in enumerate(("red", "green", "yellow")):
        write_photos(tmp_path / "test" / label, 5, hue, seed=7)
    assert run(photo_folder, tiny_module, model_dir, f"--test_dir={tmp_path / 'test'}") == 1
    assert f"{tmp_path / 'test'} has no photos of blue" in capsys.readouterr().err
