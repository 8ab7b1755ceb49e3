"""The retrain command as a person uses it."""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

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
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run commands in."""
    folder = tmp_path / "workplace"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def run(photos: Path, module: Path | str, model_dir: Path, *more: str) -> int:
    return retrain.main([*flags(photos, module, model_dir), *more])


def flags(photos: Path, module: Path | str, model_dir: Path) -> list[str]:
    return [f"--image_dir={photos}", f"--tfhub_module={module}", f"--model_dir={model_dir}"]


def test_a_run_writes_every_file_and_says_how_good_the_classifier_is(
        workplace: Path, photo_folder: Path, tiny_module: Path, model_dir: Path,
        capsys: pytest.CaptureFixture) -> None:
    assert run(photo_folder, tiny_module, model_dir, "--saved_model_dir=saved", "--testing_percentage=30") == 0
    said = capsys.readouterr().out
    assert re.search(r"^Final test accuracy = \d+\.\d% \(N=\d+\), 95% interval \d+\.\d-\d+\.\d%$", said, re.MULTILINE)
    assert re.search(r"always answering (red|green|blue) would reach \d+\.\d%", said)
    assert "60 files in 3 classes: blue 20, green 20, red 20" in said
    assert sorted(path.name for path in Path("tf_files").iterdir()) == [
        "bottlenecks", "retrained_graph.html", "retrained_graph.json", "retrained_graph.pb", "retrained_graph.tflite",
        "retrained_graph_findings.csv", "retrained_labels.txt", "training_summaries"]
    assert Path("tf_files/retrained_labels.txt").read_text() == "blue\ngreen\nred\n"
    assert Path("saved/1/saved_model.pb").exists()
    assert {path.parent.name for path in Path("tf_files/training_summaries").rglob("*tfevents*")} == {
        "train", "validation", "test"}
    assert len(list(Path("tf_files/training_summaries").glob("*/curves.png"))) == 1
    metadata = json.loads(Path("tf_files/retrained_graph.json").read_text())
    assert f"(N={metadata['test']['count']})" in said
    assert metadata["options"]["split"]["testing_percentage"] == 30 and metadata["split"]["seed"] == 0
    assert all(len(line) <= 80 for line in said.splitlines() if str(workplace) not in line)


def test_the_result_as_json_is_all_of_standard_output_and_has_the_figures_of_the_text(
        workplace: Path, tiny_module: Path, model_dir: Path, capsys: pytest.CaptureFixture) -> None:
    labels = ('blå "1"', "C++", "日本's")
    for hue, label in enumerate(labels):
        write_photos(Path("photos", label), 20, hue)
    Path("photos", labels[0], "broken.jpg").write_bytes(b"no photo")
    command = [*flags(Path("photos"), tiny_module, model_dir), "--testing_percentage=30", "--cross_validate=3",
               "--unknown_coverage=0.9", "--export=tflite_dynamic"]
    assert retrain.main([*command, "--format=json"]) == 0
    printed, aside = capsys.readouterr()
    assert printed.isascii() and printed.endswith("}\n") and printed.count("\n") == 1
    told = json.loads(printed)
    assert retrain.main([*command, "--format=text"]) == 0
    said = capsys.readouterr().out
    for line in said.splitlines():  # but for what is in the cache by now, and how long a form took
        assert line in aside or "computed" in line or line.startswith(("graph (.pb)", "tflite_dynamic")), line
    assert told["labels"] == sorted(labels) and told["test"]["labels"] == told["labels"]
    test, low_high = told["test"], [f"{100 * end:.1f}" for end in told["test"]["interval"]]
    assert (f"Final test accuracy = {test['accuracy']:.1%} (N={test['count']}), 95% interval "
            f"{'-'.join(low_high)}%\n  (always answering {test['majority_label']} would reach "
            f"{test['majority_accuracy']:.1%})\n") in said
    photos, counts, crossed = told["photos"], told["split"]["counts"], told["cross_validation"]
    assert f"{photos['listed']} files in 3 classes: " in said
    assert all(f"{label} {count}" in said for label, count in photos["per_label"].items())
    assert f"  {photos['unreadable'][0]['file']}: {photos['unreadable'][0]['reason']}\n" in said
    assert f"Bottlenecks by tiny at 32 x 32 pixels: {told['bottlenecks']['computed']} computed, 60 in all\n" in aside
    assert f"Split: {', '.join(f'{count} {part}' for part, count in counts.items())} photos\n" in said
    assert f"Head: L2 strength {told['head']['l2']:.2g}; trained again" in said
    assert f"Cross-validation in 3 folds: accuracy = {crossed['accuracy']:.1%} (N={crossed['count']})\n" in said
    assert f"spread {100 * crossed['spread']:.1f}" in said
    assert f"Called unknown: {told['unknown']['test']['called_unknown'] / test['count']:.1%}" in said
    assert all(f"\n  {path}\n" in said for path in told["files"]) and f"Report:         {told['report']}\n" in said
    for row in told["proof"]:
        assert re.search(rf"^  {re.escape(row['name'])} +{row['agreeing']} of {row['count']} ", said, re.MULTILINE)
    assert f"Data doctor: {len(told['findings'])} things to look at" in said
    assert [row["name"] for row in told["converted"]] == ["graph (.pb)", "tflite_dynamic"]


def test_the_result_as_json_lists_the_wrong_answers(workplace: Path, photo_folder: Path, tiny_module: Path,
                                                    model_dir: Path, capsys: pytest.CaptureFixture) -> None:
    for photo in sorted((photo_folder / "red").iterdir())[:12]:
        shutil.move(photo, photo_folder / "blue" / f"red{photo.name}")
    told = retrain_json(capsys, *flags(photo_folder, tiny_module, model_dir), "--testing_percentage=40")
    wrong = [each for each in told["misclassified"] if Path(each["file"]).name.startswith("red")]
    assert wrong and {(each["label"], each["answer"]) for each in wrong} == {("blue", "red")}
    assert len(told["misclassified"]) == round((1 - told["test"]["accuracy"]) * told["test"]["count"])


def test_names_that_are_no_text_are_valid_json_in_any_encoding(workplace: Path, photo_folder: Path,
                                                               tiny_module: Path, model_dir: Path) -> None:
    (photo_folder / "red").rename(photo_folder / "röt")
    broken = photo_folder / "röt" / os.fsdecode(b"\xff broken.png")
    broken.write_bytes(b"")
    done = subprocess.run([sys.executable, "-m", "tfpoets", "retrain", "--format=json", "--nodoctor",
                           *flags(photo_folder, tiny_module, model_dir)], capture_output=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "latin-1"})
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["labels"] == ["blue", "green", "röt"]
    assert told["photos"]["unreadable"] == [{"file": str(broken), "reason": "the file is empty"}]


@pytest.mark.parametrize("change, code, sentence", [
    ("no folder", 1, "There is no folder nowhere."), ("unreadable", 1, "fewer than two classes can be read"),
    ("wrong value", 2, "120 is not a number from 0 to below 100"), ("wrong format", 2, "invalid choice: 'xml'")])
def test_with_an_error_there_is_no_json(change: str, code: int, sentence: str, workplace: Path, photo_folder: Path,
                                        tiny_module: Path, model_dir: Path, capsys: pytest.CaptureFixture) -> None:
    command = [*flags(photo_folder, tiny_module, model_dir), "--format=json", *{
        "no folder": ["--image_dir=nowhere"], "wrong value": ["--testing_percentage=120"],
        "wrong format": ["--format=xml"]}.get(change, [])]
    if change == "unreadable":
        for photo in [*(photo_folder / "red").iterdir(), *(photo_folder / "green").iterdir()]:
            photo.write_bytes(b"x")
    assert retrain.main(command) == code
    printed, said = capsys.readouterr()
    assert printed == "" and sentence in said.splitlines()[-1] and said.splitlines()[-1].startswith("Error: ")


def test_warm_renamed_and_edited_runs_compute_only_what_changed(
        workplace: Path, photo_folder: Path, tiny_module: Path, model_dir: Path,
        capsys: pytest.CaptureFixture) -> None:
    computed = []
    for change in ("none", "none", "rename", "edit"):
        if change == "rename":
            (photo_folder / "red").rename(photo_folder / "crimson")
        if change == "edit":
            write_photos(photo_folder / "crimson", 1, 0, seed=77)
        told = retrain_json(capsys, *flags(photo_folder, tiny_module, model_dir))["bottlenecks"]
        computed.append((told["computed"], told["count"]))
    assert computed == [(60, 60), (0, 60), (0, 60), (1, 60)]


def test_the_same_run_gives_the_same_bytes(workplace: Path, photo_folder: Path, tiny_module: Path,
                                           model_dir: Path) -> None:
    for name in ("one", "other"):
        run(photo_folder, tiny_module, model_dir, f"--output_graph={name}/g.pb", f"--output_labels={name}/l.txt",
            f"--bottleneck_dir={name}/b")
    assert Path("one/g.pb").read_bytes() == Path("other/g.pb").read_bytes()
    run(photo_folder, tiny_module, model_dir, "--output_graph=third/g.pb", "--seed=5", "--bottleneck_dir=one/b")
    assert Path("third/g.pb").read_bytes() != Path("one/g.pb").read_bytes()


def test_labelling_gives_each_test_photo_the_probability_of_the_evaluation(
        workplace: Path, photo_folder: Path, tiny_module: Path, model_dir: Path,
        capsys: pytest.CaptureFixture) -> None:
    test = tfpoets.retrain(photo_folder, handle=str(tiny_module), model_dir=model_dir, testing_percentage=30).test
    for graph in ("tf_files/retrained_graph.tflite", "tf_files/retrained_graph.pb"):
        assert label_image.main([f"--graph={graph}", "--format=jsonl", "--top_k=3",
                                 *[photo.uri for photo in test.photos]]) == 0
        answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        labels = Path("tf_files/retrained_labels.txt").read_text().split()
        for answer, expected in zip(answers, test.probabilities, strict=True):
            scores = {entry["label"]: entry["score"] for entry in answer["labels"]}
            assert np.abs([scores[label] for label in labels] - expected).max() < 1e-4


def test_misclassified_photos_are_listed_when_asked_for(workplace: Path, photo_folder: Path, tiny_module: Path,
                                                        model_dir: Path, capsys: pytest.CaptureFixture) -> None:
    wrong = photo_folder / "blue"
    for photo in sorted((photo_folder / "red").iterdir())[:12]:
        shutil.move(photo, wrong / f"red{photo.name}")
    run(photo_folder, tiny_module, model_dir, "--testing_percentage=40", "--print_misclassified_test_images")
    listed = capsys.readouterr().out.split("=== MISCLASSIFIED TEST IMAGES ===\n")[1]
    assert re.search(r"^ *\S+/blue/red\d+\.png  red$", listed, re.MULTILINE)


def test_the_unreadable_are_listed_and_the_run_goes_on(workplace: Path, photo_folder: Path, tiny_module: Path,
                                                       model_dir: Path, capsys: pytest.CaptureFixture) -> None:
    (photo_folder / "red" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    told = retrain_json(capsys, *flags(photo_folder, tiny_module, model_dir))
    unreadable, = told["photos"]["unreadable"]
    assert unreadable["file"] == str(photo_folder / "red" / "broken.jpg") and unreadable["reason"]
    assert told["photos"]["listed"] == 61 and sum(told["split"]["counts"].values()) == 60


def test_cross_validation_answers_every_photo(workplace: Path, photo_folder: Path, tiny_module: Path,
                                              model_dir: Path, capsys: pytest.CaptureFixture) -> None:
    crossed = retrain_json(capsys, *flags(photo_folder, tiny_module, model_dir),
                           "--cross_validate=4")["cross_validation"]
    assert crossed["folds"] == 4 and crossed["count"] == 60 and crossed["accuracy"] > 0.8
    assert run(photo_folder, tiny_module, model_dir, "--cross_validate=2") == 2


def test_no_test_photos_no_figure(workplace: Path, photo_folder: Path, tiny_module: Path, model_dir: Path,
                                  capsys: pytest.CaptureFixture) -> None:
    assert run(photo_folder, tiny_module, model_dir, "--testing_percentage=0", "--validation_percentage=0",
               "--format=json") == 0
    told, said = capsys.readouterr()
    assert json.loads(told)["test"] is None and json.loads(told)["proof"] == []
    assert "Final test accuracy" not in said and "No photos were kept for a test" in said


@pytest.mark.parametrize("arguments, code, sentence", [
    (["--image_dri=x"], 2, "did you mean --image_dir?"),
    ([], 2, "required: --image_dir"),
    (["--image_dir=nowhere"], 1, "There is no folder nowhere."),
    (["--image_dir=~/surely/not/there"], 1, "There is no folder " + os.path.expanduser("~")),
    (["--image_dir=photos", "--testing_percentage=120"], 2, "120 is not a number from 0 to below 100"),
    (["--image_dir=photos", "--final_tensor_name=a b"], 2, "no name for a TensorFlow node"),
    (["--image_dir=photos", "--output_graph=."], 2, "is a folder"),
    (["--image_dir=photos", "--image_size=0"], 2, "whole number from 1 to 2048"),
])
def test_a_wrong_command_line_is_one_sentence(workplace: Path, capsys: pytest.CaptureFixture, arguments: list[str],
                                              code: int, sentence: str) -> None:
    assert retrain.main(arguments) == code
    said = capsys.readouterr().err
    assert sentence in said and "Traceback" not in said and said.count("\n") == 1


def test_classes_that_are_too_small_are_said_before_anything_is_computed(
        workplace: Path, photo_folder: Path, tiny_module: Path, model_dir: Path,
        capsys: pytest.CaptureFixture) -> None:
    for photo in sorted((photo_folder / "red").iterdir())[2:]:
        photo.unlink()
    assert run(photo_folder, tiny_module, model_dir) == 1
    assert "class red has too few photos: 2" in capsys.readouterr().err
    assert not Path("tf_files/bottlenecks").exists()
    assert run(photo_folder, tiny_module, model_dir, "--testing_percentage=60", "--validation_percentage=50") == 2
    assert "leave no photos for training" in capsys.readouterr().err


def test_when_one_class_alone_can_be_read_it_is_said(workplace: Path, photo_folder: Path, tiny_module: Path,
                                                     model_dir: Path, capsys: pytest.CaptureFixture) -> None:
    for label in ("red", "green"):
        for photo in (photo_folder / label).iterdir():
            photo.write_bytes(b"x")
    assert run(photo_folder, tiny_module, model_dir) == 1
    assert "fewer than two classes can be read" in capsys.readouterr().err


def test_names_that_are_no_text_do_not_end_a_run(workplace: Path, photo_folder: Path, tiny_module: Path,
                                                 model_dir: Path) -> None:
    (photo_folder / "red" / "000.png").rename(photo_folder / "red" / os.fsdecode(b"\xff\xfe.png"))
    (photo_folder / "red" / os.fsdecode(b"\xff broken.png")).write_bytes(b"")
    done = subprocess.run([sys.executable, "-m", "tfpoets", "retrain", f"--image_dir={photo_folder}",
                           f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}"],
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"broken.png: the file is empty" in done.stdout and b"Error" not in done.stderr


def test_all_messy_photos_in_two_classes_retrain_and_label(shared_data: Path, workplace: Path, tiny_module: Path,
                                                           model_dir: Path, capsys: pytest.CaptureFixture) -> None:
    messy = sorted(path for path in (shared_data / "photos" / "messy").rglob("*") if path.is_file())
    for number, path in enumerate(messy):
        target = Path("photos") / ("odd" if number % 2 else "even") / f"{path.parent.name}_{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    unreadable = retrain_json(capsys, *flags(Path("photos"), tiny_module, model_dir))["photos"]["unreadable"]
    assert 10 <= len(unreadable) < 20
    assert "the file is empty" in [each["reason"] for each in unreadable if each["file"].endswith("heif_empty.heic")]
    assert label_image.main(["--format=jsonl", *map(str, messy)]) == 1
    captured = capsys.readouterr()
    answers = [json.loads(line) for line in captured.out.splitlines()]
    assert [answer["image"] for answer in answers] == list(map(str, messy))
    assert all(("labels" in answer) != ("error" in answer) for answer in answers)
    assert 10 <= sum("error" in answer for answer in answers) < 20 and "Traceback" not in captured.err


def test_flowers_from_cold_to_files_with_the_embedded_extractor(
        flowers: Path, workplace: Path, capsys: pytest.CaptureFixture) -> None:
    told = retrain_json(capsys, f"--image_dir={flowers}", "--image_size=128", "--saved_model_dir=saved")
    # 599: one photo lies under two labels.
    assert (told["bottlenecks"]["computed"], told["bottlenecks"]["count"]) == (599, 600)
    assert told["test"]["accuracy"] > 0.65
    classifier = load_classifier(Path("tf_files/retrained_graph.tflite"))
    (_, answer), = classifier.label_photos([next(flowers.glob("daisy/*.jpg"))], Path.read_bytes)
    assert answer.probabilities is not None and answer.probabilities.sum() == pytest.approx(1, abs=1e-5)


def committed(cache: Path, extractor: str) -> int:
    with BottleneckCache(cache) as opened:
        return len(opened.digests_with_vector(extractor))


def test_killed_at_any_moment_it_goes_on_where_it_was(shared_data: Path, flowers: Path, workplace: Path,
                                                      model_dir: Path, capsys: pytest.CaptureFixture) -> None:
    module = shared_data / "modules" / "mobilenet_v1_025_224"
    assert run(flowers, module, model_dir, "--output_graph=whole/g.pb", "--bottleneck_dir=whole/b") == 0
    capsys.readouterr()
    command = [sys.executable, "-m", "tfpoets", "retrain", f"--image_dir={flowers}", f"--tfhub_module={module}",
               f"--model_dir={model_dir}", "--output_graph=killed/g.pb", "--bottleneck_dir=killed/b"]
    extractor = json.loads(next(model_dir.glob("mobilenet_v1_025_224-*/extractor.json")).read_text())["digest"]
    done = 0
    for kill in range(3):
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        cache, goal = Path("killed/b"), min(done + 90, 400)
        while process.poll() is None:
            time.sleep(0.01)
            if (cache / CACHE_NAME).exists() and _rows(cache) > goal:
                process.kill()
                break
        process.wait()
        assert process.returncode == -9
        left = committed(cache, extractor)
        assert left > done
        done = left
    told = retrain_json(capsys, *flags(flowers, module, model_dir), "--output_graph=killed/g.pb",
                        "--bottleneck_dir=killed/b")["bottlenecks"]
    assert (told["computed"], told["count"]) == (599 - done, 600)
    assert Path("killed/g.pb").read_bytes() == Path("whole/g.pb").read_bytes()


def _rows(cache: Path) -> int:
    import sqlite3
    try:
        with sqlite3.connect(f"file:{cache / CACHE_NAME}?mode=ro", uri=True) as database:
            return database.execute("SELECT COUNT(*) FROM vectors").fetchone()[0]
    except sqlite3.Error:
        return 0


def test_a_second_folder_makes_the_final_test(workplace: Path, photo_folder: Path, tiny_module: Path, model_dir: Path,
                                              tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for hue, label in enumerate(("red", "green", "blue")):
        write_photos(tmp_path / "test" / label, 5 + hue, hue, seed=7)
    shutil.copy(photo_folder / "red" / "003.png", tmp_path / "test" / "red" / "copied.png")
    Image.open(photo_folder / "red" / "004.png").save(tmp_path / "test" / "red" / "leaked.jpg", quality=90)
    assert run(photo_folder, tiny_module, model_dir, f"--test_dir={tmp_path / 'test'}", "--format=json") == 0
    printed, noted = capsys.readouterr()
    told = json.loads(printed)
    assert told["split"]["counts"]["test"] == told["test"]["count"] == 20
    assert f"Photos in {photo_folder} that are also in {tmp_path / 'test'} are used for the test only: 1." in noted
    assert [finding["kind"] for finding in told["findings"]].count("leak") == 2
    metadata = json.loads(Path("tf_files/retrained_graph.json").read_text("utf-8"))
    assert sum(metadata["split"]["counts"].values()) == 59 + 20


def test_a_second_folder_must_hold_the_same_classes(workplace: Path, photo_folder: Path, tiny_module: Path,
                                                    model_dir: Path, tmp_path: Path,
                                                    capsys: pytest.CaptureFixture) -> None:
    for hue, label in enumerate(("red", "green", "yellow")):
        write_photos(tmp_path / "test" / label, 5, hue, seed=7)
    assert run(photo_folder, tiny_module, model_dir, f"--test_dir={tmp_path / 'test'}") == 1
    assert f"{tmp_path / 'test'} has no photos of blue" in capsys.readouterr().err
