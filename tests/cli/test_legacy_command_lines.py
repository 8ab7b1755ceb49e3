"""Command lines, graphs and modules from TensorFlow for Poets and TF Hub."""
from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import retrain_json, write_photos
from tests.download.local_server import body, pieces, redirect, serving, status
from tests.extractors.test_hub import PATH, QUERY, cut_off, pack
from tfpoets.cli import label_image, retrain
from tfpoets.extractors import hub
from tfpoets.tf_runtime import import_tensorflow

# The commands of the codelab "TensorFlow for Poets" (its steps 4 and 5), unchanged.
CODELAB_RETRAIN = """python -m scripts.retrain --bottleneck_dir=tf_files/bottlenecks --how_many_training_steps=500
    --model_dir=tf_files/models/ --summaries_dir=tf_files/training_summaries/"{architecture}"
    --output_graph=tf_files/retrained_graph.pb --output_labels=tf_files/retrained_labels.txt
    --architecture="{architecture}" --image_dir=tf_files/flower_photos"""
CODELAB_LABEL = """python -m scripts.label_image --graph=tf_files/retrained_graph.pb
    --image=tf_files/flower_photos/{photo}"""


def run(command: str) -> int:
    words = shlex.split(command)
    assert words[:2] == ["python", "-m"]
    return {"scripts.retrain": retrain, "scripts.label_image": label_image}[words[2]].main(words[3:])


@pytest.fixture
def workspace(tmp_path: Path, flowers: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the codelab creates it: 14 flower photos of each class in tf_files/flower_photos."""
    folder = tmp_path / "workspace"
    for label in sorted(path for path in flowers.iterdir() if path.is_dir()):
        (folder / "tf_files" / "flower_photos" / label.name).mkdir(parents=True)
        for photo in sorted(label.iterdir())[:14]:
            shutil.copy2(photo, folder / "tf_files" / "flower_photos" / label.name)
    (folder / "tf_files" / "models").symlink_to(model_dir)
    monkeypatch.chdir(folder)
    return folder


def first_photo(label: str = "daisy") -> str:
    return f"{label}/" + sorted(os.listdir(f"tf_files/flower_photos/{label}"))[0]


def test_the_codelab_commands_run_unchanged_without_an_architecture(
        workspace: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(CODELAB_RETRAIN.format(architecture="")) == 0
    output = capsys.readouterr().out
    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: Step 0: Train accuracy = \d+\.\d%$", output, re.MULTILINE)
    assert re.search(r": Step 499: Cross entropy = \d+\.\d{6}$", output, re.MULTILINE)
    assert re.search(r": Step 490: Validation accuracy = \d+\.\d% \(N=100\)$", output, re.MULTILINE)
    assert re.search(r"^Final test accuracy = \d+\.\d% \(N=\d+\)", output, re.MULTILINE)
    assert "Bottlenecks by efficientnet_lite0" in output
    assert Path("tf_files/retrained_labels.txt").read_text().split() == ["daisy", "dandelion", "roses", "sunflowers",
                                                                         "tulips"]
    metadata = json.loads(Path("tf_files/retrained_graph.json").read_text())
    assert metadata["head"]["solver"] == "sgd" and metadata["head"]["how_many_training_steps"] == 500
    default_lines = labels(capsys, CODELAB_LABEL.format(photo=first_photo()))
    assert default_lines[0].startswith("daisy (score=")
    assert labels(capsys, CODELAB_LABEL.format(photo=first_photo())
                  + " --labels=tf_files/retrained_labels.txt") == default_lines
    assert labels(capsys,
                  f"python -m scripts.label_image --image=tf_files/flower_photos/{first_photo()}") == default_lines
    # Both solvers share the cache.
    bottlenecks = retrain_json(capsys, "--image_dir=tf_files/flower_photos")["bottlenecks"]
    assert (bottlenecks["computed"], bottlenecks["count"]) == (0, 70)


def labels(capsys: pytest.CaptureFixture, command: str) -> list[str]:
    assert run(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and all(re.fullmatch(r"\w+ \(score=[01]\.\d{5}\)", line) for line in lines)
    return [re.sub(r"\d{2}\)$", ")", line) for line in lines]  # .pb and .tflite differ in the fifth decimal


def test_the_codelab_commands_run_unchanged_with_an_architecture(
        workspace: Path, shared_data: Path, capsys: pytest.CaptureFixture) -> None:
    graph = Path("tf_files/models/mobilenet_v1_0.25_224/frozen_graph.pb")
    graph.parent.mkdir(exist_ok=True)
    shutil.copyfile(shared_data / "poets_graphs" / "glasses_mobilenet_0.25_224" / "frozen_graph.pb", graph)
    assert run(CODELAB_RETRAIN.format(architecture="mobilenet_0.25_224") + " --format=json") == 0
    captured = capsys.readouterr()
    assert f"mobilenet_0.25_224: the graph {graph} is used." in captured.err
    bottlenecks = json.loads(captured.out)["bottlenecks"]
    assert bottlenecks["extractor"] == "mobilenet_v1_0.25_224_frozen_graph"
    assert bottlenecks["height"] == bottlenecks["width"] == 224
    assert labels(capsys, CODELAB_LABEL.format(photo=first_photo("sunflowers")))


def test_an_unavailable_architecture_is_never_substituted(
        workspace: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(CODELAB_RETRAIN.format(architecture="mobilenet_0.50_192") + " --offline") == 1
    output = capsys.readouterr().err
    assert "tfhub.dev/google/imagenet/mobilenet_v1_050_192/feature_vector/5 is not on this machine" in output
    assert "save its .tar.gz as tf_files/models/downloads/tfhub.dev_google_imagenet_mobilenet_v1_050_192" in output
    assert not Path("tf_files/retrained_graph.pb").exists()


def test_every_legacy_flag_works_or_is_reported_as_ignored(
        workspace: Path, tiny_module: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(f"""python -m scripts.retrain --image_dir=tf_files/flower_photos --output_graph=out/graph.pb
        --intermediate_output_graphs_dir=out/intermediate/ --intermediate_store_frequency=20 --output_labels=out/l.txt
        --summaries_dir=out/summaries --how_many_training_steps=50 --learning_rate=0.05 --testing_percentage=20
        --validation_percentage=20 --eval_step_interval=25 --train_batch_size=30 --test_batch_size=40
        --validation_batch_size=-1 --print_misclassified_test_images --model_dir=tf_files/models
        --bottleneck_dir=out/bottlenecks --final_tensor_name=answer --random_crop=0 --random_scale=0
        --random_brightness=0 --tfhub_module={tiny_module} --saved_model_dir=out/saved --logging_verbosity=INFO
        --checkpoint_path=out/checkpoint --mixed_precision --architecture=""") == 0
    captured = capsys.readouterr()
    assert "Ignored: --checkpoint_path." in captured.err
    assert "Ignored: --mixed_precision. It was removed" in captured.err
    steps = re.findall(r": Step (\d+): Validation accuracy = \d+\.\d% \(N=(\d+)\)", captured.out)
    assert [step for step, _ in steps] == ["0", "25", "49"]
    n_validation = int(re.search(r"(\d+) validation", captured.out)[1])
    assert {int(count) for _, count in steps} == {n_validation}
    assert "Save intermediate result to : out/intermediate/intermediate_20.pb" in captured.out
    assert "(N=40)" in captured.out and "=== MISCLASSIFIED TEST IMAGES ===" in captured.out
    assert sorted(path.name for path in Path("out/intermediate").iterdir()) == [
        "intermediate_20.json", "intermediate_20.pb", "intermediate_40.json", "intermediate_40.pb"]
    assert Path("out/saved/1/saved_model.pb").exists() and list(Path("out/summaries").rglob("*tfevents*"))
    photo = f"tf_files/flower_photos/{first_photo()}"
    for graph in ("out/graph.pb", "out/intermediate/intermediate_20.pb"):
        assert run(f"python -m scripts.label_image --graph={graph} --image={photo}") == 0
    graph_def = import_tensorflow().compat.v1.GraphDef.FromString(Path("out/graph.pb").read_bytes())
    assert graph_def.node[-1].name == "answer"


@pytest.mark.parametrize("flags, code, sentence", [
    ("--solver=lbfgs --learning_rate=0.1", 2, r"--solver=lbfgs cannot be combined with .* \(--learning_rate\)"),
    ("--learning_rate=0", 2, "0 is not a number above 0"), ("--learning_rate=nan", 2, "nan is not a number above 0"),
    ("--train_batch_size=-1", 2, "-1 is not a whole number from 1 to 100000"),
    ("--architecture=inception_v3 --tfhub_module=efficientnet_lite0", 2, "name different extractors"),
    ("--architecture=lenett", 1, r"no extractor 'lenett'; did you mean --architecture=lenet\?"),
    ("--architecture=inception_v5", 1, r"no extractor 'inception_v5'; did you mean inception_v3\?"),
])
def test_invalid_flags_are_reported(
        tmp_path: Path, capsys: pytest.CaptureFixture, flags: str, code: int, sentence: str) -> None:
    for hue, label in enumerate(("red", "green")):
        write_photos(tmp_path / "photos" / label, 6, hue)
    assert retrain.main([f"--image_dir={tmp_path / 'photos'}", f"--model_dir={tmp_path}",
                         f"--output_graph={tmp_path / 'g.pb'}", f"--output_labels={tmp_path / 'l.txt'}",
                         *flags.split()]) == code
    output = capsys.readouterr().err
    assert re.search(sentence, output) and "Traceback" not in output


def test_gradient_descent_accepts_any_seed_and_reports_ignored_flags(
        photo_folder: Path, tiny_module: Path, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    assert retrain.main([f"--image_dir={photo_folder}", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}",
                         "--solver=sgd", "--how_many_training_steps=3", "--seed=-1", "--test_batch_size=7",
                         "--class_weight=balanced", "--norefit"]) == 0
    assert "Ignored: --class_weight=balanced, --norefit." in capsys.readouterr().err


def test_flags_of_gradient_descent_are_ignored_by_the_default_solver(
        photo_folder: Path, tiny_module: Path, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    assert retrain.main([f"--image_dir={photo_folder}", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}",
                         "--eval_step_interval=5", "--validation_batch_size=-1", "--format=json"]) == 0
    captured = capsys.readouterr()
    assert "Ignored: --validation_batch_size, --eval_step_interval." in captured.err
    assert json.loads(captured.out)["head"]["solver"] == "lbfgs"


def test_photos_are_labelled_with_the_files_of_tensorflow_for_poets(
        tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture,
        flowers: Path) -> None:
    shutil.copytree(shared_data / "poets_graphs" / "surface_defects_mobilenet_0.25_128", tmp_path / "tf_files")
    monkeypatch.chdir(tmp_path)
    photo = next((flowers / "roses").iterdir())
    assert label_image.main([f"--image={photo}"]) == 0
    plain = capsys.readouterr().out
    assert len(plain.splitlines()) == 5
    # The scaling that the network was trained with, given explicitly, changes nothing; other values do.
    assert label_image.main([f"--image={photo}", "--input_mean=127.5", "--input_std=127.5", "--input_layer=input",
                             "--output_layer=final_result", "--input_height=128", "--input_width=128"]) == 0
    assert capsys.readouterr().out == plain
    assert label_image.main([f"--image={photo}", "--input_mean=0", "--input_std=255"]) == 0
    assert capsys.readouterr().out != plain
    assert label_image.main([f"--image={photo}", "--input_std=0"]) == 2
    assert label_image.main([f"--image={photo}", "--labels=missing.txt"]) == 1


def test_a_module_can_be_used_after_every_kind_of_failed_download(
        photo_folder: Path, tiny_module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "TIMEOUT_SECONDS", 0.3)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    content = pack(tiny_module)
    faults = [body(content[:-99], content_length=len(content)),
              pieces([content[:99]], pause=1, content_length=len(content)),
              redirect(PATH + QUERY), status(404), body(b"<html>Hello</html>"), cut_off(content)]
    replies = {"/5.tar.gz": body(content)}
    with serving(replies) as server:
        command = [f"--image_dir={photo_folder}", f"--tfhub_module={server.url}{PATH}"]
        for fault in faults:
            replies[PATH + QUERY] = fault
            assert retrain.main(command) == 1
            output = capsys.readouterr().err.splitlines()
            assert sum("could not be downloaded" in line or "not a module" in line for line in output) == 1
            assert "efficientnet_lite0 needs no download" in output[-1]
            assert not Path("tf_files/retrained_graph.pb").exists()
        replies[PATH + QUERY] = redirect("/5.tar.gz")
        assert retrain.main(command) == 0
        assert "Label a photo:" in capsys.readouterr().out
    bottlenecks = retrain_json(capsys, *command, "--offline")["bottlenecks"]  # the server has stopped
    assert (bottlenecks["computed"], bottlenecks["count"]) == (0, 60)


@pytest.mark.parametrize("module", ["mobilenet_v1_025_128", "mobilenet_v1_025_224", "mobilenet_v2_035_224",
                                    "mobilenet_v2_050_96"])
def test_hub_modules_train_on_flowers(workspace: Path, shared_data: Path, module: str,
                                      capsys: pytest.CaptureFixture) -> None:
    check_training(str(shared_data / "modules" / module), 0.3, capsys)


@pytest.mark.parametrize("graph", ["glasses_mobilenet_0.25_224", "surface_defects_mobilenet_0.25_128"])
def test_legacy_imagenet_graphs_train_on_flowers(workspace: Path, shared_data: Path, graph: str,
                                                 capsys: pytest.CaptureFixture) -> None:
    check_training(str(shared_data / "poets_graphs" / graph / "frozen_graph.pb"), 0.3, capsys)


@pytest.mark.parametrize("name, size, depth", [("MobileNetV2", 224, 1280), ("InceptionV3", 299, 2048)])
def test_keras_applications_train_on_flowers(workspace: Path, tmp_path: Path, name: str, size: int, depth: int,
                                             capsys: pytest.CaptureFixture) -> None:
    """The weights are random, so the accuracy is not tested."""
    import_tensorflow()
    import keras
    keras.utils.set_random_seed(0)
    network = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(size, size, 3))
    network.save_weights(tmp_path / f"{name}.weights.h5")
    bottlenecks = check_training(f"keras:{name}:{tmp_path / name}.weights.h5", 0, capsys)["bottlenecks"]
    assert (bottlenecks["extractor"], bottlenecks["height"], bottlenecks["width"], bottlenecks["depth"]) == (
        f"keras_{name}", size, size, depth)


def check_training(handle: str, min_accuracy: float, capsys: pytest.CaptureFixture) -> dict[str, Any]:
    """Retrain on the flowers. With so few test photos, the accuracy only shows that something was learned."""
    result = retrain_json(capsys, "--image_dir=tf_files/flower_photos", f"--tfhub_module={handle}",
                          "--testing_percentage=30")
    assert result["test"]["accuracy"] >= min_accuracy
    return result
