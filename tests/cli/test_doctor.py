"""The doctor command."""
from __future__ import annotations

import csv
import hashlib
import shutil
from pathlib import Path

import pytest

from tests.conftest import retrain_json
from tfpoets.cli import doctor
from tfpoets.data.samples import write_digits


def contents(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def test_findings_are_printed_and_written_and_nothing_is_changed(
        photo_folder: Path, tiny_module: Path, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(photo_folder / "red" / "001.png", photo_folder / "green" / "duplicate.png")
    before = contents(photo_folder)
    assert doctor.main([f"--image_dir={photo_folder}", "--output_dir=findings", f"--tfhub_module={tiny_module}",
                        f"--model_dir={model_dir}"]) == 0
    output = capsys.readouterr().out
    assert "findings, all listed in" in output
    assert "green/duplicate.png has a different label than its duplicate" in output
    assert all(len(line) < 80 for line in output.splitlines() if str(tmp_path) not in line)
    rows = list(csv.DictReader(Path("findings/findings.csv").open()))
    assert [row["kind"] for row in rows[:2]] == ["label_conflict", "label_conflict"]
    assert set(rows[0]) >= {"kind", "file", "score", "suggestion"} and contents(photo_folder) == before


def test_retrain_runs_the_doctor_unless_disabled(
        photo_folder: Path, tiny_module: Path, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(photo_folder / "red" / "001.png", photo_folder / "red" / "duplicate.png")
    command = [f"--image_dir={photo_folder}", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}"]
    assert retrain_json(capsys, *command, "--nodoctor")["findings"] is None
    assert not Path("tf_files/retrained_graph_findings.csv").exists()
    findings = retrain_json(capsys, *command)["findings"]
    rows = list(csv.DictReader(Path("tf_files/retrained_graph_findings.csv").open()))
    assert [(row["kind"], row["file"]) for row in rows] == [(finding["kind"], finding["file"]) for finding in findings]
    assert "exact_duplicate" in {finding["kind"] for finding in findings}


def test_views_share_the_cache_with_retrain(photo_folder: Path, tiny_module: Path, model_dir: Path, tmp_path: Path,
                                            monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    command = [f"--image_dir={photo_folder}", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}"]
    assert doctor.main(command) == 0
    findings_csv = Path("tf_files/doctor/findings.csv").read_text()
    assert doctor.main([*command, "--views=4"]) == 0
    assert Path("tf_files/doctor/findings.csv").read_text() != findings_csv  # different features, so different scores
    bottlenecks = retrain_json(capsys, *command, "--views=4", "--nodoctor")["bottlenecks"]
    assert (bottlenecks["computed"], bottlenecks["count"]) == (0, 60)


def test_a_check_that_fails_is_named_and_the_others_run(
        photo_folder: Path, tiny_module: Path, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(photo_folder / "red" / "001.png", photo_folder / "red" / "duplicate.png")
    command = [f"--image_dir={photo_folder}", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}"]

    def fail(*_: object, **__: object) -> None:
        raise MemoryError
    monkeypatch.setattr("tfpoets.doctor.detector.find_neighbours", fail)
    monkeypatch.setattr("tfpoets.doctor.outliers.find_neighbours", fail)
    assert doctor.main(command) == 1
    output, errors = capsys.readouterr()
    assert "exact_duplicate" in output and "Not checked: outlier (there is not enough memory)" in output
    assert errors.count("The data doctor could not check for likely_wrong_label: there is not enough memory.") == 1
    (photo_folder / "red" / "duplicate.png").unlink()
    assert doctor.main(command) == 1
    assert "no problems found by the checks that did not fail" in capsys.readouterr().out


def test_the_digits_have_plausible_findings(tmp_path: Path, tiny_module: Path, model_dir: Path,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_digits(tmp_path / "digits")
    assert doctor.main([f"--image_dir={tmp_path / 'digits'}", f"--tfhub_module={tiny_module}",
                        f"--model_dir={model_dir}"]) == 0
    kinds = {row["kind"] for row in csv.DictReader((tmp_path / "tf_files/doctor/findings.csv").open())}
    assert kinds <= {"likely_wrong_label", "outlier", "near_duplicate"}


@pytest.mark.parametrize("arguments, code", [([], 2), (["--image_dir=nowhere"], 1)])
def test_errors_are_reported(arguments: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                             capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    assert doctor.main(arguments) == code
    assert "Error: " in capsys.readouterr().err
