"""The sample photos command, run as a person runs it."""
from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tfpoets.cli import sample_photos
from tfpoets.data import samples

REPOSITORY = Path(__file__).parents[2]


def run(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """Runs the command in `folder`."""
    return subprocess.run([sys.executable, "-m", "tfpoets", "sample_photos", *arguments], cwd=folder, text=True,
                          capture_output=True, timeout=120,
                          env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment})


def test_without_arguments_it_writes_the_digits_to_tf_files_and_says_what_to_run_next(tmp_path):
    first, second = run(folder=tmp_path), run(folder=tmp_path)
    folder = Path("tf_files") / "digits"
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.splitlines() == [f"Wrote 1,797 photos in 10 class folders to {folder}.",
                                         "Retrain on them with:",
                                         f"    python -m tfpoets retrain --image_dir={folder}"]
    assert second.returncode == 0
    assert second.stdout.startswith(f"{folder} is already complete: 1,797 photos.\nRetrain on them with:")
    assert len(list((tmp_path / folder).glob("?/*.png"))) == 1797


@pytest.mark.skipif(os.name == "nt", reason="asks a POSIX shell")
def test_the_line_to_run_next_can_be_pasted_with_spaces_in_it(tmp_path, monkeypatch, capsys):
    # One photo stands for the whole set: writing it is not what this is about.
    monkeypatch.setattr(samples, "DIGITS_COUNTS", {"7": 1})
    (tmp_path / "my photos" / "digits" / "7").mkdir(parents=True)
    (tmp_path / "my photos" / "digits" / "7" / "0007.png").write_bytes(b"x")
    assert sample_photos.main(["digits", f"--output_dir={tmp_path}/my photos/digits"]) == 0
    line = capsys.readouterr().out.splitlines()[-1].strip()
    # The shell's own reading of the line, with `tfpoets retrain` replaced by something that tells.
    told = subprocess.run(line.replace("tfpoets retrain", "printf '%s|'"), shell=True, text=True,
                          capture_output=True)
    assert told.stdout == f"--image_dir={tmp_path}/my photos/digits|"


@pytest.mark.parametrize("name, folder, image_dir", [("flowers", "flower_photos", "flower_photos"),
                                                     ("cifar10", "cifar10", "cifar10/train")])
def test_other_sets_have_folders_of_their_own(name, folder, image_dir, tmp_path, monkeypatch, capsys):
    counts = samples.FLOWERS_COUNTS if name == "flowers" else samples.CIFAR10_COUNTS
    for label, count in counts.items():
        (tmp_path / "tf_files" / folder / label).mkdir(parents=True)
    top = f"tf_files/{folder}"
    monkeypatch.setattr(samples, "_count_files", lambda path: counts[path.relative_to(top).as_posix()])
    monkeypatch.chdir(tmp_path)
    assert sample_photos.main([name]) == 0
    assert f"--image_dir={Path('tf_files') / image_dir}\n" in capsys.readouterr().out


def test_help_costs_neither_tensorflow_nor_sklearn(tmp_path):
    program = ("import atexit, sys; from tfpoets.cli.sample_photos import main\n"
               "try: main(['--help'])\n"
               "finally: print('LOADED', *({'tensorflow', 'keras', 'sklearn'} & set(sys.modules)))")
    told = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, text=True, capture_output=True)
    assert told.returncode == 0
    assert "usage: tfpoets sample_photos" in told.stdout and "--output_dir" in told.stdout
    assert told.stdout.splitlines()[-1].strip() == "LOADED"


def test_an_unknown_set_is_a_wrong_command_line(capsys):
    assert sample_photos.main(["cats"]) == 2
    error = capsys.readouterr().err
    assert "cats" in error and "digits" in error and "Traceback" not in error


def test_a_folder_in_use_is_one_sentence_and_exit_code_1(tmp_path, capsys):
    (tmp_path / "diary.txt").touch()
    assert sample_photos.main([f"--output_dir={tmp_path}"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"Error: {tmp_path} is not empty") and error.count("\n") == 1


def test_cifar10_without_a_network_names_the_file_and_where_keras_looks_for_it(tmp_path):
    # A file under the promised name must be seen by Keras; its hash is wrong, so Keras goes to the (dead) network.
    archive = tmp_path / "keras" / "datasets" / samples.CIFAR10_KERAS_NAME
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"not CIFAR-10")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        told = run("cifar10", folder=tmp_path, KERAS_HOME=str(tmp_path / "keras"), no_proxy="",
                   https_proxy=f"http://127.0.0.1:{nobody.getsockname()[1]}")
    assert told.returncode == 1 and told.stdout == ""
    assert "A local file was found" in told.stderr
    sentence = told.stderr.splitlines()[-1]
    assert sentence.startswith("Error: Keras could not get CIFAR-10: URL fetch failure")
    assert sentence.count(samples.CIFAR10_URL) == 2
    assert str(archive.parent) in sentence and archive.name in sentence
    assert not (tmp_path / "tf_files").exists()
