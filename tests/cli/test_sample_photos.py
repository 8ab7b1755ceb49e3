"""The sample_photos command."""
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
    """Run the command in `folder`."""
    return subprocess.run([sys.executable, "-m", "tfpoets", "sample_photos", *arguments], cwd=folder, text=True,
                          capture_output=True, timeout=120,
                          env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment})


def test_the_default_writes_the_digits_and_prints_the_next_command(tmp_path):
    first, second = run(folder=tmp_path), run(folder=tmp_path)
    folder = Path("tf_files") / "digits"
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.splitlines() == [f"Wrote 1,797 photos in 10 class folders to {folder}.",
                                         "Retrain on them with:",
                                         f"    python -m tfpoets retrain --image_dir={folder}"]
    assert second.returncode == 0
    assert second.stdout.startswith(f"{folder} is already complete: 1,797 photos.\nRetrain on them with:")
    assert len(list((tmp_path / folder).glob("?/*.png"))) == 1797


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_a_printed_command_with_spaces_can_be_pasted(tmp_path, monkeypatch, capsys):
    # A single photo stands in for the complete sample, so that nothing needs to be written.
    monkeypatch.setattr(samples, "DIGITS_COUNTS", {"7": 1})
    (tmp_path / "my photos" / "digits" / "7").mkdir(parents=True)
    (tmp_path / "my photos" / "digits" / "7" / "0007.png").write_bytes(b"x")
    assert sample_photos.main(["digits", f"--output_dir={tmp_path}/my photos/digits"]) == 0
    line = capsys.readouterr().out.splitlines()[-1].strip()
    # Let the shell parse the line, with `tfpoets retrain` replaced by a command that prints its argument.
    result = subprocess.run(line.replace("tfpoets retrain", "printf '%s|'"), shell=True, text=True,
                            capture_output=True)
    assert result.stdout == f"--image_dir={tmp_path}/my photos/digits|"


@pytest.mark.parametrize("name, folder", [("flowers", "flower_photos"), ("cifar10", "cifar10")])
def test_each_sample_has_its_own_default_folder(name, folder, tmp_path, monkeypatch, capsys):
    counts = samples.FLOWERS_COUNTS if name == "flowers" else samples.CIFAR10_COUNTS
    for label, count in counts.items():
        (tmp_path / "tf_files" / folder / label).mkdir(parents=True)
    top = f"tf_files/{folder}"
    monkeypatch.setattr(samples, "_count_files", lambda path: counts[path.relative_to(top).as_posix()])
    monkeypatch.chdir(tmp_path)
    assert sample_photos.main([name]) == 0
    assert f"--image_dir={Path('tf_files') / folder}\n" in capsys.readouterr().out


def test_help_imports_neither_tensorflow_nor_sklearn(tmp_path):
    program = ("import atexit, sys; from tfpoets.cli.sample_photos import main\n"
               "try: main(['--help'])\n"
               "finally: print('LOADED', *({'tensorflow', 'keras', 'sklearn'} & set(sys.modules)))")
    result = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, text=True, capture_output=True)
    assert result.returncode == 0
    assert "usage: tfpoets sample_photos" in result.stdout and "--output_dir" in result.stdout
    assert result.stdout.splitlines()[-1].strip() == "LOADED"


def test_an_unknown_sample_is_a_usage_error(capsys):
    assert sample_photos.main(["cats"]) == 2
    error = capsys.readouterr().err
    assert "cats" in error and "digits" in error and "Traceback" not in error


def test_a_folder_with_other_files_is_an_error(tmp_path, capsys):
    (tmp_path / "diary.txt").touch()
    assert sample_photos.main([f"--output_dir={tmp_path}"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"Error: {tmp_path} is not empty") and error.count("\n") == 1


def test_cifar10_offline_names_the_file_and_the_folder_for_a_manual_download(tmp_path):
    # Keras must find a file with this name. Its hash is wrong, so Keras tries to download it, which fails.
    archive = tmp_path / "keras" / "datasets" / samples.CIFAR10_KERAS_NAME
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"not CIFAR-10")
    with socket.socket() as closed_port:
        closed_port.bind(("127.0.0.1", 0))
        result = run("cifar10", folder=tmp_path, KERAS_HOME=str(tmp_path / "keras"), no_proxy="",
                     https_proxy=f"http://127.0.0.1:{closed_port.getsockname()[1]}")
    assert result.returncode == 1 and result.stdout == ""
    assert "A local file was found" in result.stderr
    sentence = result.stderr.splitlines()[-1]
    assert sentence.startswith("Error: Keras could not download CIFAR-10: URL fetch failure")
    assert sentence.count(samples.CIFAR10_URL) == 2
    assert str(archive.parent) in sentence and archive.name in sentence
    assert not (tmp_path / "tf_files").exists()
