"""Files are published as a whole: a killed run leaves the old or the new ones, and the next run finishes its work."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tfpoets import publication
from tfpoets.files import write_file
from tfpoets.locks import lock_destination
from tfpoets.publication import RECORD_NAME, clean_up, pending_path, publish_together, replace_path, staging_folder

# Publishes new.txt, a folder and old.json; ends without cleaning up before the step with the number in its argument.
PUBLISH = """
import os, sys
from pathlib import Path
from tfpoets import publication
from tfpoets.locks import lock_destination
parent, remaining = Path(sys.argv[1]), [int(sys.argv[2])]
def count(function):
    def call(*arguments):
        if remaining[0] == 0:
            os._exit(9)
        remaining[0] -= 1
        return function(*arguments)
    return call
for name in ("remove", "replace_path", "_exchange"):
    setattr(publication, name, count(getattr(publication, name)))
with publication.staging_folder(parent, "model") as staging, lock_destination(parent / "model.pb"):
    (staging / "folder").mkdir()
    for name in ("model.pb", "folder/weights", "model.json"):
        (staging / name).write_text("new")
    moves = [(staging / name, parent / name) for name in ("model.pb", "folder", "model.json")]
    publication.publish_together(staging, moves, "model.pb", [parent / "report.html"])
(parent / "report.html").write_text("new")
"""
# Where folders cannot be exchanged, they are replaced in two steps.
PUBLISH_IN_TWO_STEPS = PUBLISH.replace("for name in", "publication._exchange = lambda *_: False\nfor name in", 1)


@pytest.fixture
def old_files(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    for name in ("model.pb", "folder/weights", "model.json", "report.html"):
        (tmp_path / name).write_text("old")
    return tmp_path


def read_all(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("can_exchange", [True, False])
@pytest.mark.parametrize("step", range(6))
def test_the_next_run_finishes_the_publication_of_a_killed_one(step: int, can_exchange: bool, old_files: Path) -> None:
    code = PUBLISH if can_exchange else PUBLISH_IN_TWO_STEPS
    done = subprocess.run([sys.executable, "-c", code, old_files, str(step)], capture_output=True, text=True)
    assert done.returncode == (9 if step < 5 else 0), done.stderr
    if step < 5:
        assert (old_files / "report.html").exists() == (step == 0)  # what is stale is removed first
        clean_up(old_files, "model")
    expected = dict.fromkeys(("model.pb", "folder/weights", "model.json"), "new")
    assert read_all(old_files) == expected | ({"report.html": "new"} if step == 5 else {})


def test_the_publication_of_a_killed_run_never_replaces_a_later_one(old_files: Path) -> None:
    subprocess.run([sys.executable, "-c", PUBLISH, old_files, "2"])
    with lock_destination(old_files / "model.pb"):  # the later run has begun before
        staging, = old_files.glob(".model.*.partial")
        later = old_files / ".model.later.partial"
        later.mkdir()
        for name in ("model.pb", "model.json"):
            (later / name).write_text("later")
        publish_together(later, [(later / name, old_files / name) for name in ("model.pb", "model.json")], "model.pb")
    clean_up(old_files, "model")
    assert (old_files / "model.pb").read_text() == (old_files / "model.json").read_text() == "later"
    assert not staging.exists()


def test_a_file_that_was_not_moved_yet_is_found(old_files: Path) -> None:
    assert pending_path(old_files / "model.json") is None
    subprocess.run([sys.executable, "-c", PUBLISH, old_files, "2"])
    pending = pending_path(old_files / "model.json")
    assert pending is not None and pending.read_text() == "new" and pending_path(old_files / "model.pb") is None


@pytest.mark.parametrize("moves, stale", [([[".x.partial/a", "../a", 0]], []), ([["x/a", "a", 0]], []), ([], ["../a"]),
                                          ([], ["/a"]), ([], 7)])
def test_a_record_that_names_other_folders_is_ignored(moves: list, stale: object, tmp_path: Path) -> None:
    folder = tmp_path / "models" / ".m.x.partial"
    folder.mkdir(parents=True)
    (folder / ".lock").touch()
    (tmp_path / "a").write_text("kept")
    (folder / RECORD_NAME).write_text(json.dumps({"name": "m", "moves": moves, "stale": stale}))
    clean_up(tmp_path / "models", "m")
    assert (tmp_path / "a").read_text() == "kept" and not folder.exists()


def test_a_staging_folder_in_use_is_not_removed(tmp_path: Path) -> None:
    with staging_folder(tmp_path, "model") as staging:
        clean_up(tmp_path, "model")
        assert staging.is_dir()
    assert not list(tmp_path.iterdir())


def test_without_locks_no_staging_folder_of_another_run_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                                   ) -> None:
    def fail(*arguments: object, **options: object) -> bool:
        raise OSError("No locks available")
    monkeypatch.setattr("filelock.lock_descriptor", fail)
    with staging_folder(tmp_path, "graph") as first:
        with staging_folder(tmp_path, "graph") as second:
            assert first.is_dir() and second.is_dir() and first != second


def test_staging_folders_that_are_created_while_others_are_cleaned_up_stay(tmp_path: Path) -> None:
    ended = threading.Event()

    def clean() -> None:
        while not ended.is_set():
            clean_up(tmp_path, "model")
    thread = threading.Thread(target=clean)
    thread.start()
    try:
        for _ in range(300):
            with staging_folder(tmp_path, "model") as staging:
                (staging / "file").touch()
                assert (staging / ".lock").exists()
    finally:
        ended.set()
        thread.join()


def test_a_folder_exists_at_every_moment_while_it_is_replaced(tmp_path: Path) -> None:
    destination, missing, ended = tmp_path / "folder", [], threading.Event()
    destination.mkdir()
    if not publication._exchange(destination, destination):
        pytest.skip("this file system cannot exchange names")

    def watch() -> None:
        while not ended.is_set():
            if not destination.exists():
                missing.append(1)
    thread = threading.Thread(target=watch)
    thread.start()
    for number in range(500):
        (tmp_path / f"staged{number}").mkdir()
        replace_path(tmp_path / f"staged{number}", destination)
    ended.set()
    thread.join()
    assert not missing


def test_only_one_thread_at_a_time_holds_a_lock_and_no_file_is_left(tmp_path: Path) -> None:
    inside, most = [0], [0]

    def work() -> None:
        for _ in range(20):
            with lock_destination(tmp_path / "graph.pb"), lock_destination(tmp_path / "graph.pb"):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.001)
                inside[0] -= 1
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1 and not list(tmp_path.iterdir())


def test_a_killed_process_releases_its_lock(tmp_path: Path) -> None:
    code = ("import os, sys; from pathlib import Path; from tfpoets.locks import lock_destination\n"
            "lock = lock_destination(Path(sys.argv[1])); lock.__enter__(); os._exit(9)")
    subprocess.run([sys.executable, "-c", code, tmp_path / "graph.pb"])
    assert (tmp_path / ".graph.pb.lock").exists()
    with lock_destination(tmp_path / "graph.pb", wait=False) as is_locked:
        assert is_locked
    assert not list(tmp_path.iterdir())


def test_locks_of_killed_runs_are_removed_unless_they_are_held(tmp_path: Path) -> None:
    (tmp_path / ".graph.pb.lock").touch()
    (tmp_path / ".other.pb.lock").touch()
    holder = ("import sys; from pathlib import Path; from tfpoets.locks import lock_destination\n"
              "with lock_destination(Path(sys.argv[1])): print(flush=True); input()")
    with subprocess.Popen([sys.executable, "-c", holder, tmp_path / "graph.tflite"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        clean_up(tmp_path, "graph")
        assert {path.name for path in tmp_path.iterdir()} == {".graph.tflite.lock", ".other.pb.lock"}
        process.communicate(b"\n")


@pytest.mark.parametrize("change", [{"name": "m" * 70_000}, {"moves": [[".x.partial/a", "a", n] for n in range(2)]}],
                         ids=["too long", "one file twice"])
def test_a_record_that_no_run_writes_is_ignored(change: dict[str, object], tmp_path: Path) -> None:
    folder = tmp_path / ".x.partial"
    folder.mkdir()
    (folder / "a").write_text("staged")
    record = {"name": "m", "moves": [[".x.partial/a", "a", os.stat(folder / "a").st_ino]], "stale": []}
    for move in change.get("moves", []):  # type: ignore[attr-defined]
        move[2] += os.stat(folder / "a").st_ino
    (folder / RECORD_NAME).write_text(json.dumps(record))
    assert pending_path(tmp_path / "a") == folder / "a"
    (folder / RECORD_NAME).write_text(json.dumps({**record, **change}))
    assert pending_path(tmp_path / "a") is None


def test_two_threads_can_write_the_same_file_at_once(tmp_path: Path) -> None:
    contents = ["a" * 100_000, "b" * 100_000]

    def write(content: str) -> None:
        for _ in range(50):
            write_file(tmp_path / "f", content)
    threads = [threading.Thread(target=write, args=[content]) for content in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if (tmp_path / "f").exists():
            assert (tmp_path / "f").read_text() in contents
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
